//! Rules files under one lock: whoever reads them puts them in force before anybody reads them again.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::document::FileDocuments;
use super::reading::{FileReading, FilesSeen};
use super::snapshot::PathStamp;
use super::{look, settle};
use crate::rules::change::Actor;
use crate::rules::error::{RulesError, SaveError, SourceError, WideChange};
use crate::rules::publisher::{Published, Publisher};
use crate::rules::source::{FilesInForce, RulesFile, SourceKind};
use embedgate_policy::suffix::PublicSuffixes;

/// Rules files that are the whole truth of a [`Publisher`].
pub(super) struct WatchedFiles {
    pub(super) path: PathBuf,
    suffixes: Arc<PublicSuffixes>,
    pub(super) publisher: Arc<Publisher>,
    /// Held while files are read and put in force: each reading is judged once, by what the one before has left.
    pub(super) seen: Mutex<FilesSeen>,
    outcome: Mutex<LastOutcome>,
}

/// What became of the readings so far. It has a lock of its own, so that whoever asks waits for nobody.
struct LastOutcome {
    /// The fingerprint of the contents in force.
    in_force: u64,
    held: Option<WideChange>,
    /// When the same files are read again, because it wasn't what they say that kept them from being in force.
    retry_at: Option<Instant>,
    /// What was told of that last.
    told: Option<String>,
}

/// Between two tries to put in force what a full disk, or another fault that passes, has kept out.
const RETRY: Duration = Duration::from_secs(5);

impl WatchedFiles {
    /// Puts the rules of `path` in force, for the first time. `before`: what is in force in the process before this one,
    /// which has judged it; nothing else is taken over.
    pub(super) fn start(
        path: PathBuf,
        suffixes: Arc<PublicSuffixes>,
        publisher: Publisher,
        before: Option<u64>,
    ) -> Result<Self, RulesError> {
        let publisher = Arc::new(publisher.read_only());
        let (seen, started) = look(&path, FileReading::take(&path), &suffixes, |contents, documents| {
            if before.is_some_and(|before| before != contents) {
                return Err(SourceError::NotInForce { path: path.clone() }.into());
            }
            let published = publish(&publisher, documents, None, Actor::Source(SourceKind::FILE));
            published.map(|_| contents).map_err(RulesError::from)
        });
        let outcome = Mutex::new(LastOutcome { in_force: started?, held: None, retry_at: None, told: None });
        Ok(Self { path, suffixes, publisher, seen: Mutex::new(seen), outcome })
    }

    /// Looks at the files, puts in force what is new there, and returns how many files there are.
    pub(super) fn check(&self) -> usize {
        let mut seen = self.seen.lock();
        let stamp = PathStamp::take(&self.path);
        let is_due = self.outcome.lock().retry_at.is_some_and(|at| at <= Instant::now());
        if stamp != seen.stamp {
            settle(&self.path, stamp);
        } else if !is_due && !stamp.is_fresh(seen.read_at) {
            return stamp.file_count();
        }
        let reading = FileReading::take(&self.path);
        if reading.seen.contents == seen.contents && !is_due {
            *seen = reading.seen;
        } else {
            let actor = Actor::Source(SourceKind::FILE);
            // The publisher tells of what was done and of what was refused.
            if let Ok(published) = self.take(&mut seen, reading, None, actor)
                && published.changed.is_empty()
            {
                tracing::info!(
                    generation = published.generation,
                    "rules files read; they say what is in force"
                );
            }
        }
        seen.stamp.file_count()
    }

    /// Puts a reading in force.
    fn take(
        &self,
        seen: &mut FilesSeen,
        reading: FileReading,
        confirmed: Option<usize>,
        actor: Actor,
    ) -> Result<Published, RulesError> {
        let (now_seen, published) = look(&self.path, reading, &self.suffixes, |contents, documents| {
            let published = publish(&self.publisher, documents, confirmed, actor);
            published.map(|published| (contents, published)).map_err(RulesError::from)
        });
        *seen = now_seen;
        let mut outcome = self.outcome.lock();
        outcome.held = match &published {
            Err(RulesError::Save(SaveError::WideChange { wide, .. })) => Some(*wide),
            _ => None,
        };
        if let Ok((contents, _)) = published {
            outcome.in_force = contents;
        }
        let passing = published.as_ref().err().filter(|error| is_passing(error));
        outcome.retry_at = passing.map(|_| Instant::now() + RETRY);
        let told = std::mem::replace(&mut outcome.told, passing.map(ToString::to_string));
        let is_told = told.is_some() && told == outcome.told;
        drop(outcome);
        if let Err(error @ (RulesError::Source(_) | RulesError::Store(_))) = &published
            && !is_told
        {
            self.publisher.reject(error);
        }
        published.map(|(_, published)| published)
    }
}

impl RulesFile for WatchedFiles {
    fn apply(&self, confirm: Option<usize>, actor: Actor) -> Result<Published, RulesError> {
        let mut seen = self.seen.lock();
        self.take(&mut seen, FileReading::take(&self.path), confirm, actor)
    }

    fn held(&self) -> Option<WideChange> {
        self.outcome.lock().held
    }

    fn in_force(&self) -> FilesInForce {
        FilesInForce { path: self.path.display().to_string(), fingerprint: self.outcome.lock().in_force }
    }
}

/// Whether it may be over although the files stay as they are.
fn is_passing(error: &RulesError) -> bool {
    matches!(
        error,
        RulesError::Source(SourceError::Unreadable { .. })
            | RulesError::Save(
                SaveError::AuditUnavailable { .. } | SaveError::Storage(_) | SaveError::WriterFailed
            )
    )
}

fn publish(
    publisher: &Publisher,
    documents: FileDocuments<'_>,
    confirmed: Option<usize>,
    actor: Actor,
) -> Result<Published, SaveError> {
    let FileDocuments { widgets, positions } = documents;
    publisher.replace_confirmed(widgets, confirmed, actor, |fault| positions.locate(fault))
}
