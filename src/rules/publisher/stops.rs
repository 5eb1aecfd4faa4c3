//! Kill switches that could not be kept: in force all the same, and kept as soon as that is possible.

use std::sync::Arc;

use tokio::time::Instant;

use super::Publisher;
use super::editing::{holds, unknown};
use super::published::{NotKept, Published};
use super::queue::{AnswerSlot, CallFailure, Work};
use crate::rules::book::{DisabledWidget, RuleBook};
use crate::rules::change::{Actor, ChangedWidget, Outcome, Precondition};
use crate::rules::edit::disable::disabled;
use crate::rules::error::{SaveError, StoreError};
use crate::rules::storage::stops::UnkeptStop;
use crate::rules::storage::{Author, Commit, SignedWrite, Storage};
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
    /// Kill switches that are in force and could not be kept yet.
    pub fn not_kept(&self) -> Vec<NotKept> {
        let stops = self.storage.stops().into_iter();
        stops
            .map(|(id, UnkeptStop { revision, author, .. })| NotKept { id, revision, since: author.at })
            .collect()
    }

    /// Tries to keep the kill switches that could not be kept yet. To be called again and again while there are some.
    ///
    /// # Errors
    ///
    /// Why some of them still can't be kept.
    pub fn keep_stops(&self) -> Result<(), SaveError> {
        if self.storage.stops().is_empty() {
            return Ok(());
        }
        match self.queue.run(Work::Keep, |group| self.write(group)) {
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
            let commit = Commit { generation: in_force.generation(), writes };
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
        self.write_stops().map_err(|error| {
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
                    self.storage.stop(id.clone(), UnkeptStop { revision, record, json, author });
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
