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
use super::{DocumentPages, RuleSource, SourceFollower, SourceKind, StartedSource};
use crate::rules::error::{RulesError, SaveError, SourceError};
use crate::rules::publisher::{Published, Publisher};
use embedgate_policy::suffix::PublicSuffixes;
use embedgate_policy::widget::Widget;

mod document;
mod folders;
mod reading;
mod snapshot;
mod text;

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
}

impl FileSource {
    /// The file or folder at this path.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Reads the documents once.
    ///
    /// # Errors
    ///
    /// Where the files can't be read, are too large or have faults.
    pub fn read(&self, suffixes: &PublicSuffixes) -> Result<Vec<Widget>, SourceError> {
        look(&self.path, FileReading::take(&self.path), suffixes, |documents| Ok(documents.widgets)).1
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
        let follower = FileFollower::start(self.path.clone(), suffixes, publisher)?;
        Ok(StartedSource { publisher: Arc::clone(&follower.publisher), follower: Some(Box::new(follower)) })
    }

    fn documents(&self, suffixes: Arc<PublicSuffixes>) -> Result<DocumentPages, RulesError> {
        Ok(Box::new(iter::once(Ok(self.read(&suffixes)?))))
    }
}

/// Follower of a file or folder: the whole truth of its [`Publisher`]. Files are read on tokio's blocking threads.
struct FileFollower {
    path: PathBuf,
    suffixes: Arc<PublicSuffixes>,
    publisher: Arc<Publisher>,
    seen: FilesSeen,
}

#[async_trait]
impl SourceFollower for FileFollower {
    async fn follow(self: Box<Self>, mut shutdown: watch::Receiver<bool>) {
        let changed = Arc::new(Notify::new());
        let mut folders = Folders::new(Arc::clone(&changed));
        let mut follower = self;
        let mut notified = true;
        loop {
            let check = tokio::task::spawn_blocking(move || {
                // Listening comes before looking: what changes in between is heard.
                folders.follow(&follower.path, notified);
                follower.check();
                (follower, folders)
            });
            (follower, folders) = match check.await {
                Ok(both) => both,
                Err(error) => {
                    tracing::error!(%error, "rules files are followed no longer; the last good rules stay in force");
                    return;
                }
            };
            let poll = if follower.seen.stamp.file_count() > MANY_FILES { POLL_MANY } else { POLL };
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

impl FileFollower {
    /// Puts the rules of `path` in force, for the first time.
    fn start(path: PathBuf, suffixes: Arc<PublicSuffixes>, publisher: Publisher) -> Result<Self, RulesError> {
        let publisher = Arc::new(publisher.read_only());
        let (seen, published) = look(&path, FileReading::take(&path), &suffixes, |documents| {
            publish(&publisher, documents).map_err(RulesError::from)
        });
        published?;
        Ok(Self { path, suffixes, publisher, seen })
    }

    /// Looks at the path and puts in force what is new there.
    fn check(&mut self) {
        let stamp = PathStamp::take(&self.path);
        if stamp != self.seen.stamp {
            settle(&self.path, stamp);
        } else if !stamp.is_fresh(self.seen.read_at) {
            return;
        }
        let reading = FileReading::take(&self.path);
        if reading.seen.contents == self.seen.contents {
            self.seen = reading.seen;
            return;
        }
        let (seen, published) = look(&self.path, reading, &self.suffixes, |documents| {
            publish(&self.publisher, documents).map_err(RulesError::from)
        });
        self.seen = seen;
        match published {
            Ok(published) if published.changed.is_empty() => {
                tracing::info!(
                    generation = published.generation,
                    "rules files read; they say what is in force"
                );
            }
            // The publisher tells of what it did and of what it refused.
            Ok(_) | Err(RulesError::Save(_)) => {}
            Err(error) => self.publisher.reject(&error),
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

/// Reads the documents out of a reading and hands them on. A fault is believed when a second look finds the same
/// again: the first may have met a writer halfway.
fn look<T, E: From<SourceError>>(
    path: &Path,
    mut reading: FileReading,
    suffixes: &PublicSuffixes,
    then: impl FnOnce(FileDocuments<'_>) -> Result<T, E>,
) -> (FilesSeen, Result<T, E>) {
    let deadline = Instant::now() + SECOND_LOOKS_AT_MOST;
    loop {
        let FileReading { seen, snapshot } = reading;
        let error = match snapshot {
            Err(error) => error,
            Ok(snapshot) => match document::parse(&snapshot, suffixes) {
                Ok(documents) => return (seen, then(documents)),
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

fn publish(publisher: &Publisher, documents: FileDocuments<'_>) -> Result<Published, SaveError> {
    let FileDocuments { widgets, positions } = documents;
    publisher.replace_all(widgets, |fault| positions.locate(fault))
}

#[cfg(test)]
mod tests;
