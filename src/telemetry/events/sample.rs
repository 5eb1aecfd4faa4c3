//! Sample of decisions, for readers that want only so many in a second, such as pages that people look at. What is not in it
//! is left out before anything of it is rendered: a request pays the same for one such reader and for a hundred.

use std::collections::HashMap;

use arc_swap::ArcSwap;
use jiff::Timestamp;

use crate::telemetry::line_bound::LineBound;
use embedgate_policy::decision::{Facts, TicketState};
use embedgate_policy::origin::Embedder;
use embedgate_policy::verdict::Verdict;

/// Most decisions in a second that no reader asks for by name.
const ANY: u32 = 100;

/// Most decisions in a second that some reader asks for by name.
const WATCHED: u32 = 200;

/// What a reader of the sample asks for by name. Those decisions have a share of the sample for themselves, so that a flood of
/// others leaves none of them out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::telemetry) enum WatchedDecisions {
    /// Decisions of this widget.
    Widget(Box<str>),
    /// Decisions of this embedder.
    Embedder(Box<str>),
    /// Denials.
    Denials,
    /// Any decisions.
    Any,
}

/// Sample of decisions.
#[derive(Debug)]
pub(in crate::telemetry) struct DecisionSample {
    watches: ArcSwap<Watches>,
    any: LineBound,
    watched: LineBound,
}

/// How many readers ask for what.
#[derive(Clone, Debug, Default)]
struct Watches {
    widgets: HashMap<Box<str>, usize>,
    embedders: HashMap<Box<str>, usize>,
    denials: usize,
}

impl Default for DecisionSample {
    fn default() -> Self {
        Self { watches: ArcSwap::default(), any: LineBound::new(ANY), watched: LineBound::new(WATCHED) }
    }
}

impl DecisionSample {
    /// Another reader asks for this.
    pub(in crate::telemetry) fn begin(&self, watch: &WatchedDecisions) {
        self.change(watch, |readers| readers + 1);
    }

    /// One reader less asks for this.
    pub(in crate::telemetry) fn end(&self, watch: &WatchedDecisions) {
        self.change(watch, |readers| readers.saturating_sub(1));
    }

    fn change(&self, watch: &WatchedDecisions, count: impl Fn(usize) -> usize) {
        self.watches.rcu(|watches| {
            let mut watches = Watches::clone(watches);
            match watch {
                WatchedDecisions::Widget(id) => changed(&mut watches.widgets, id, &count),
                WatchedDecisions::Embedder(origin) => changed(&mut watches.embedders, origin, &count),
                WatchedDecisions::Denials => watches.denials = count(watches.denials),
                WatchedDecisions::Any => {}
            }
            watches
        });
    }

    /// Whether this decision is in the sample. If not, it is counted.
    pub(in crate::telemetry) fn admits(&self, verdict: Verdict, facts: &Facts<'_>, now: Timestamp) -> bool {
        let is_watched = self.watches.load().have(verdict, facts);
        if is_watched { self.watched.admits(now) } else { self.any.admits(now) }
    }

    /// How many decisions were left out so far of what this reader asks for, at most.
    pub(super) fn left_out(&self, watch: &WatchedDecisions) -> u64 {
        match watch {
            WatchedDecisions::Any => self.any.left_out() + self.watched.left_out(),
            WatchedDecisions::Widget(_) | WatchedDecisions::Embedder(_) | WatchedDecisions::Denials => {
                self.watched.left_out()
            }
        }
    }
}

impl Watches {
    fn have(&self, verdict: Verdict, facts: &Facts<'_>) -> bool {
        let embedder = match facts.embedder {
            Embedder::Known(origin) => Some(origin.as_str()),
            Embedder::Opaque(origin) => Some(origin.as_str()),
            Embedder::Malformed(_) | Embedder::Absent => None,
        };
        let opened_by = match facts.ticket {
            TicketState::Valid(origin) => Some(origin.as_str()),
            TicketState::Absent | TicketState::Invalid | TicketState::Expired => None,
        };
        self.denials > 0 && verdict == Verdict::Deny
            || self.widgets.contains_key(facts.widget)
            || [embedder, opened_by].into_iter().flatten().any(|origin| self.embedders.contains_key(origin))
    }
}

fn changed(readers: &mut HashMap<Box<str>, usize>, name: &str, count: impl Fn(usize) -> usize) {
    match count(readers.get(name).copied().unwrap_or_default()) {
        0 => drop(readers.remove(name)),
        more => drop(readers.insert(name.into(), more)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use embedgate_policy::origin::Origin;
    use embedgate_policy::verdict::Class;

    fn facts<'f>(widget: &'f str, origin: &'f str) -> Facts<'f> {
        Facts {
            widget,
            class: Class::Asset,
            embedder: Embedder::Known(Origin::parse(origin).unwrap()),
            missing_denied: false,
            ticket: TicketState::Absent,
        }
    }

    #[test]
    fn a_flood_leaves_out_nothing_that_a_reader_asks_for_by_name() {
        let sample = DecisionSample::default();
        let now = Timestamp::UNIX_EPOCH;
        let admits = |verdict: Verdict, facts: &Facts<'_>| sample.admits(verdict, facts, now);
        let (of_w, of_v) = (facts("w", "https://a.example"), facts("v", "https://b.example"));
        let flood = || (0..1_000).filter(|_| admits(Verdict::Allow, &of_v)).count();
        assert_eq!(flood(), ANY as usize);
        assert_eq!(sample.left_out(&WatchedDecisions::Any), 900);
        let is_in = |verdict| admits(verdict, &of_w);
        assert!(!is_in(Verdict::Allow));
        for watch in
            [WatchedDecisions::Widget("w".into()), WatchedDecisions::Embedder("https://a.example".into())]
        {
            sample.begin(&watch);
            sample.begin(&watch);
            sample.end(&watch);
            assert_eq!((is_in(Verdict::Allow), flood(), sample.left_out(&watch)), (true, 0, 0), "{watch:?}");
            sample.end(&watch);
            assert!(!is_in(Verdict::Allow), "{watch:?}");
        }
        sample.begin(&WatchedDecisions::Denials);
        assert_eq!((is_in(Verdict::Deny), is_in(Verdict::Allow)), (true, false));
        let many = (0..1_000).filter(|_| is_in(Verdict::Deny)).count();
        assert_eq!(many, WATCHED as usize - 3, "they have a bound, too");
        assert_eq!(sample.left_out(&WatchedDecisions::Denials), 1_000 - many as u64);
    }
}
