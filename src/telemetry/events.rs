//! Feed of what happens on the edge: events of all kinds in one order, of which the last ones are kept, so that a reader
//! that was away can go on where it was.
//!
//! Decisions are there only while somebody wants them, and for a while afterwards: else each request would pay for events
//! that nobody reads. Where all readers want only so many in a second, requests pay for a sample. The other kinds are rare and
//! always there. They are kept apart, for a busy edge makes so many
//! decisions that nothing else would stay for long.

use parking_lot::Mutex;
use tokio::sync::Notify;

use embedgate_policy::verdict::Verdict;
use kept::KeptEvents;

mod event;
mod kept;
mod pace;
mod position;
mod reader;
mod sample;

pub use event::{Event, EventKind, LagReason, SessionEndCause, SwappedWidget};
pub use kept::KEPT;
pub use position::EventPosition;
pub use reader::{EventReader, Lag, NextEvent, WantedEvents};
pub(super) use sample::{DecisionSample, WatchedDecisions};

/// Feed of events, shared by all that tell and all that read.
#[derive(Debug)]
pub struct EventFeed {
    /// Name of this process in positions.
    process: u32,
    kept: Mutex<KeptEvents>,
    news: Notify,
    sample: DecisionSample,
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
    /// A request for a widget, or a session of it.
    Embedding(Embedding),
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

/// Request for a widget, or session of it, with what readers choose by.
#[derive(Debug, Default)]
pub struct Embedding {
    /// The widget's id, empty if what is asked for is none.
    pub widget: Box<str>,
    /// The embedder's origin, if it is known.
    pub embedder: Option<Box<str>>,
    /// The origin that opened the widget, where a ticket names it.
    pub opened_by: Option<Box<str>>,
    /// The verdict on the request; a session that ends has none.
    pub verdict: Option<Verdict>,
}

impl Subject {
    fn may_be(&self, widget: &str) -> bool {
        match self {
            Self::Widget(id) | Self::Embedding(Embedding { widget: id, .. }) => **id == *widget,
            Self::Widgets { named, and_others } => *and_others || named.iter().any(|id| **id == *widget),
            Self::Rules => false,
        }
    }

    fn is_of_embedder(&self, origin: &str) -> bool {
        match self {
            Self::Embedding(Embedding { embedder, opened_by, .. }) => {
                [embedder, opened_by].into_iter().flatten().any(|known| **known == *origin)
            }
            Self::Widget(_) | Self::Widgets { .. } | Self::Rules => false,
        }
    }

    fn verdict(&self) -> Option<Verdict> {
        match self {
            Self::Embedding(embedding) => embedding.verdict,
            Self::Widget(_) | Self::Widgets { .. } | Self::Rules => None,
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
        let (kept, sample) = (Mutex::new(KeptEvents::new()), DecisionSample::default());
        Self { process: rand::random(), kept, news: Notify::new(), sample }
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
    pub(super) fn tell_decision(&self, request: Embedding, json: &str) {
        // The feed's own name for it takes the place of the log's.
        let fields =
            json.strip_prefix("{\"log\":\"decisions\",").or_else(|| json.strip_prefix('{')).unwrap_or(json);
        let data = format!("{{\"kind\":\"{}\",{fields}", EventKind::Decision.as_str());
        self.push(EventKind::Decision, Subject::Embedding(request), data);
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

    /// Keeps no decisions any more, a sample aside.
    pub(super) fn end_decisions(&self) {
        self.kept.lock().end_decisions();
    }

    /// Keeps a sample of decisions from now on, too.
    pub(super) fn begin_sample(&self) {
        self.kept.lock().begin_sample();
    }

    /// Keeps no sample any more.
    pub(super) fn end_sample(&self) {
        self.kept.lock().end_sample();
    }

    /// The sample.
    pub(super) fn sample(&self) -> &DecisionSample {
        &self.sample
    }
}

#[cfg(test)]
mod tests;
