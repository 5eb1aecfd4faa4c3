//! Events that are kept: the last decisions, and the last ones of all other kinds, under numbers of one order.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{EventKind, Subject, ToldEvent, WantedEvents};

/// Number of decisions that are kept, and of events of the other kinds.
pub const KEPT: usize = 10_000;

/// Most bytes of either: a swap can name many widgets.
pub(super) const KEPT_BYTES: usize = 16 << 20;

/// Events that are kept.
#[derive(Debug)]
pub(super) struct KeptEvents {
    pub(super) decisions: LastEvents,
    pub(super) others: LastEvents,
    /// Number of the next event; the first is 1. Between two of them, a number may be one of no event.
    pub(super) next: u64,
    /// Decisions are complete from this number on; `None` while nobody wants all of them.
    pub(super) decisions_from: Option<u64>,
    /// From this number on there is a sample of them at least; `None` while nobody wants one.
    sampled_from: Option<u64>,
}

/// Last events of some kinds.
#[derive(Debug)]
pub(super) struct LastEvents {
    /// In the order of their numbers.
    pub(super) events: VecDeque<Arc<ToldEvent>>,
    pub(super) bytes: usize,
    /// Every event from this number on is there.
    from: u64,
    /// The number of those that had to go.
    gone: u64,
}

/// Numbers up to which a reader knows that events are missing: decisions, and others.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KnownGaps {
    decisions: u64,
    others: u64,
}

impl KeptEvents {
    pub(super) fn new() -> Self {
        let (decisions, others) = (LastEvents::new(), LastEvents::new());
        Self { decisions, others, next: 1, decisions_from: None, sampled_from: None }
    }

    pub(super) fn has_decisions(&self) -> bool {
        self.decisions_since(true).is_some()
    }

    /// The number from which on there are decisions: all of them, or for whoever takes one a sample.
    pub(super) fn decisions_since(&self, sampled: bool) -> Option<u64> {
        let sampled = self.sampled_from.filter(|_| sampled);
        self.decisions_from.into_iter().chain(sampled).min()
    }

    pub(super) fn begin_decisions(&mut self) {
        if self.decisions_from.is_none() {
            // A number of no event: whoever was away until now is behind it.
            self.next += 1;
            self.decisions_from = Some(self.next);
        }
    }

    pub(super) fn end_decisions(&mut self) {
        self.decisions_from = None;
        self.forget_unwanted();
    }

    pub(super) fn begin_sample(&mut self) {
        if self.sampled_from.is_none() {
            self.next += 1;
            self.sampled_from = Some(self.next);
        }
    }

    pub(super) fn end_sample(&mut self) {
        self.sampled_from = None;
        self.forget_unwanted();
    }

    fn forget_unwanted(&mut self) {
        if !self.has_decisions() {
            self.decisions.events = VecDeque::new();
            self.decisions.bytes = 0;
        }
    }

    pub(super) fn push(&mut self, kind: EventKind, subject: Subject, data: Box<str>) {
        let event = ToldEvent { number: self.next, kind, subject, data };
        self.next += 1;
        match kind {
            EventKind::Decision => self.decisions.push(event),
            EventKind::Swap | EventKind::Refused | EventKind::SessionEnded | EventKind::Notification => {
                self.others.push(event)
            }
        }
    }

    /// The first events from this number on, at most so many. Decisions are among them only if they are wanted, and so are
    /// the others.
    pub(super) fn after(&self, number: u64, wanted: &WantedEvents, most: usize) -> VecDeque<Arc<ToldEvent>> {
        let mut decisions = wanted
            .has(EventKind::Decision)
            .then(|| self.decisions.after(number))
            .into_iter()
            .flatten()
            .peekable();
        let mut others =
            wanted.has_others().then(|| self.others.after(number)).into_iter().flatten().peekable();
        let first = || match (decisions.peek(), others.peek()) {
            (Some(decision), Some(other)) if decision.number < other.number => decisions.next(),
            (Some(_), None) => decisions.next(),
            _ => others.next(),
        };
        std::iter::from_fn(first).take(most).cloned().collect()
    }

    /// The number of the first of them, or of the next event.
    pub(super) fn first_after(&self, number: u64, wanted: &WantedEvents) -> u64 {
        self.after(number, wanted, 1).front().map_or(self.next, |event| event.number)
    }

    /// How many events from this number on are gone, at most; those that are known to be missing don't count, and from now
    /// on all of them are known.
    pub(super) fn missed(&self, number: u64, wanted: &WantedEvents, known: &mut KnownGaps) -> u64 {
        let decisions = self.decisions.missed(number.max(known.decisions));
        let others = self.others.missed(number.max(known.others));
        *known = self.gaps();
        let decisions = if wanted.has(EventKind::Decision) { decisions } else { 0 };
        decisions + if wanted.has_others() { others } else { 0 }
    }

    /// Everything that is missing.
    pub(super) fn gaps(&self) -> KnownGaps {
        KnownGaps { decisions: self.decisions.from, others: self.others.from }
    }
}

impl LastEvents {
    fn new() -> Self {
        Self { events: VecDeque::new(), bytes: 0, from: 1, gone: 0 }
    }

    fn push(&mut self, event: ToldEvent) {
        self.bytes += event.data.len();
        self.events.push_back(Arc::new(event));
        while self.events.len() > KEPT || self.bytes > KEPT_BYTES && self.events.len() > 1 {
            let Some(oldest) = self.events.pop_front() else { break };
            self.bytes -= oldest.data.len();
            self.from = oldest.number + 1;
            self.gone += 1;
        }
    }

    fn after(&self, number: u64) -> impl Iterator<Item = &Arc<ToldEvent>> {
        let first = self.events.partition_point(|event| event.number < number);
        self.events.range(first..)
    }

    /// How many from this number on are gone, at most: numbers between them may be of events of other kinds.
    fn missed(&self, number: u64) -> u64 {
        self.from.saturating_sub(number).min(self.gone)
    }
}
