//! Group commit: judge → write → audit → commit → swap → tell → answer. One group at a time.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use jiff::Timestamp;
use tokio::time::Instant;

use super::Publisher;
use super::group::Group;
use super::observer::Swap;
use super::queue::{Call, CallFailure};
use crate::rules::audit::{AuditRecord, AuditedDocument, AuditedState};
use crate::rules::error::SaveError;
use crate::rules::storage::{Commit, SignedWrite, WidgetState};

impl Publisher {
    /// Answers every call of a group. Each is judged against the book as those before it leave it; one that
    /// can't be made fails alone.
    pub(super) fn write(&self, calls: Vec<Call>) {
        let started = Instant::now();
        let in_force = self.live.load_full();
        let group = Group::judge(&in_force, &*self.storage, self.brake(), calls);
        if !group.commit.writes.is_empty() {
            if let Err(error) = self.keep(&group.commit) {
                for (answer, _) in group.answers {
                    answer.give(Err(CallFailure::NotSaved(error.clone())));
                }
                return;
            }
            let (changed, actors) = group.changed();
            let book = Arc::new(group.book);
            self.live.swap(Arc::clone(&book));
            self.announce(&Swap {
                source: self.source,
                book: &book,
                changed: &changed,
                actors: &actors,
                followed: None,
                took: started.elapsed(),
            });
        }
        // A group of refusals alone is no good news.
        if !group.answers.is_empty() {
            self.status.lock().accepted(Timestamp::now());
        }
        for (answer, published) in group.answers {
            answer.give(Ok(published));
        }
    }

    /// Makes writes durable, and their record before.
    fn keep(&self, commit: &Commit) -> Result<(), SaveError> {
        let pending = self.storage.prepare(commit)?;
        let audit = self.audit.as_ref().filter(|_| !self.handed_over.load(Ordering::Acquire));
        let Some(audit) = audit else { return Ok(pending.commit()?) };
        let previous = pending.previous();
        let records: Vec<AuditRecord<'_>> = commit
            .writes
            .iter()
            .zip(&previous)
            .map(|(SignedWrite { write, author }, before)| AuditRecord {
                at: author.at,
                generation: author.generation,
                source: self.source,
                actor: &author.actor,
                widget: &write.id,
                before: before
                    .as_ref()
                    .map(|before| AuditedDocument { revision: before.revision, json: &before.json }),
                after: match &write.state {
                    WidgetState::Put { revision, json, .. } => {
                        AuditedState::Document(AuditedDocument { revision: *revision, json })
                    }
                    WidgetState::Deleted(tombstone) => AuditedState::Deleted { revision: tombstone.revision },
                },
            })
            .collect();
        audit.record(&records).map_err(|error| SaveError::AuditUnavailable { source: error.into() })?;
        Ok(pending.commit().inspect_err(|_| audit.revoke(&records))?)
    }
}
