//! `GET /v1/events`: decisions and swaps as they happen, as server-sent events (HTML standard, "Server-sent
//! events"). Events are not stored: a client that is not connected misses them, and a slow one is told how
//! many it missed.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{self, Stream};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, broadcast};

use super::Admin;
use super::gate::Gate;
use super::openapi::StreamProblems;
use super::problem::Problem;
use crate::rules::change::ChangedWidget;
use crate::rules::error::RulesError;
use crate::rules::publisher::{Observer, Swap};
use crate::rules::source::SourceKind;
use crate::telemetry::decision_log;

/// Number of swaps that a listener may be behind before it misses some.
const BACKLOG: usize = 256;
/// Maximum number of widgets named in one event; the rest is counted.
const WIDGETS: usize = 100;
/// Maximum number of errors of a refused update in one event.
const FAULTS: usize = 20;
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Feed of every swap and refusal to listeners. Without listeners it costs the writer one check.
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
            // An error means that the last listener has just left.
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
/// Server-sent events: `decision` (as in the decision log, but independent of its scope), `swap`, `refused`
/// (an update of the rules), and `lagged` with the number of events that a slow reader missed.
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
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let listening = Listening {
        _place: admin.bounds.reader()?,
        decisions: admin.decisions.listen(),
        swaps: admin.swaps.0.subscribe(),
        // The first event: everything that happens after it is reported.
        gate: Arc::clone(&admin.gate),
        first: Some(format!("{{\"generation\":{}}}", admin.publisher.live().load().generation())),
    };
    let events = stream::unfold(listening, |mut listening| async move {
        let gate = Arc::clone(&listening.gate);
        let event = tokio::select! {
            event = listening.next() => event?,
            // The client comes back to the process that has taken over.
            () = gate.passed_on() => return None,
        };
        Some((Ok(event), listening))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

/// Connected client.
struct Listening {
    decisions: decision_log::DecisionListener,
    swaps: broadcast::Receiver<(&'static str, Arc<str>)>,
    first: Option<String>,
    gate: Arc<Gate>,
    _place: OwnedSemaphorePermit,
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
