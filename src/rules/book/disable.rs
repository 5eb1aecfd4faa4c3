//! The kill switch, on the record of a widget: its document need not be at hand.

use std::sync::Arc;

use super::record::WidgetRecord;
use super::rule_book::RuleBook;
use crate::rules::fingerprint::Fingerprint;
use embedgate_policy::compiled::WidgetRules;
use embedgate_policy::widget::{WidgetId, next_revision};

/// Widget that was disabled in the next book.
pub(in crate::rules) struct DisabledWidget {
    pub(in crate::rules) book: RuleBook,
    /// Its revision before.
    pub(in crate::rules) before: u64,
    /// Its revision now.
    pub(in crate::rules) revision: u64,
    pub(in crate::rules) record: Arc<[u8]>,
}

impl RuleBook {
    /// The next book, in which this widget is disabled at its next revision. `json`: the document that says so, where it
    /// is known. `None` where there is no such widget.
    pub(in crate::rules) fn disable(&self, id: &WidgetId, json: Option<&[u8]>) -> Option<DisabledWidget> {
        let current = self.stored(id.as_str())?;
        let (before, revision) = (current.rules.revision, next_revision(current.rules.revision));
        let fingerprint = match json {
            Some(json) => self.key.fingerprint(json),
            // No document's, so that none passes for the one in force.
            None => Fingerprint(!current.fingerprint.0),
        };
        let rules = WidgetRules { enabled: false, revision, ..current.rules };
        let record: Arc<[u8]> = WidgetRecord { rules, fingerprint }.write().into();
        let mut book = Self { generation: self.generation.saturating_add(1), ..self.clone() };
        book.widgets.edit(vec![(id.as_bytes(), Some(&record))]);
        Some(DisabledWidget { book, before, revision, record })
    }
}
