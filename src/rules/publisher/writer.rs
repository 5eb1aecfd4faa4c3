//! Group commit: judge → write → audit → commit → swap → tell → answer. One group at a time.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use jiff::Timestamp;
use tokio::time::Instant;

use super::Publisher;
use super::observer::Swap;
use super::published::Published;
use super::queue::{AnswerSlot, Call, CallFailure};
use crate::rules::audit::{AuditRecord, AuditedDocument, AuditedState};
use crate::rules::book::{AppliedBatch, RuleBook};
use crate::rules::brake::{self, BrakeShare};
use crate::rules::change::{Absent, Actor, ApplyOptions, ChangedWidget};
use crate::rules::error::{Road, SaveError};
use crate::rules::storage::{Commit, WidgetState};

/// Group of calls that were judged, in their order, and the one commit they make.
struct Group {
    book: RuleBook,
    commit: Commit,
    /// How many of the writes each actor asked for, in order.
    actors: Vec<(Actor, usize)>,
    answers: Vec<(Arc<AnswerSlot>, Published)>,
}

impl Publisher {
    /// Answers every call of a group. Each is judged against the book as those before it leave it; one that
    /// can't be made fails alone.
    pub(super) fn write(&self, calls: Vec<Call>) {
        let started = Instant::now();
        let in_force = self.live.load_full();
        let group = Group::judge(&in_force, calls, self.brake());
        if !group.commit.writes.is_empty() {
            if let Err(error) = self.keep(&group) {
                for (answer, _) in group.answers {
                    answer.give(Err(CallFailure::NotSaved(error.clone())));
                }
                return;
            }
            let changed = group.changed();
            let book = Arc::new(group.book);
            self.live.swap(Arc::clone(&book));
            self.announce(&Swap {
                source: self.source,
                book: &book,
                changed: &changed,
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

    /// Makes a group's writes durable, and their record before.
    fn keep(&self, group: &Group) -> Result<(), SaveError> {
        let pending = self.storage.prepare(&group.commit)?;
        let audit = self.audit.as_ref().filter(|_| !self.handed_over.load(Ordering::Acquire));
        let Some(audit) = audit else { return Ok(pending.commit()?) };
        let previous = pending.previous();
        let at = Timestamp::now();
        let actors = group.actors.iter().flat_map(|(actor, writes)| std::iter::repeat_n(actor, *writes));
        let writes = group.commit.writes.iter().zip(actors).zip(&previous);
        let records: Vec<AuditRecord<'_>> = writes
            .map(|((write, actor), before)| AuditRecord {
                at,
                generation: group.commit.generation,
                source: self.source,
                actor,
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

/// The road on which a call came, for what a held one is told.
fn road(options: ApplyOptions, actor: &Actor) -> Road {
    match (options.absent, actor) {
        (Absent::Withdraw, _) => Road::File,
        (_, Actor::CommandLine) => Road::Import,
        _ => Road::Batch,
    }
}

impl Group {
    fn judge(in_force: &RuleBook, calls: Vec<Call>, share: BrakeShare) -> Self {
        let generation = in_force.generation().saturating_add(1);
        let mut group = Self {
            book: in_force.clone(),
            commit: Commit { generation, writes: Vec::new() },
            actors: Vec::new(),
            answers: Vec::with_capacity(calls.len()),
        };
        for Call { changes, options, confirmed, actor, answer } in calls {
            let applied = group.book.take(changes, options).map_err(CallFailure::Rejected);
            let braked = applied.and_then(|applied| {
                let checked = brake::check(&group.book, &applied, options, share, confirmed);
                let road = road(options, &actor);
                let held = |wide| CallFailure::NotSaved(SaveError::WideChange { wide, road });
                checked.map(|()| applied).map_err(held)
            });
            match braked {
                Ok(AppliedBatch { book, outcomes, changed, writes }) => {
                    group.book = book;
                    group.actors.push((actor, writes.len()));
                    group.commit.writes.extend(writes);
                    group.answers.push((answer, Published { generation: 0, outcomes, changed }));
                }
                Err(failure) => answer.give(Err(failure)),
            }
        }
        let unchanged = group.commit.writes.is_empty();
        let generation = if unchanged { in_force.generation() } else { generation };
        group.book = group.book.at_generation(generation);
        for (_, published) in &mut group.answers {
            published.generation = generation;
        }
        group
    }

    /// What differs between the book before and the book after, each widget once, by id.
    fn changed(&self) -> Vec<ChangedWidget> {
        if let [(_, published)] = self.answers.as_slice() {
            return published.changed.clone();
        }
        let mut changed: Vec<ChangedWidget> =
            self.answers.iter().flat_map(|(_, published)| published.changed.iter().cloned()).collect();
        // Stable, so that the calls' order holds within a widget.
        changed.sort_by(|a, b| a.id.cmp(&b.id));
        changed.dedup_by(|later, first| {
            let same = later.id == first.id;
            if same {
                first.after = later.after;
            }
            same
        });
        changed
    }
}
