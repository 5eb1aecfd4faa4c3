//! Swaps and refusals of the rules, as events.

use std::sync::Arc;

use jiff::Timestamp;

use crate::rules::error::RulesError;
use crate::rules::publisher::{Observer, Swap};
use crate::rules::source::SourceKind;
use crate::telemetry::events::{Event, EventFeed, Subject, SwappedWidget};

/// Maximum number of widgets named in one event; the rest is counted.
const WIDGETS: usize = 100;
/// Maximum number of errors of a refused update in one event.
const FAULTS: usize = 20;

/// Observer that tells swaps and refusals to the feed of events.
#[derive(Debug)]
pub struct SwapFeed(Arc<EventFeed>);

impl SwapFeed {
    /// An observer that tells this feed.
    pub fn new(events: Arc<EventFeed>) -> Self {
        Self(events)
    }
}

impl Observer for SwapFeed {
    fn swapped(&self, swap: &Swap<'_>) {
        let changed: Vec<SwappedWidget<'_>> = swap
            .changes()
            .take(WIDGETS)
            .map(|(changed, actor)| SwappedWidget {
                id: changed.id.as_str(),
                before: changed.before,
                after: changed.after,
                actor,
            })
            .collect();
        let changed_omitted = swap.changed.len().saturating_sub(WIDGETS);
        let named = changed.iter().map(|changed| changed.id.into()).collect();
        let event = Event::Swap {
            time: Timestamp::now(),
            generation: swap.book.generation(),
            source: swap.source.as_str(),
            widgets: swap.book.len(),
            changed,
            changed_omitted,
            took_us: u64::try_from(swap.took.as_micros()).unwrap_or(u64::MAX),
        };
        self.0.tell(Subject::Widgets { named, and_others: changed_omitted > 0 }, &event);
    }

    fn rejected(&self, source: SourceKind, error: &RulesError) {
        let (source, time) = (source.as_str(), Timestamp::now());
        let event = Event::Refused { time, source, code: error.code(), detail: error.summary(FAULTS) };
        self.0.tell(Subject::Rules, &event);
    }
}
