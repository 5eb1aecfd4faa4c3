//! Rules from a file, or from a folder of `.json` files, watched.
//!
//! A rules file is `{"widgets": [...]}`; in a folder a file may also be a single widget's document. The files are
//! the whole truth: a widget they no longer name is withdrawn. An edit is in force within a second however it is
//! made (in place, by rename, by turning a link); what can't be taken changes nothing, and neither does a file
//! that goes away: the last good rules stay until there are better ones.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use self::document::Documents;
use self::folders::Folders;
use self::reading::{Reading, Seen};
use self::snapshot::Stamp;
use crate::policy::suffix::PublicSuffixes;
use crate::policy::widget::Widget;
use crate::rules::error::RulesError;
use crate::rules::publisher::{Published, Publisher};

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

/// The public suffixes that entries are checked against: shipped (`&'static`) or brought (`Arc`).
type Suffixes = Box<dyn Deref<Target = PublicSuffixes> + Send + Sync>;

/// A watched file or folder, the whole truth of a [`Publisher`].
pub struct FileSource {
    path: PathBuf,
    suffixes: Suffixes,
    publisher: Arc<Publisher>,
    seen: Seen,
}

impl FileSource {
    /// Reads the documents of a file or folder once, for tools that work without an edge.
    pub fn load_once(path: &Path, suffixes: &PublicSuffixes) -> Result<Vec<Widget>, RulesError> {
        look(path, Reading::take(path), suffixes, |documents| Ok(documents.widgets)).1
    }

    /// Puts the rules of `path` in force, for the first time. A fault is the caller's to report; nothing is in
    /// force then. From here on [`FileSource::watch`] follows the path.
    pub fn start(
        path: impl Into<PathBuf>,
        suffixes: impl Deref<Target = PublicSuffixes> + Send + Sync + 'static,
        publisher: Arc<Publisher>,
    ) -> Result<Self, RulesError> {
        let path = path.into();
        let (seen, published) =
            look(&path, Reading::take(&path), &suffixes, |documents| publish(&publisher, documents));
        published?;
        Ok(Self { path, suffixes: Box::new(suffixes), publisher, seen })
    }

    /// Follows the path until `shutdown` turns true or its sender is gone. Files are read on tokio's blocking
    /// threads.
    pub async fn watch(self, mut shutdown: watch::Receiver<bool>) {
        let changed = Arc::new(Notify::new());
        let mut folders = Folders::new(Arc::clone(&changed));
        let mut source = self;
        let mut notified = true;
        loop {
            let check = tokio::task::spawn_blocking(move || {
                // Listening comes before looking: what changes in between is heard.
                folders.follow(&source.path, notified);
                source.check();
                (source, folders)
            });
            (source, folders) = match check.await {
                Ok(both) => both,
                Err(error) => {
                    tracing::error!(%error, "rules files are followed no longer; the last good rules stay in force");
                    return;
                }
            };
            let poll = if source.seen.stamp.file_count() > MANY_FILES { POLL_MANY } else { POLL };
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

    /// Looks at the path and puts in force what is new there.
    fn check(&mut self) {
        let stamp = Stamp::take(&self.path);
        if stamp != self.seen.stamp {
            settle(&self.path, stamp);
        } else if !stamp.is_fresh(self.seen.read_at) {
            return;
        }
        let reading = Reading::take(&self.path);
        if reading.seen.contents == self.seen.contents {
            self.seen = reading.seen;
            return;
        }
        let mut judged = false;
        let (seen, published) = look(&self.path, reading, &self.suffixes, |documents| {
            judged = true;
            publish(&self.publisher, documents)
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
            Ok(_) => {}
            Err(_) if judged => {}
            Err(error) => self.publisher.reject(&error),
        }
    }
}

/// Waits until the files rest.
fn settle(path: &Path, mut stamp: Stamp) {
    let deadline = Instant::now() + SETTLE_AT_MOST;
    while Instant::now() < deadline {
        pause(SETTLE);
        let next = Stamp::take(path);
        if next == stamp {
            return;
        }
        stamp = next;
    }
}

/// Reads the documents out of a reading and hands them on. A fault is believed when a second look finds the same
/// again: the first may have met a writer halfway.
fn look<T>(
    path: &Path,
    mut reading: Reading,
    suffixes: &PublicSuffixes,
    then: impl FnOnce(Documents<'_>) -> Result<T, RulesError>,
) -> (Seen, Result<T, RulesError>) {
    let deadline = Instant::now() + SECOND_LOOKS_AT_MOST;
    loop {
        let Reading { seen, snapshot } = reading;
        let error = match snapshot {
            Err(error) => error,
            Ok(snapshot) => match document::parse(&snapshot, suffixes) {
                Ok(documents) => return (seen, then(documents)),
                Err(error) => error,
            },
        };
        pause(SECOND_LOOK);
        let next = Reading::take(path);
        if next.seen.contents == seen.contents || Instant::now() >= deadline {
            return (seen, Err(error));
        }
        reading = next;
    }
}

#[expect(clippy::disallowed_methods, reason = "on tokio's blocking threads, or before there is a runtime")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

fn publish(publisher: &Publisher, documents: Documents<'_>) -> Result<Published, RulesError> {
    let Documents { widgets, spots } = documents;
    publisher.replace_all(widgets, |fault| spots.locate(fault))
}

#[cfg(test)]
mod tests;
