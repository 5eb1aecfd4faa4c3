//! Readers of the feed.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Arc;

use embedgate_policy::verdict::Verdict;

use super::kept::KnownGaps;
use super::pace::ReaderPace;
use super::position::EventPosition;
use super::{EventFeed, EventKind, LagReason, ToldEvent, WatchedDecisions};

/// Most events that a reader takes at once.
const TAKEN: usize = 128;

/// Events that a reader wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WantedEvents {
    /// Events of this widget alone.
    pub widget: Option<Box<str>>,
    /// Events of this embedder alone, by its origin: decisions and ends of sessions.
    pub embedder: Option<Box<str>>,
    /// Of decisions those with this verdict alone.
    pub verdict: Option<Verdict>,
    /// Events of these kinds; empty: of all.
    pub kinds: Vec<EventKind>,
    /// At most so many decisions in a second; `None`: all of them.
    pub decisions_per_second: Option<NonZeroU32>,
}

impl WantedEvents {
    /// Whether events of this kind are among them.
    pub fn has(&self, kind: EventKind) -> bool {
        self.kinds.is_empty() || self.kinds.contains(&kind)
    }

    /// Whether events of a kind are among them that is kept whoever listens.
    pub(super) fn has_others(&self) -> bool {
        self.kinds.is_empty() || self.kinds.iter().any(|kind| *kind != EventKind::Decision)
    }

    /// What a sample has to have for this reader.
    pub(in crate::telemetry) fn watch(&self) -> WatchedDecisions {
        match (&self.widget, &self.embedder, self.verdict) {
            (Some(widget), _, _) => WatchedDecisions::Widget(widget.clone()),
            (None, Some(embedder), _) => WatchedDecisions::Embedder(embedder.clone()),
            (None, None, Some(Verdict::Deny)) => WatchedDecisions::Denials,
            (None, None, Some(Verdict::Allow) | None) => WatchedDecisions::Any,
        }
    }

    fn includes(&self, event: &ToldEvent) -> bool {
        let ToldEvent { kind, subject, .. } = event;
        self.has(*kind)
            && self.widget.as_ref().is_none_or(|widget| subject.may_be(widget))
            && self.embedder.as_ref().is_none_or(|embedder| subject.is_of_embedder(embedder))
            && self.verdict.is_none_or(|wanted| subject.verdict().is_none_or(|verdict| verdict == wanted))
    }
}

/// Reader of the feed, at its own position.
#[derive(Debug)]
pub struct EventReader {
    feed: Arc<EventFeed>,
    wanted: WantedEvents,
    /// The number of the next event that it has not taken.
    next: u64,
    taken: VecDeque<Arc<ToldEvent>>,
    known: KnownGaps,
    lag: Option<Lag>,
    pace: Option<ReaderPace>,
}

/// What a reader hears.
#[derive(Debug)]
pub enum NextEvent {
    /// An event.
    Event(Arc<ToldEvent>),
    /// Events are missing.
    Lagged(Lag),
}

/// Events that are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    /// Why.
    pub reason: LagReason,
    /// How many there were at most, if that is known.
    pub missed: Option<u64>,
}

impl EventFeed {
    /// A reader of what is told from now on.
    pub fn reader(self: &Arc<Self>, wanted: WantedEvents) -> EventReader {
        let next = self.kept.lock().next;
        EventReader::new(self, wanted, next, None)
    }

    /// A reader of what was told after the event with this id, and from now on.
    pub fn reader_after(self: &Arc<Self>, id: &str, wanted: WantedEvents) -> EventReader {
        let kept = self.kept.lock();
        let position = EventPosition::parse(id)
            .filter(|position| position.process == self.process && position.number < kept.next);
        let Some(EventPosition { number, .. }) = position else {
            let lag = Lag { reason: LagReason::Restarted, missed: None };
            let first = kept.first_after(0, &wanted);
            return EventReader { known: kept.gaps(), ..EventReader::new(self, wanted, first, Some(lag)) };
        };
        let next = number + 1;
        let since = kept.decisions_since(wanted.decisions_per_second.is_some());
        let is_complete = since.is_some_and(|from| from <= next);
        let lag = match is_complete || !wanted.has(EventKind::Decision) {
            // What is not kept any more is found by the first look.
            true => None,
            false => Some(Lag { reason: LagReason::NotTold, missed: None }),
        };
        EventReader::new(self, wanted, next, lag)
    }
}

impl EventReader {
    fn new(feed: &Arc<EventFeed>, wanted: WantedEvents, next: u64, lag: Option<Lag>) -> Self {
        let left_out = || feed.sample.left_out(&wanted.watch());
        let pace = wanted.decisions_per_second.map(|most| ReaderPace::new(most, left_out()));
        let (feed, taken) = (Arc::clone(feed), VecDeque::new());
        Self { feed, wanted, next, taken, known: KnownGaps::default(), lag, pace }
    }

    /// The position after what was heard last, and what was left out behind it.
    pub fn position(&self) -> EventPosition {
        let next = self.taken.front().map_or(self.next, |event| event.number);
        EventPosition { process: self.feed.process, number: next.saturating_sub(1) }
    }

    /// Waits for what comes next.
    pub async fn next(&mut self) -> NextEvent {
        if let Some(lag) = self.lag.take() {
            return NextEvent::Lagged(lag);
        }
        let feed = Arc::clone(&self.feed);
        loop {
            while let Some(event) = self.taken.pop_front() {
                if self.wanted.includes(&event)
                    && self.pace.as_mut().is_none_or(|pace| pace.admits(event.kind))
                {
                    return NextEvent::Event(event);
                }
            }
            if let Some(missed) = self.left_out() {
                return NextEvent::Lagged(Lag { reason: LagReason::LeftOut, missed: Some(missed) });
            }
            // Listens first, so that nothing is told between the look and the wait.
            let mut news = pin!(feed.news.notified());
            news.as_mut().enable();
            match self.take() {
                Some(lag) => return NextEvent::Lagged(lag),
                None if self.taken.is_empty() => match &mut self.pace {
                    None => news.await,
                    // Nobody has to wake it meanwhile.
                    Some(pace) => pace.wait(news).await,
                },
                None => {}
            }
        }
    }

    /// How many decisions were left out, once it is time to say so.
    fn left_out(&mut self) -> Option<u64> {
        let pace = self.pace.as_mut().filter(|_| self.wanted.has(EventKind::Decision))?;
        pace.left_out(|| self.feed.sample.left_out(&self.wanted.watch()))
    }

    /// Takes what is there; if events before or among it are gone, says how many.
    fn take(&mut self) -> Option<Lag> {
        let kept = self.feed.kept.lock();
        let missed = kept.missed(self.next, &self.wanted, &mut self.known);
        if missed > 0 {
            self.next = kept.first_after(self.next, &self.wanted);
            return Some(Lag { reason: LagReason::NotKept, missed: Some(missed) });
        }
        self.taken = kept.after(self.next, &self.wanted, TAKEN);
        self.next = self.taken.back().map_or(kept.next, |last| last.number + 1);
        None
    }
}
