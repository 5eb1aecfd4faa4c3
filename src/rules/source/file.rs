//! Rules from a file, or from a folder of `.json` files, watched.
//!
//! A rules file is `{"widgets": [...]}`; in a folder a file may also be a single widget's document. The files are
//! the whole truth: a widget they no longer name is withdrawn. An edit is in force within a second however it is
//! made (in place, by rename, by turning a link); what can't be taken changes nothing, and neither does a file
//! that goes away: the last good rules stay until there are better ones.

use std::iter;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use self::document::FileDocuments;
use self::folders::Folders;
use self::reading::{FileReading, FilesSeen};
use self::snapshot::PathStamp;
use self::watched::WatchedFiles;
use super::{DocumentPages, FilesInForce, RuleSource, SourceFollower, SourceKind, StartedSource};
use crate::rules::error::{RulesError, SourceError};
use crate::rules::publisher::Publisher;
use embedgate_policy::suffix::PublicSuffixes;
use embedgate_policy::widget::Widget;

mod document;
mod folders;
mod reading;
mod snapshot;
mod text;
mod watched;

/// After a notification, and between two looks that must agree before a file counts as written.
const SETTLE: Duration = Duration::from_millis(20);
/// How long to wait for that at most: a folder that never rests is read all the same.
const SETTLE_AT_MOST: Duration = Duration::from_millis(200);
/// Before a fault is believed the files are read again: a writer may be halfway.
const SECOND_LOOK: Duration = Duration::from_millis(150);
/// How long to go on while each look finds something else.
const SECOND_LOOKS_AT_MOST: Duration = Duration::from_millis(450);
/// Looking without being told, for file systems that tell nothing (network shares, mounts of containers). Short
/// enough to keep the promise of a second there too, unless there are many files to look at.
const POLL: Duration = Duration::from_millis(500);
const POLL_MANY: Duration = Duration::from_secs(2);
const MANY_FILES: usize = 1000;

/// Watched file or folder as a source of rules.
pub struct FileSource {
    path: PathBuf,
    /// The fingerprint of what is in force in the process before this one.
    before: Option<u64>,
}

impl FileSource {
    /// The file or folder at this path.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), before: None }
    }

    /// The same, of which nothing else is taken than what is in force in the process before this one. Where that reads
    /// other files, a start is one like any other.
    #[must_use]
    pub fn taking_over(self, before: Option<&FilesInForce>) -> Self {
        let same = before.filter(|before| before.path == self.path.display().to_string());
        Self { before: same.map(|before| before.fingerprint), ..self }
    }

    /// Reads the documents once.
    ///
    /// # Errors
    ///
    /// Where the files can't be read, are too large or have faults.
    pub fn read(&self, suffixes: &PublicSuffixes) -> Result<Vec<Widget>, SourceError> {
        look(&self.path, FileReading::take(&self.path), suffixes, |_, documents| Ok(documents.widgets)).1
    }
}

impl RuleSource for FileSource {
    fn kind(&self) -> SourceKind {
        SourceKind::FILE
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn location(&self) -> String {
        self.path.display().to_string()
    }

    fn start(
        &self,
        publisher: Publisher,
        suffixes: Arc<PublicSuffixes>,
    ) -> Result<StartedSource, RulesError> {
        let files = Arc::new(WatchedFiles::start(self.path.clone(), suffixes, publisher, self.before)?);
        let publisher = Arc::clone(&files.publisher);
        let follower = Box::new(FileFollower(Arc::clone(&files)));
        Ok(StartedSource { publisher, follower: Some(follower), file: Some(files), fleet: None })
    }

    fn documents(&self, suffixes: Arc<PublicSuffixes>) -> Result<DocumentPages, RulesError> {
        Ok(Box::new(iter::once(Ok(self.read(&suffixes)?))))
    }
}

/// Follower of a file or folder. Files are read on tokio's blocking threads.
struct FileFollower(Arc<WatchedFiles>);

#[async_trait]
impl SourceFollower for FileFollower {
    async fn follow(self: Box<Self>, mut shutdown: watch::Receiver<bool>) {
        let changed = Arc::new(Notify::new());
        let mut folders = Folders::new(Arc::clone(&changed));
        let mut notified = true;
        loop {
            let files = Arc::clone(&self.0);
            let check = tokio::task::spawn_blocking(move || {
                // Listening comes before looking: what changes in between is heard.
                folders.follow(&files.path, notified);
                (files.check(), folders)
            });
            let count;
            (count, folders) = match check.await {
                Ok(both) => both,
                Err(error) => {
                    tracing::error!(%error, "rules files are followed no longer; the last good rules stay in force");
                    return;
                }
            };
            let poll = if count > MANY_FILES { POLL_MANY } else { POLL };
            notified = tokio::select! {
                _ = shutdown.wait_for(|stop| *stop) => return,
                () = changed.notified() => true,
                () = tokio::time::sleep(poll) => false,
            };
            if notified {
                tokio::time::sleep(SETTLE).await;
            }
        }
    }
}

/// Waits until the files rest.
fn settle(path: &Path, mut stamp: PathStamp) {
    let deadline = Instant::now() + SETTLE_AT_MOST;
    while Instant::now() < deadline {
        pause(SETTLE);
        let next = PathStamp::take(path);
        if next == stamp {
            return;
        }
        stamp = next;
    }
}

/// Reads the documents out of a reading and hands them on, with the fingerprint of what holds them. A fault is believed
/// when a second look finds the same again: the first may have met a writer halfway.
fn look<T, E: From<SourceError>>(
    path: &Path,
    mut reading: FileReading,
    suffixes: &PublicSuffixes,
    then: impl FnOnce(u64, FileDocuments<'_>) -> Result<T, E>,
) -> (FilesSeen, Result<T, E>) {
    let deadline = Instant::now() + SECOND_LOOKS_AT_MOST;
    loop {
        let FileReading { seen, snapshot } = reading;
        let error = match snapshot {
            Err(error) => error,
            Ok(snapshot) => match document::parse(&snapshot, suffixes) {
                Ok(documents) => return (seen, then(snapshot.fingerprint, documents)),
                Err(error) => error,
            },
        };
        pause(SECOND_LOOK);
        let next = FileReading::take(path);
        if next.seen.contents == seen.contents || Instant::now() >= deadline {
            return (seen, Err(error.into()));
        }
        reading = next;
    }
}

#[expect(clippy::disallowed_methods, reason = "on tokio's blocking threads, or before there is a runtime")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

#[cfg(test)]
mod tests;
