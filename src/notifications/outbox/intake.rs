//! Intake: what was told and is not written yet.

use tokio::sync::oneshot;

use super::file::FileChange;
use crate::database::DatabaseError;
use crate::notifications::notice::Notice;

/// Notices that wait to be written at most, and bytes of them.
const MOST: usize = 4096;
const MOST_BYTES: usize = 8 << 20;

/// Changes of the file that wait at most.
const MOST_WORKS: usize = 4096;

/// What was told and is not written yet.
#[derive(Debug, Default)]
pub(super) struct NoticeIntake {
    pub(super) notices: Vec<Notice>,
    bytes: usize,
    pub(super) works: Vec<FileWork>,
    /// Revocations that were told, and their bytes.
    revocations: (usize, usize),
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
            self.count(&notice);
            self.notices.push(notice);
            return true;
        }
        let is_change = matches!(notice, Notice::RulesChanged { .. });
        self.changes_beyond += u64::from(is_change);
        is_change
    }

    /// Takes a change of the file. Where too many wait, it is not made; its notices are taken all the same.
    pub(super) fn take_work(&mut self, work: FileWork) {
        work.notices.iter().for_each(|notice| self.count(notice));
        if self.works.len() < MOST_WORKS {
            self.works.push(work);
        } else {
            self.refuse_work(
                work,
                &DatabaseError { detail: "too many changes wait for the disk".to_owned() },
            );
        }
    }

    /// Revocations that were told and are not written yet, and their bytes.
    pub(super) fn revocations(&self) -> (usize, usize) {
        self.revocations
    }

    fn count(&mut self, notice: &Notice) {
        if matches!(notice, Notice::SessionRevoked { .. }) {
            let (number, bytes) = self.revocations;
            self.revocations = (number + 1, bytes + notice.weight());
        }
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
        for work in std::mem::take(&mut self.works) {
            self.refuse_work(work, error);
        }
    }

    fn refuse_work(&mut self, FileWork { notices, done, .. }: FileWork, error: &DatabaseError) {
        self.bytes += notices.iter().map(Notice::weight).sum::<usize>();
        self.notices.extend(notices);
        // Whoever doesn't wait for the answer has left.
        let _ = done.send(Err(error.clone()));
    }
}

impl std::fmt::Debug for FileWork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileWork").field("notices", &self.notices).finish_non_exhaustive()
    }
}
