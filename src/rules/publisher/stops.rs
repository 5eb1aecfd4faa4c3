//! Kill switches that could not be kept or published: in force all the same, and kept as soon as that is possible.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::Instant;

use super::Publisher;
use super::editing::{holds, unknown};
use super::published::{NotKept, Published};
use super::queue::{AnswerSlot, CallFailure, Work};
use crate::rules::book::{DisabledWidget, RuleBook};
use crate::rules::change::{Actor, ChangedWidget, Outcome, Precondition};
use crate::rules::edit::disable::disabled;
use crate::rules::error::{BucketError, SaveError, StoreError};
use crate::rules::storage::stops::{PublishedStop, UnkeptStop};
use crate::rules::storage::{Author, Commit, SignedWrite, Storage, WidgetState};
use embedgate_policy::widget::WidgetId;

/// Call of a kill switch.
pub(super) struct StopCall {
    pub(super) id: WidgetId,
    pub(super) only_if: Precondition,
    pub(super) actor: Actor,
    pub(super) answer: Arc<AnswerSlot>,
}

impl StopCall {
    /// The widget's revision, and whether it is still enabled.
    fn judge(&self, book: &RuleBook) -> Result<(u64, bool), SaveError> {
        let rules = book.get(self.id.as_str()).ok_or_else(|| unknown(&self.id))?;
        holds(&self.id, &self.only_if, Some(rules.revision))?;
        Ok((rules.revision, rules.enabled))
    }
}

impl Publisher {
    /// What is in force and could not be kept yet, by id: kill switches, and what a bucket says.
    pub fn not_kept(&self) -> Vec<NotKept> {
        let late = self.storage.behind().unkept().into_iter().filter_map(|(id, change)| {
            let since = change.since?;
            let revision = match change.write?.write.state {
                WidgetState::Put { revision, .. } => revision,
                WidgetState::Deleted(tombstone) => tombstone.revision,
            };
            Some((id.clone(), NotKept { id, revision, since }))
        });
        let stops = self.storage.stops().into_iter().filter(|(_, stop)| stop.published.sequence.is_none());
        let stops = stops.map(|(id, UnkeptStop { revision, author, .. })| {
            (id.clone(), NotKept { id, revision, since: author.at })
        });
        // A kill switch is what is in force, whatever is under it.
        late.chain(stops).collect::<BTreeMap<_, _>>().into_values().collect()
    }

    /// Tries to keep what is in force and could not be kept yet. To be called again and again while there is something.
    ///
    /// # Errors
    ///
    /// Why some of it still can't be kept.
    pub fn keep_stops(&self) -> Result<(), SaveError> {
        let published = match self.sharing.bucket() {
            Some(bucket) => self.publish_stops(bucket),
            None if self.storage.stops().is_empty() => return Ok(()),
            None => Ok(()),
        };
        if self.sharing.bucket().is_some() && self.storage.behind().is_kept() {
            return published;
        }
        let kept = self.keep_in_turn();
        published.and(kept)
    }

    fn keep_in_turn(&self) -> Result<(), SaveError> {
        match self.run(Work::Keep) {
            Err(CallFailure::NotSaved(error)) => Err(error),
            Ok(_) | Err(CallFailure::Rejected(_)) => Ok(()),
        }
    }

    /// The same, by whoever is the writer.
    pub(super) fn write_stops(&self) -> Result<(), SaveError> {
        let in_force = self.live.load_full();
        let writes = self.storage.writes(in_force.key());
        // No book is put in force: that of this generation is, with them in it.
        let keep = |writes: Vec<SignedWrite>| {
            let commit = Commit { generation: in_force.generation(), writes, share: None };
            self.record_and_commit(&commit)?;
            self.settle(&commit.writes);
            Ok::<(), SaveError>(())
        };
        if !writes.is_empty()
            && let Err(error) = keep(writes.clone())
        {
            if writes.len() == 1 {
                return Err(error);
            }
            // One that can't be written is not to keep the others from it.
            let tried: Vec<_> = writes.into_iter().map(|write| keep(vec![write])).collect();
            tried.into_iter().collect::<Result<(), SaveError>>()?;
        }
        match self.storage.stops().first() {
            None => Ok(()),
            Some((id, _)) => {
                let source = Arc::from(Box::from(format!("the document of `{id}` can't be read")));
                Err(SaveError::Storage(StoreError::Failed { source }))
            }
        }
    }

    /// What was to be kept before another process may have the storage.
    pub(super) fn keep_stops_before_lending(&self) -> Result<(), StoreError> {
        let kept = match self.sharing.bucket() {
            None => self.write_stops(),
            Some(_) if !self.storage.stops().is_empty() => {
                let detail = "it has not come back from the bucket".into();
                Err(BucketError::Unavailable { detail }.into())
            }
            Some(_) => self.keep_now(),
        };
        kept.map_err(|error| {
            let ids: Vec<String> = self.not_kept().into_iter().map(|stop| format!("`{}`", stop.id)).collect();
            let text = format!(
                "the kill switch of {} is in force and can't be kept, so another process would not know it: {error}",
                ids.join(", ")
            );
            StoreError::Failed { source: Arc::from(Box::from(text)) }
        })
    }

    /// Takes kill switches away that are kept now.
    pub(super) fn settle(&self, kept: &[SignedWrite]) {
        for id in self.storage.settle(kept) {
            tracing::info!(widget = %id, "the kill switch that could not be kept is kept now");
        }
    }

    /// Puts kill switches in force without keeping them, and answers their calls. `cause`: why they can't be kept.
    pub(super) fn stop(&self, calls: Vec<StopCall>, cause: &SaveError) {
        let started = Instant::now();
        let in_force = self.live.load_full();
        let generation = in_force.generation().saturating_add(1);
        let mut book = RuleBook::clone(&in_force);
        let mut changed: Vec<(ChangedWidget, Arc<str>)> = Vec::new();
        let mut answers: Vec<(Arc<AnswerSlot>, WidgetId, Published)> = Vec::new();
        for call in calls {
            let (before, enabled) = match call.judge(&book) {
                Ok(judged) => judged,
                Err(error) => {
                    call.answer.give(Err(CallFailure::NotSaved(error)));
                    continue;
                }
            };
            let StopCall { id, actor, answer, .. } = call;
            let stored = self.storage.stored(id.as_str()).ok().flatten();
            let json = stored.and_then(|stored| disabled(&stored.json));
            let stopped = if enabled { book.disable(&id, json.as_deref()) } else { None };
            let mut own = Vec::new();
            let outcome = match stopped {
                None => Outcome::Unchanged { revision: before },
                Some(DisabledWidget { book: next, revision, record, .. }) => {
                    let author = Author::now(actor, generation);
                    own.push(ChangedWidget { id: id.clone(), before: Some(before), after: Some(revision) });
                    changed.extend(own.iter().map(|changed| (changed.clone(), Arc::clone(&author.name))));
                    let published = PublishedStop::default();
                    self.storage.stop(id.clone(), UnkeptStop { revision, record, json, author, published });
                    book = next;
                    tracing::error!(
                        widget = %id,
                        error = %cause,
                        "the widget is disabled, but that could not be kept: a restart would enable it again; it is tried \
                         again each second"
                    );
                    Outcome::Updated { revision }
                }
            };
            let (outcomes, durable) = (vec![outcome], !self.storage.is_stopped(&id));
            let published = Published {
                generation,
                outcomes,
                changed: own,
                removed: 0,
                document: None,
                durable,
                sequence: None,
            };
            answers.push((answer, id, published));
        }
        let generation = if changed.is_empty() { in_force.generation() } else { generation };
        if !changed.is_empty() {
            changed.sort_by(|(a, _), (b, _)| a.id.cmp(&b.id));
            let (changed, actors): (Vec<_>, Vec<_>) = changed.into_iter().unzip();
            self.put_in_force(book.at_generation(generation), &changed, &actors, started);
        }
        for (answer, id, published) in answers {
            let document = self.storage.documents().get(id.as_str()).ok().flatten().map(Box::new);
            answer.give(Ok(Published { generation, document, ..published }));
        }
    }
}

#[cfg(test)]
mod tests;
