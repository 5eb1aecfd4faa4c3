//! Preparing changes before the writer takes them: serialised, fingerprinted and compiled on the caller's threads, so
//! that the single writer is left with judging.

use super::rule_book::RuleBook;
use crate::rules::change::{Change, Precondition};
use crate::rules::documents::{Json, canonical};
use crate::rules::fingerprint::{Fingerprint, FingerprintKey};
use crate::rules::parallel::{on_threads, shares};
use embedgate_policy::compiled::WidgetRulesBuf;
use embedgate_policy::widget::{Access, Widget, WidgetId};

/// Change prepared for the writer.
#[derive(Clone)]
pub(in crate::rules) struct PreparedChange {
    pub(in crate::rules) id: WidgetId,
    pub(super) only_if: Precondition,
    pub(super) work: PreparedWork,
}

/// What a prepared change does.
#[derive(Clone)]
pub(super) enum PreparedWork {
    Put(Box<PreparedPut>),
    Delete { revision: Option<u64> },
}

/// Document to be saved, serialised and compiled.
#[derive(Clone)]
pub(super) struct PreparedPut {
    /// As the document states it.
    pub(super) revision: Option<u64>,
    /// Its revision is the writer's to set.
    pub(super) rules: WidgetRulesBuf,
    pub(super) fingerprint: Fingerprint,
    pub(super) json: Json,
    /// It is open without saying so.
    pub(super) opens: bool,
}

impl PreparedPut {
    pub(super) fn of(widget: &mut Widget, key: FingerprintKey) -> Self {
        let json = canonical(widget);
        Self {
            revision: widget.revision,
            rules: widget.compile(),
            fingerprint: key.fingerprint(&json),
            json,
            opens: widget.access.is_none() && widget.effective_access() == Access::Open,
        }
    }
}

impl PreparedWork {
    pub(super) fn stated_revision(&self) -> Option<u64> {
        match self {
            Self::Put(put) => put.revision,
            Self::Delete { revision } => *revision,
        }
    }
}

impl PreparedChange {
    /// Prepares a change.
    pub(in crate::rules) fn new(change: Change, key: FingerprintKey) -> Self {
        match change {
            Change::Put { widget, only_if } => Self::put(widget, only_if, key),
            Change::Delete { id, revision, only_if } => {
                Self { id, only_if, work: PreparedWork::Delete { revision } }
            }
        }
    }

    /// The same, whatever is known of the widget here: it was judged elsewhere. `None` where there is nothing to do in
    /// this book.
    pub(in crate::rules) fn judged_elsewhere(mut self, book: &RuleBook) -> Option<Self> {
        match &mut self.work {
            PreparedWork::Put(put) => (put.revision, put.opens) = (None, false),
            PreparedWork::Delete { revision } => {
                *revision = None;
                book.get(self.id.as_str())?;
            }
        }
        Some(self)
    }

    /// The same, which may open a restricted widget in silence: somebody has judged that.
    #[must_use]
    pub(in crate::rules) fn opening_judged(mut self) -> Self {
        if let PreparedWork::Put(put) = &mut self.work {
            put.opens = false;
        }
        self
    }

    /// Prepares a document to be saved.
    pub(in crate::rules) fn put(mut widget: Widget, only_if: Precondition, key: FingerprintKey) -> Self {
        let put = PreparedPut::of(&mut widget, key);
        Self { id: widget.id, only_if, work: PreparedWork::Put(Box::new(put)) }
    }
}

/// Fewer are ready before another thread has started.
const WORTH_A_THREAD: usize = 1024;

/// Prepares a batch, in its order, a large one on all cores.
pub(in crate::rules) fn prepare(changes: Vec<Change>, key: FingerprintKey) -> Vec<PreparedChange> {
    let prepare =
        |share: Vec<Change>| share.into_iter().map(|change| PreparedChange::new(change, key)).collect();
    let prepared: Vec<Vec<PreparedChange>> = on_threads(shares(changes, WORTH_A_THREAD), prepare);
    prepared.into_iter().flatten().collect()
}
