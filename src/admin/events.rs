//! `GET /v1/events`: decisions, swaps and ends of sessions as they happen, as server-sent events (HTML standard,
//! "Server-sent events"). Each has an id, after which a reader that comes back goes on.

use std::convert::Infallible;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::response::sse::{Event as Message, Sse};
use futures_util::stream::{self, Stream};
use http::{HeaderMap, HeaderName};
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::sleep;
use utoipa::IntoParams;

use super::Admin;
use super::auth::{Credential, CredentialEnd};
use super::gate::Gate;
use super::input::Parameters;
use super::openapi::StreamProblems;
use super::problem::Problem;
use crate::telemetry::decision_log::Hearing;
use crate::telemetry::events::{Event, EventKind, EventReader, Lag, NextEvent, WantedEvents};
use embedgate_policy::origin::{Origin, OriginError};
use embedgate_policy::verdict::Verdict;
use embedgate_policy::widget::WidgetId;

mod swaps;

pub use swaps::SwapFeed;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Longest time without a message. One without an event tells the position, so that a reader that hears little of what it
/// wants does not fall behind.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Most decisions in a second that a reader can ask for where it does not want all.
const MOST_PER_SECOND: u32 = 1000;

/// Query of the events.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EventsQuery {
    /// Only events about this widget. A swap of more than 100 widgets is told in any case; refusals are about none.
    #[param(value_type = Option<WidgetId>, nullable = false)]
    widget: Option<String>,
    /// Only decisions about this embedder, and ends of its sessions: an origin as browsers write it, `null` or `file://`. It
    /// may have opened the widget, too.
    #[param(example = "https://example.com", nullable = false)]
    embedder: Option<String>,
    /// Of decisions only those with this verdict.
    #[param(nullable = false)]
    verdict: Option<Verdict>,
    /// At most so many decisions in a second; `lagged` tells how many were left out. Those that `widget`, `embedder` or
    /// `verdict=deny` names come first. Left out: all decisions.
    #[param(minimum = 1, maximum = 1000, nullable = false)]
    decisions_per_second: Option<u32>,
    /// Only events of these kinds: given several times, or as one list with commas.
    #[serde(default)]
    #[param(value_type = Option<Vec<EventKind>>, nullable = false)]
    kind: Vec<String>,
}

/// Where a stream begins.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "read by the description's derivation alone; `events` reads the header")]
pub(super) struct EventsHeaders {
    /// The id of the last event that was read: the stream goes on after it. Left out: from now on.
    #[param(rename = "Last-Event-ID", nullable = false)]
    last_event_id: Option<String>,
}

impl EventsQuery {
    fn wanted(self) -> Result<WantedEvents, Problem> {
        let widget = self.widget.map(|id| match WidgetId::parse(&id) {
            Ok(_) => Ok(id.into()),
            Err(error) => Err(Problem::invalid_parameter("widget", error.to_string())),
        });
        let words = self.kind.iter().flat_map(|list| list.split(','));
        let kinds = words.map(|word| {
            let known = EventKind::ALL.into_iter().find(|kind| kind.as_str() == word);
            known.ok_or_else(|| {
                let known = EventKind::ALL.map(EventKind::as_str).join("`, `");
                let detail =
                    format!("`{}` is no kind of event; the kinds are `{known}`", word.escape_debug());
                Problem::invalid_parameter("kind", detail)
            })
        });
        Ok(WantedEvents {
            widget: widget.transpose()?,
            embedder: self.embedder.map(embedder).transpose()?,
            verdict: self.verdict,
            kinds: kinds.collect::<Result<_, _>>()?,
            decisions_per_second: self.decisions_per_second.map(decisions_per_second).transpose()?,
        })
    }
}

/// An embedder, as events name it.
fn embedder(origin: String) -> Result<Box<str>, Problem> {
    match Origin::parse(&origin) {
        Ok(_) | Err(OriginError::Opaque | OriginError::LocalFile) => Ok(origin.into()),
        Err(error) => Err(Problem::invalid_parameter("embedder", error.to_string())),
    }
}

fn decisions_per_second(number: u32) -> Result<NonZeroU32, Problem> {
    NonZeroU32::new(number).filter(|number| number.get() <= MOST_PER_SECOND).ok_or_else(|| {
        let detail = format!("it is a number from 1 to {MOST_PER_SECOND}; leave it out for all decisions");
        Problem::invalid_parameter("decisions_per_second", detail)
    })
}

/// Watch what happens
///
/// Server-sent events. The `data` of each is an `Event`, its `event` is the event's `kind`, and its `id` is what
/// `Last-Event-ID` resumes after. The last 10,000 decisions are kept, and the last 10,000 events of the other kinds, all in
/// one order. Decisions are kept only while somebody reads them, and for 5 minutes afterwards. A message without `data`
/// tells the position alone.
#[utoipa::path(
    get,
    path = "/v1/events",
    operation_id = "watchEvents",
    tag = "verdicts",
    params(EventsQuery, EventsHeaders),
    responses(
        (status = 200, description = "A stream that ends with the edge, or with what the caller was let in by: its token, or a person's session", content_type = "text/event-stream", body = Event<'static>),
        StreamProblems,
    ),
)]
pub(super) async fn events(
    State(admin): State<Arc<Admin>>,
    Extension(credential): Extension<Credential>,
    Parameters(query): Parameters<EventsQuery>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Message, Infallible>>>, Problem> {
    let wanted = query.wanted()?;
    let place = admin.bounds.reader()?;
    // Before the reader takes its position.
    let hearing = wanted.has(EventKind::Decision).then(|| admin.decisions.hear(&wanted));
    let reader = match headers.get(LAST_EVENT_ID) {
        // What is no text is no id of this process, either.
        Some(id) => admin.events.reader_after(id.to_str().unwrap_or_default(), wanted),
        None => admin.events.reader(wanted),
    };
    let first = Event::Listening { generation: admin.publisher.live().load().generation() };
    let first = message("listening", &reader).json_data(first);
    let listening = Listening {
        reader,
        // Everything that happens after it is told.
        first: first.ok(),
        gate: Arc::clone(&admin.gate),
        _hearing: hearing,
        _place: place,
    };
    let end = CredentialEnd::of(admin, credential);
    let events = stream::unfold((listening, end), |(mut listening, mut end)| async move {
        let gate = Arc::clone(&listening.gate);
        let message = tokio::select! {
            biased;
            // First, so that many messages don't put it off.
            () = end.reached() => return None,
            message = listening.next() => message,
            // The client comes back to the process that has taken over.
            () = gate.passed_on() => return None,
        };
        Some((Ok(message), (listening, end)))
    });
    Ok(Sse::new(events))
}

/// Connected client.
struct Listening {
    reader: EventReader,
    first: Option<Message>,
    gate: Arc<Gate>,
    _hearing: Option<Hearing>,
    _place: OwnedSemaphorePermit,
}

impl Listening {
    /// The next message.
    async fn next(&mut self) -> Message {
        if let Some(first) = self.first.take() {
            return first;
        }
        let next = tokio::select! {
            next = self.reader.next() => next,
            () = sleep(KEEP_ALIVE) => return position(&self.reader),
        };
        match next {
            NextEvent::Event(event) => message(event.kind().as_str(), &self.reader).data(event.data()),
            NextEvent::Lagged(Lag { reason, missed }) => {
                let lagged = message("lagged", &self.reader).json_data(Event::Lagged { reason, missed });
                // Words and numbers can always be written as JSON.
                lagged.unwrap_or_else(|_| position(&self.reader))
            }
        }
    }
}

/// A message of this kind, with the id to resume from.
fn message(kind: &str, reader: &EventReader) -> Message {
    position(reader).event(kind)
}

fn position(reader: &EventReader) -> Message {
    Message::default().id(reader.position().to_string())
}
