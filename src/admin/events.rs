//! `GET /v1/events`: decisions and swaps as they happen, as server-sent events (HTML standard, "Server-sent
//! events"). Nothing is written down for it: who is not connected misses them, who is slow is told how many.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{self, Stream};
use serde::Serialize;
use tokio::sync::broadcast;

use super::Admin;
use super::openapi::StreamProblems;
use crate::rules::change::ChangedWidget;
use crate::rules::error::RulesError;
use crate::rules::publisher::{Observer, Swap};
use crate::rules::source::SourceKind;
use crate::telemetry::decision_log;

/// How many swaps a listener may be behind before it misses some.
const BACKLOG: usize = 256;
/// The most widgets that one event names; the rest is counted.
const WIDGETS: usize = 100;
/// The most faults of a refused update that one event tells.
const FAULTS: usize = 20;
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Tells listeners of every swap and refusal. Costs the writer one look where nobody listens.
#[derive(Debug)]
pub struct SwapFeed(broadcast::Sender<(&'static str, Arc<str>)>);

impl SwapFeed {
    /// A feed without listeners.
    pub fn new() -> Self {
        Self(broadcast::channel(BACKLOG).0)
    }

    fn tell(&self, kind: &'static str, data: impl FnOnce() -> Option<String>) {
        if self.0.receiver_count() == 0 {
            return;
        }
        if let Some(json) = data() {
            // An error is that the last listener has just gone.
            let _ = self.0.send((kind, json.into()));
        }
    }
}

impl Default for SwapFeed {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Serialize)]
struct SwapEvent<'a> {
    generation: u64,
    source: SourceKind,
    widgets: usize,
    changed: Vec<Changed<'a>>,
    changed_omitted: usize,
    took_us: u64,
}

#[derive(Serialize)]
struct Changed<'a> {
    id: &'a str,
    before: Option<u64>,
    after: Option<u64>,
}

impl<'a> From<&'a ChangedWidget> for Changed<'a> {
    fn from(ChangedWidget { id, before, after }: &'a ChangedWidget) -> Self {
        Self { id: id.as_str(), before: *before, after: *after }
    }
}

#[derive(Serialize)]
struct RefusalEvent<'a> {
    source: SourceKind,
    code: &'a str,
    detail: String,
}

impl Observer for SwapFeed {
    fn swapped(&self, swap: &Swap<'_>) {
        self.tell("swap", || {
            let event = SwapEvent {
                generation: swap.book.generation(),
                source: swap.source,
                widgets: swap.book.len(),
                changed: swap.changed.iter().take(WIDGETS).map(Changed::from).collect(),
                changed_omitted: swap.changed.len().saturating_sub(WIDGETS),
                took_us: u64::try_from(swap.took.as_micros()).unwrap_or(u64::MAX),
            };
            serde_json::to_string(&event).ok()
        });
    }

    fn rejected(&self, source: SourceKind, error: &RulesError) {
        self.tell("refused", || {
            let event = RefusalEvent { source, code: error.code(), detail: error.summary(FAULTS) };
            serde_json::to_string(&event).ok()
        });
    }
}

/// Watch decisions and swaps
///
/// Server-sent events: `decision` (as in the decision log, whatever its scope), `swap`, `refused` (an update of the
/// rules), and `lagged` with how many were missed by a slow reader.
#[utoipa::path(
    get,
    path = "/v1/events",
    operation_id = "watchEvents",
    tag = "verdicts",
    responses(
        (status = 200, description = "A stream that ends with the edge", content_type = "text/event-stream", body = String),
        StreamProblems,
    ),
)]
pub(super) async fn events(
    State(admin): State<Arc<Admin>>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let listening = Listening {
        decisions: admin.decisions.listen(),
        swaps: admin.swaps.0.subscribe(),
        // Said first: whatever happens from now on is told.
        first: Some(format!("{{\"generation\":{}}}", admin.publisher.live().load().generation())),
    };
    let events = stream::unfold(listening, |mut listening| async move {
        let event = listening.next().await?;
        Some((Ok(event), listening))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

/// One connected reader.
struct Listening {
    decisions: decision_log::Listener,
    swaps: broadcast::Receiver<(&'static str, Arc<str>)>,
    first: Option<String>,
}

impl Listening {
    /// The next event; `None` once there can be no more.
    async fn next(&mut self) -> Option<Event> {
        if let Some(first) = self.first.take() {
            return Some(Event::default().event("listening").data(first));
        }
        let lagged = |missed: u64| Event::default().event("lagged").data(format!("{{\"missed\":{missed}}}"));
        tokio::select! {
            decision = self.decisions.next() => Some(match decision {
                Ok(line) => Event::default().event("decision").data(line),
                Err(missed) => lagged(missed),
            }),
            swap = self.swaps.recv() => match swap {
                Ok((kind, data)) => Some(Event::default().event(kind).data(data)),
                Err(broadcast::error::RecvError::Lagged(missed)) => Some(lagged(missed)),
                Err(broadcast::error::RecvError::Closed) => None,
            },
        }
    }
}
