//! Feed of what happens on the edge: events of all kinds in one order, of which the last ones are kept, so that a reader
//! that was away can go on where it was.
//!
//! Decisions are there only while somebody wants them, and for a while afterwards: else each request would pay for events
//! that nobody reads. The other kinds are rare, so they are always kept.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

mod event;
mod position;
mod reader;

pub use event::{Event, EventKind, LagReason, SessionEndCause, SwappedWidget};
pub use position::EventPosition;
pub use reader::{EventReader, Lag, NextEvent, WantedEvents};

/// Number of events that are kept.
pub const KEPT: usize = 10_000;

/// Most bytes of them: a swap can name many widgets.
const KEPT_BYTES: usize = 16 << 20;

/// Feed of events, shared by all that tell and all that read.
#[derive(Debug)]
pub struct EventFeed {
    /// Name of this process in positions.
    process: u32,
    kept: Mutex<KeptEvents>,
    news: Notify,
}

#[derive(Debug)]
struct KeptEvents {
    /// In the order of their numbers, which grow by one with each event. Decisions may be missing among them.
    events: VecDeque<Arc<ToldEvent>>,
    bytes: usize,
    /// Number of the next event; the first is 1.
    next: u64,
    /// No event before this number is there any more.
    from: u64,
    /// Decisions are complete from this number on; `None` while nobody wants them.
    decisions_from: Option<u64>,
}

/// Event that was told.
#[derive(Debug)]
pub struct ToldEvent {
    number: u64,
    kind: EventKind,
    subject: Subject,
    /// The event as JSON.
    data: Box<str>,
}

/// What an event is about.
#[derive(Debug)]
pub enum Subject {
    /// One widget; an event about none that is known has an empty id.
    Widget(Box<str>),
    /// These widgets, and others that are not named.
    Widgets {
        /// Their ids.
        named: Box<[Box<str>]>,
        /// There are others.
        and_others: bool,
    },
    /// The rules as a whole.
    Rules,
}

impl Subject {
    fn may_be(&self, widget: &str) -> bool {
        match self {
            Self::Widget(id) => **id == *widget,
            Self::Widgets { named, and_others } => *and_others || named.iter().any(|id| **id == *widget),
            Self::Rules => false,
        }
    }
}

impl ToldEvent {
    /// The kind.
    pub fn kind(&self) -> EventKind {
        self.kind
    }

    /// The event as JSON.
    pub fn data(&self) -> &str {
        &self.data
    }
}

impl Default for EventFeed {
    fn default() -> Self {
        Self::new()
    }
}

impl EventFeed {
    /// A feed without events.
    pub fn new() -> Self {
        let kept = KeptEvents { events: VecDeque::new(), bytes: 0, next: 1, from: 1, decisions_from: None };
        Self { process: rand::random(), kept: Mutex::new(kept), news: Notify::new() }
    }

    /// Tells an event.
    pub fn tell(&self, subject: Subject, event: &Event<'_>) {
        let Some(kind) = event.kind() else { return };
        // Strings and numbers can always be written as JSON.
        if let Ok(json) = serde_json::to_string(event) {
            self.push(kind, subject, json);
        }
    }

    /// Tells a decision, if somebody wants them. `json`: the line of the decision log, a JSON object.
    pub(super) fn tell_decision(&self, widget: Option<&str>, json: &str) {
        let fields = json.strip_prefix('{').unwrap_or(json);
        let data = format!("{{\"kind\":\"{}\",{fields}", EventKind::Decision.as_str());
        self.push(EventKind::Decision, Subject::Widget(widget.unwrap_or_default().into()), data);
    }

    fn push(&self, kind: EventKind, subject: Subject, data: String) {
        let mut kept = self.kept.lock();
        if kind == EventKind::Decision && kept.decisions_from.is_none() {
            return;
        }
        kept.push(kind, subject, data.into_boxed_str());
        drop(kept);
        self.news.notify_waiters();
    }

    /// Keeps decisions from now on, too.
    pub(super) fn begin_decisions(&self) {
        let mut kept = self.kept.lock();
        if kept.decisions_from.is_none() {
            // A number of no event: whoever was away until now is behind it.
            kept.next += 1;
            kept.decisions_from = Some(kept.next);
        }
    }

    /// Keeps no decisions any more.
    pub(super) fn end_decisions(&self) {
        let mut kept = self.kept.lock();
        kept.decisions_from = None;
        kept.events.retain(|event| event.kind != EventKind::Decision);
        kept.events.shrink_to_fit();
        kept.bytes = kept.events.iter().map(|event| event.data.len()).sum();
    }
}

impl KeptEvents {
    fn push(&mut self, kind: EventKind, subject: Subject, data: Box<str>) {
        self.bytes += data.len();
        self.events.push_back(Arc::new(ToldEvent { number: self.next, kind, subject, data }));
        self.next += 1;
        while self.events.len() > KEPT || self.bytes > KEPT_BYTES && self.events.len() > 1 {
            let Some(oldest) = self.events.pop_front() else { break };
            self.bytes -= oldest.data.len();
            self.from = oldest.number + 1;
        }
    }

    /// The first events from this number on, at most so many.
    fn after(&self, number: u64, most: usize) -> VecDeque<Arc<ToldEvent>> {
        let first = self.events.partition_point(|event| event.number < number);
        self.events.range(first..).take(most).cloned().collect()
    }
}

#[cfg(test)]
mod tests;
