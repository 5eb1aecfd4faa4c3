//! An open while it is being charged, and the counters that it is charged to.

use parking_lot::Mutex;

use embedgate_policy::limits::{LimitKind, LimitMode, LimitPart, Limits, PartLimits};

use crate::limits::clock::Moment;
use crate::limits::counter::{Comparison, Taken, Weight};
use crate::limits::opening::Opening;
use crate::limits::reached::ToldLimits;
use crate::limits::widgets::{CountedUse, EmbedderCounter, SHARED, WidgetCounter};

/// An open that is being charged.
#[derive(Clone, Copy)]
pub(super) struct Charging<'o> {
    pub(super) opening: &'o Opening<'o>,
    pub(super) now: Moment,
    pub(super) weight: Weight,
}

/// Part that is counted exactly: an embedder, or the widget.
pub(super) struct CountedPart<'c> {
    pub(super) part: LimitPart,
    /// The key of the embedder.
    pub(super) embedder: Option<&'c str>,
    pub(super) counter: &'c Mutex<CountedUse>,
    /// What was told of the crowd that it is one of; `None` where it is told of by itself.
    crowd: Option<&'c Mutex<ToldLimits>>,
}

impl<'o> Charging<'o> {
    pub(super) fn comparison(&self, part: LimitPart, runs: usize) -> Comparison<'o> {
        let limits: &'o Limits = self.opening.limits;
        Comparison { limits: limits.of(part), is_monitoring: limits.mode == LimitMode::Monitor, runs }
    }
}

impl<'c> CountedPart<'c> {
    /// An embedder of this widget. Of those that no entry names exactly, anybody can make up as many as there is room for, so
    /// they are told of together.
    pub(super) fn of_embedder(embedder: &'c EmbedderCounter, widget: &'c WidgetCounter) -> Self {
        let crowd = (!embedder.is_listed && *embedder.key != *SHARED).then_some(&widget.told_of_newcomers);
        let (part, key) = (LimitPart::Embedder, Some(&*embedder.key));
        Self { part, embedder: key, counter: &embedder.counter, crowd }
    }

    /// The widget as a whole.
    pub(super) fn of_widget(widget: &'c WidgetCounter) -> Self {
        Self { part: LimitPart::Widget, embedder: None, counter: &widget.counter, crowd: None }
    }

    /// Whether it is the first of which it is told that it has reached this limit.
    pub(super) fn is_first(&self, kind: LimitKind, now: &Moment) -> bool {
        match self.crowd {
            Some(crowd) => first_of_crowd(crowd, kind, now),
            None => self.counter.lock().told.is_first(kind, now),
        }
    }
}

/// The same of anybody in a crowd. Who it was is not kept, so nobody knows whether its sessions were fewer.
pub(super) fn first_of_crowd(told: &Mutex<ToldLimits>, kind: LimitKind, now: &Moment) -> bool {
    let mut told = told.lock();
    told.below();
    told.is_first(kind, now)
}

/// Whether there was room for a session.
pub(super) fn has_room(limits: &PartLimits, took: &Taken) -> bool {
    limits.sessions.is_some_and(|limit| took.before.sessions < limit.get())
}
