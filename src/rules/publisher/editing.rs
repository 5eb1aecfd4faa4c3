//! Edits in the writer: each is made of the document that the calls before it leave.

use std::sync::Arc;

use super::group::Group;
use crate::rules::book::{AppliedBatch, ChangeError, DisabledWidget, PreparedChange};
use crate::rules::change::{ApplyOptions, ChangedWidget, Outcome, Precondition};
use crate::rules::documents::{HistoryEntry, restore};
use crate::rules::edit::{Edit, disable, domains, patch, revert};
use crate::rules::error::{FaultList, RuleFault, SaveError, StoreError};
use crate::rules::storage::{StoredDocument, WidgetState, Write};
use embedgate_policy::widget::{Access, DocumentFault, Widget, WidgetId};

/// What a call has made, not in force yet.
pub(super) struct Edited {
    pub(super) applied: AppliedBatch,
    /// The document, where the call is an edit.
    pub(super) document: Option<Box<Widget>>,
}

impl Group<'_> {
    pub(super) fn edit(
        &mut self,
        id: &WidgetId,
        edit: Edit,
        only_if: Precondition,
    ) -> Result<Edited, SaveError> {
        match edit {
            Edit::Patch(patch) => {
                let stored = self.current(id, &only_if)?;
                let widget = patch::apply(&stored, &patch, self.storage.suffixes());
                let widget = widget.map_err(|faults| refused(id, faults))?;
                self.judged(id, PreparedChange::put(widget.clone(), only_if, self.book.key()), widget)
            }
            Edit::Domains(domains) => {
                let stored = self.current(id, &only_if)?;
                let widget = domains::apply(&stored, &domains, self.storage.suffixes());
                let widget = widget.map_err(|faults| refused(id, faults))?;
                self.judged(id, PreparedChange::put(widget.clone(), only_if, self.book.key()), widget)
            }
            Edit::Revert { revision, may_open } => self.revert(id, revision, may_open, only_if),
            Edit::Disable => self.disable(id, &only_if),
        }
    }

    fn revert(
        &mut self,
        id: &WidgetId,
        revision: u64,
        may_open: bool,
        only_if: Precondition,
    ) -> Result<Edited, SaveError> {
        let history = self.history(id)?;
        let current = self.book.get(id.as_str()).map(|rules| (rules.revision, rules.access));
        if history.is_empty() && current.is_none() {
            return Err(unknown(id));
        }
        holds(id, &only_if, current.map(|(revision, _)| revision))?;
        let is_open = match current {
            Some((_, access)) => access == Access::Open,
            None => self.book.tombstone(id.as_str()).is_none_or(|tombstone| !tombstone.was_restricted),
        };
        let widget = revert::find(history, revision).and_then(|widget| {
            revert::check_opening(&widget, is_open, may_open)?;
            Ok(widget)
        });
        let widget = widget.map_err(|fault| refused(id, vec![fault]))?;
        let change = PreparedChange::put(widget.clone(), only_if, self.book.key());
        self.judged(id, change.opening_judged(), widget)
    }

    pub(super) fn disable(&mut self, id: &WidgetId, only_if: &Precondition) -> Result<Edited, SaveError> {
        let Some(rules) = self.book.get(id.as_str()) else { return Err(unknown(id)) };
        let (enabled, revision) = (rules.enabled, rules.revision);
        holds(id, only_if, Some(revision))?;
        let stored = self.stored(id)?.ok_or_else(|| missing(id))?;
        if !enabled {
            let applied = AppliedBatch {
                book: self.book.clone(),
                outcomes: vec![Outcome::Unchanged { revision }],
                changed: Vec::new(),
                removed: 0,
                writes: Vec::new(),
            };
            return Ok(self.edited(applied, &stored));
        }
        let json = disable::disabled(&stored.json).ok_or_else(|| missing(id))?;
        let disabled = self.book.disable(id, Some(&json)).ok_or_else(|| missing(id))?;
        let DisabledWidget { book, before, revision, record } = disabled;
        let stored = StoredDocument { revision, json: json.clone() };
        let applied = AppliedBatch {
            book,
            outcomes: vec![Outcome::Updated { revision }],
            changed: vec![ChangedWidget { id: id.clone(), before: Some(before), after: Some(revision) }],
            removed: 0,
            writes: vec![Write { id: id.clone(), state: WidgetState::Put { revision, json, record } }],
        };
        Ok(self.edited(applied, &stored))
    }

    fn edited(&self, applied: AppliedBatch, stored: &StoredDocument) -> Edited {
        let document = restore(&stored.json, stored.revision, self.storage.suffixes()).ok();
        Edited { applied, document: document.map(Box::new) }
    }

    /// Judges an edited document as any other.
    fn judged(&self, id: &WidgetId, change: PreparedChange, widget: Widget) -> Result<Edited, SaveError> {
        let applied = self.book.take(vec![change], ApplyOptions::default()).map_err(|rejections| {
            rejections.into_iter().map(|rejection| rejection.error.of(id)).collect::<FaultList>()
        })?;
        let revision = applied.outcomes.first().map(Outcome::revision);
        Ok(Edited { applied, document: Some(Box::new(Widget { revision, ..widget })) })
    }

    /// The document that an edit is made of, if the precondition holds of it.
    fn current(&mut self, id: &WidgetId, only_if: &Precondition) -> Result<Widget, SaveError> {
        let revision = self.book.get(id.as_str()).ok_or_else(|| unknown(id))?.revision;
        holds(id, only_if, Some(revision))?;
        let StoredDocument { revision, json } = self.stored(id)?.ok_or_else(|| missing(id))?;
        Ok(restore(&json, revision, self.storage.suffixes())?)
    }

    /// The document as it is kept, or is going to be.
    fn stored(&mut self, id: &WidgetId) -> Result<Option<StoredDocument>, StoreError> {
        match self.pending(id) {
            Some(signed) => Ok(signed.write.state.document()),
            None => self.storage.stored(id.as_str()),
        }
    }

    /// The history, with what is going to be in it.
    fn history(&mut self, id: &WidgetId) -> Result<Vec<HistoryEntry>, StoreError> {
        let mut history = self.storage.documents().history(id.as_str())?;
        if self.pending(id).is_some() {
            for signed in self.commit.writes.iter().filter(|signed| signed.write.id == *id) {
                history.insert(0, signed.entry(self.storage.suffixes())?);
            }
        }
        Ok(history)
    }
}

/// Whether the precondition holds of a widget at this revision.
pub(super) fn holds(id: &WidgetId, only_if: &Precondition, stored: Option<u64>) -> Result<(), SaveError> {
    match only_if.holds(stored) {
        true => Ok(()),
        false => {
            let unmet = ChangeError::PreconditionFailed { wanted: only_if.into(), stored };
            Err(SaveError::Invalid(vec![unmet.of(id)].into()))
        }
    }
}

fn refused(id: &WidgetId, faults: Vec<DocumentFault>) -> SaveError {
    let fault = |DocumentFault { pointer, code, detail }| RuleFault {
        index: None,
        widget: Some(id.clone()),
        place: None,
        pointer,
        code,
        detail,
    };
    SaveError::Invalid(faults.into_iter().map(fault).collect())
}

pub(super) fn unknown(id: &WidgetId) -> SaveError {
    let detail =
        format!("there is no widget `{id}`, so nothing of it can be changed; PUT its document to make it");
    refused(id, vec![DocumentFault { pointer: String::new(), code: ChangeError::Unknown.code(), detail }])
}

/// The book knows the widget, and its document isn't where it was kept.
fn missing(id: &WidgetId) -> SaveError {
    let source = Arc::from(Box::from(format!("the document of `{id}` is not where it was kept")));
    SaveError::Storage(StoreError::BadDocument { source })
}

#[cfg(test)]
mod tests;
