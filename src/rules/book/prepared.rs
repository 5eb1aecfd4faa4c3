//! What of a change can be done before its turn has come: serialise, fingerprint, compile. The writer, who takes
//! one change at a time, is left with judging.

use super::{Fingerprint, FingerprintKey};
use crate::policy::decision::WidgetRulesBuf;
use crate::policy::widget::{Access, Widget, WidgetId};
use crate::rules::change::{Change, Precondition};
use crate::rules::documents::{Json, canonical};
use crate::rules::parallel::{on_threads, shares};

/// A change made ready.
pub(in crate::rules) struct Prepared {
    pub(super) id: WidgetId,
    pub(super) only_if: Precondition,
    pub(super) work: Work,
}

pub(super) enum Work {
    Put(Box<Put>),
    Delete { revision: Option<u64> },
}

pub(super) struct Put {
    /// As the document states it.
    pub(super) revision: Option<u64>,
    /// Its revision is the writer's to set.
    pub(super) rules: WidgetRulesBuf,
    pub(super) fingerprint: Fingerprint,
    pub(super) json: Json,
    /// It is open without saying so.
    pub(super) opens: bool,
}

impl Work {
    pub(super) fn stated_revision(&self) -> Option<u64> {
        match self {
            Self::Put(put) => put.revision,
            Self::Delete { revision } => *revision,
        }
    }
}

impl Prepared {
    fn new(change: Change, key: FingerprintKey) -> Self {
        match change {
            Change::Put { widget, only_if } => Self::put(widget, only_if, key),
            Change::Delete { id, revision, only_if } => Self { id, only_if, work: Work::Delete { revision } },
        }
    }

    /// A document to be saved.
    pub(in crate::rules) fn put(mut widget: Widget, only_if: Precondition, key: FingerprintKey) -> Self {
        let json = canonical(&mut widget);
        let put = Put {
            revision: widget.revision,
            rules: widget.compile(),
            fingerprint: key.fingerprint(&json),
            json,
            opens: widget.access.is_none() && widget.effective_access() == Access::Open,
        };
        Self { id: widget.id, only_if, work: Work::Put(Box::new(put)) }
    }
}

/// Fewer are ready before another thread has started.
const WORTH_A_THREAD: usize = 1024;

/// Prepares a batch, in its order, a large one on all cores.
pub(in crate::rules) fn prepare(changes: Vec<Change>, key: FingerprintKey) -> Vec<Prepared> {
    let prepare = |share: Vec<Change>| share.into_iter().map(|change| Prepared::new(change, key)).collect();
    let prepared: Vec<Vec<Prepared>> = on_threads(shares(changes, WORTH_A_THREAD), prepare);
    prepared.into_iter().flatten().collect()
}
