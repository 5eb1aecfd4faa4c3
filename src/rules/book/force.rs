//! Changes that were judged elsewhere: they are taken as they are.

use super::draft::{AppliedBatch, Draft};
use super::prepared::PreparedPut;
use super::record::WidgetRecord;
use super::rule_book::RuleBook;
use crate::rules::change::Outcome;
use crate::rules::documents::Json;
use crate::rules::fingerprint::FingerprintKey;
use crate::rules::storage::share::{term, term_of_deletion};
use crate::rules::storage::{WidgetState, Write};
use crate::rules::tombstone::Tombstone;
use embedgate_policy::compiled::WidgetRules;
use embedgate_policy::widget::{Widget, WidgetId};

/// Change that was judged elsewhere, with the revision that it has there.
pub(in crate::rules) struct ForcedChange {
    pub(in crate::rules) id: WidgetId,
    revision: u64,
    /// What the widget's state adds to the digest of all.
    pub(in crate::rules) term: u128,
    state: ForcedState,
}

/// State that a widget is to have.
enum ForcedState {
    Put(Box<PreparedPut>),
    Deleted { was_restricted: bool },
}

impl ForcedChange {
    /// A document, with its revision.
    pub(in crate::rules) fn put(mut widget: Widget, key: FingerprintKey) -> Self {
        let put = Box::new(PreparedPut::of(&mut widget, key));
        let (id, revision) = (widget.id, widget.revision.unwrap_or(1));
        Self { term: term(&id, revision, &put.json), id, revision, state: ForcedState::Put(put) }
    }

    /// A deletion.
    pub(in crate::rules) fn delete(id: WidgetId, revision: u64, was_restricted: bool) -> Self {
        let term = term_of_deletion(&id, revision, was_restricted);
        Self { id, revision, term, state: ForcedState::Deleted { was_restricted } }
    }

    /// The document; `None` for a deletion.
    pub(in crate::rules) fn json(&self) -> Option<&Json> {
        match &self.state {
            ForcedState::Put(put) => Some(&put.json),
            ForcedState::Deleted { .. } => None,
        }
    }
}

impl RuleBook {
    /// The next book with these changes in it, whatever was in force before. There is a write for each of them, also for
    /// one that finds everything as it is.
    pub(in crate::rules) fn force(&self, changes: Vec<ForcedChange>) -> AppliedBatch {
        let mut draft = Draft::new(self, changes.len());
        let outcomes = changes.into_iter().map(|change| draft.force(change)).collect();
        draft.finish(outcomes)
    }
}

impl Draft<'_> {
    fn force(&mut self, ForcedChange { id, revision, state, .. }: ForcedChange) -> Outcome {
        let current = self.current(&id);
        match state {
            ForcedState::Put(put) => match current.filter(|current| current.is(revision, put.fingerprint)) {
                Some(_) => {
                    let PreparedPut { rules, fingerprint, json, .. } = *put;
                    let rules = WidgetRules { revision, ..rules.as_rules() };
                    let record = WidgetRecord { rules, fingerprint }.write().into();
                    self.writes.push(Write { id, state: WidgetState::Put { revision, json, record } });
                    Outcome::Unchanged { revision }
                }
                None => {
                    self.store(id, *put, revision, current);
                    match current {
                        Some(_) => Outcome::Updated { revision },
                        None => Outcome::Created { revision },
                    }
                }
            },
            ForcedState::Deleted { was_restricted } => {
                let tombstone = Tombstone { revision, was_restricted, withdrawn: None };
                if current.is_none() && self.tombstone(&id) == Some(tombstone) {
                    self.writes.push(Write { id, state: WidgetState::Deleted(tombstone) });
                    return Outcome::Unchanged { revision };
                }
                self.bury(&id, tombstone, current);
                Outcome::Deleted { revision }
            }
        }
    }
}
