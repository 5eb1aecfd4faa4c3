//! Intake: what was told and is not written yet.

use tokio::sync::oneshot;

use super::file::FileChange;
use crate::database::DatabaseError;
use crate::notifications::notice::Notice;

/// Notices that wait to be written at most, and bytes of them.
const MOST: usize = 4096;
const MOST_BYTES: usize = 8 << 20;

/// What was told and is not written yet.
#[derive(Debug, Default)]
pub(super) struct NoticeIntake {
    pub(super) notices: Vec<Notice>,
    bytes: usize,
    pub(super) works: Vec<FileWork>,
    /// Changes of rules that there was no room for.
    pub(super) changes_beyond: u64,
}

/// Change of the file that somebody waits for, with the notices that belong to it.
pub(super) struct FileWork {
    pub(super) notices: Vec<Notice>,
    pub(super) change: FileChange,
    pub(super) done: oneshot::Sender<Result<(), DatabaseError>>,
}

impl NoticeIntake {
    /// Takes a notice; `false`: there is no room, and it is lost.
    pub(super) fn take(&mut self, notice: Notice) -> bool {
        let bytes = self.bytes + notice.weight();
        if self.notices.len() < MOST && bytes <= MOST_BYTES {
            self.bytes = bytes;
            self.notices.push(notice);
            return true;
        }
        let is_change = matches!(notice, Notice::RulesChanged { .. });
        self.changes_beyond += u64::from(is_change);
        is_change
    }

    /// Whether nothing was told.
    pub(super) fn is_empty(&self) -> bool {
        self.notices.is_empty() && self.works.is_empty() && self.changes_beyond == 0
    }

    /// Forgets what was told, and says so to whoever waits.
    pub(super) fn refuse(&mut self, error: &DatabaseError) {
        self.refuse_works(error);
        *self = Self::default();
    }

    /// Makes none of the changes. What was told stays, with their notices.
    pub(super) fn refuse_works(&mut self, error: &DatabaseError) {
        for FileWork { notices, done, .. } in self.works.drain(..) {
            self.bytes += notices.iter().map(Notice::weight).sum::<usize>();
            self.notices.extend(notices);
            // Whoever doesn't wait for the answer has left.
            let _ = done.send(Err(error.clone()));
        }
    }
}

impl std::fmt::Debug for FileWork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileWork").field("notices", &self.notices).finish_non_exhaustive()
    }
}
