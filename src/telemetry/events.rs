//! Feed of what happens on the edge: events of all kinds in one order, of which the last ones are kept, so that a reader
//! that was away can go on where it was.
//!
//! Decisions are there only while somebody wants them, and for a while afterwards: else each request would pay for events
//! that nobody reads. The other kinds are rare and always there. They are kept apart, for a busy edge makes so many
//! decisions that nothing else would stay for long.

use parking_lot::Mutex;
use tokio::sync::Notify;

use kept::KeptEvents;

mod event;
mod kept;
mod position;
mod reader;

pub use event::{Event, EventKind, LagReason, SessionEndCause, SwappedWidget};
pub use kept::KEPT;
pub use position::EventPosition;
pub use reader::{EventReader, Lag, NextEvent, WantedEvents};

/// Feed of events, shared by all that tell and all that read.
#[derive(Debug)]
pub struct EventFeed {
    /// Name of this process in positions.
    process: u32,
    kept: Mutex<KeptEvents>,
    news: Notify,
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
        Self { process: rand::random(), kept: Mutex::new(KeptEvents::new()), news: Notify::new() }
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
        // The feed's own name for it takes the place of the log's.
        let fields =
            json.strip_prefix("{\"log\":\"decisions\",").or_else(|| json.strip_prefix('{')).unwrap_or(json);
        let data = format!("{{\"kind\":\"{}\",{fields}", EventKind::Decision.as_str());
        self.push(EventKind::Decision, Subject::Widget(widget.unwrap_or_default().into()), data);
    }

    fn push(&self, kind: EventKind, subject: Subject, data: String) {
        let mut kept = self.kept.lock();
        if kind == EventKind::Decision && !kept.has_decisions() {
            return;
        }
        kept.push(kind, subject, data.into_boxed_str());
        drop(kept);
        self.news.notify_waiters();
    }

    /// Keeps decisions from now on, too.
    pub(super) fn begin_decisions(&self) {
        self.kept.lock().begin_decisions();
    }

    /// Keeps no decisions any more.
    pub(super) fn end_decisions(&self) {
        self.kept.lock().end_decisions();
    }
}

#[cfg(test)]
mod tests;
