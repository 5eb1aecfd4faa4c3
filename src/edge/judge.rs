//! From a routed request to its verdict: the one place where a request meets the rule book, which is loaded
//! exactly once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use http::header::{self, HeaderName, HeaderValue};
use jiff::Timestamp;

use super::decision_id::DecisionId;
use super::request::lines;
use super::route::Route;
use super::tickets::{Reading, Tickets};
use super::upstream::Upstream;
use super::visit::{ReadLimit, Visit};
use crate::edge::message::RequestHead;
use crate::policy::csp::widget_ancestors;
use crate::policy::decision::{Class, Decision, EdgePolicy, Facts, TicketState, decide};
use crate::policy::headers::{members, ticket_for, timing_of_ticket};
use crate::policy::origin::{Embedder, Origin};
use crate::rules::live::LiveRules;
use crate::rules::sessions::SessionFacts;
use crate::telemetry::decision_log::DecisionLog;
use crate::telemetry::metrics::{Metrics, TicketOutcome};

mod record;
mod ticket;
mod told;

const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
const EVENT_STREAM: &[u8] = b"text/event-stream";

pub use ticket::TicketCall;
pub use told::Told;

use record::Subject;

/// What judging takes beside the rules, borrowed for one request.
#[derive(Debug)]
pub struct Judge<'a> {
    /// What holds for all widgets.
    pub policy: &'a EdgePolicy,
    /// Who reads tickets, and gives them out.
    pub tickets: &'a Tickets,
    /// How long a stream may be without a byte; `None` is without end.
    pub stream_idle: Option<Duration>,
    /// The counters.
    pub metrics: &'a Metrics,
    /// The decision log.
    pub decisions: &'a DecisionLog,
}

/// A verdict, with what the next step needs.
#[derive(Debug)]
pub enum Judged<'r> {
    /// The request goes on.
    Allowed(Box<Allowed>),
    /// It is answered with a denial.
    Denied(Denied<'r>),
}

/// An allowed request.
#[derive(Debug)]
pub struct Allowed {
    /// What a session rests on.
    pub session: Option<SessionFacts>,
    /// Where it goes.
    pub upstream: Arc<Upstream>,
    /// What its answer needs.
    pub visit: Visit,
}

/// A denied request.
#[derive(Debug)]
pub struct Denied<'r> {
    /// The verdict.
    pub decision: Decision,
    /// Who is denied.
    pub embedder: Embedder<'r>,
    /// The decision's id.
    pub id: DecisionId,
    subject: told::Subject,
}

impl Denied<'_> {
    /// Whom the answer speaks of.
    pub fn told(&self) -> Told<'_> {
        self.subject.told(self.embedder)
    }
}

impl Judge<'_> {
    /// Judges one request, counts and logs the verdict. `id` is what the path names as the widget.
    pub fn judge<'r>(
        &self,
        rules: &LiveRules,
        route: &Arc<Route>,
        id: &str,
        request: &'r RequestHead,
        now: Timestamp,
    ) -> Judged<'r> {
        let started = Instant::now();
        // The widget first: while its rules are on their way from main memory, the origin is parsed.
        let book = rules.load();
        let widget = book.get(id);
        let embedder = Embedder::identify(lines(request, header::ORIGIN), lines(request, header::REFERER));
        let reading = self.reading(route.class, &embedder, id, request);
        let is_stream = is_stream(route, request);
        let ticket = reading.as_ref().map_or(TicketState::Absent, |reading| {
            // An `EventSource` reconnects to the address that it began with, and a frame reloads long after.
            match is_stream || route.class == Class::Frame {
                true => self.tickets.renewable_state(reading, now),
                false => reading.state(now),
            }
        });
        let facts = Facts { class: route.class, embedder, missing_denied: route.missing_denied, ticket };
        let decision = decide(&facts, widget, self.policy, now);
        self.metrics.decided(route.class, &decision, started.elapsed());
        if let Some(reading) = &reading {
            self.presented(reading, ticket, &decision);
        }
        let subject = Subject { id, facts: &facts, widget, reading: reading.as_ref(), request, now };
        let decision_id = self.record(&subject, &decision);
        match widget {
            Some(widget) if decision.is_allowed() => {
                let ancestors = widget_ancestors(&facts, widget, self.policy, now);
                let opened_by = facts.by_ticket(self.policy);
                let said = request.fields.get(&header::ORIGIN);
                let mut allowed = Box::new(Allowed {
                    session: None,
                    upstream: Arc::clone(route.upstream(widget)),
                    visit: Visit::new(route, decision_id, widget, &decision, &embedder, opened_by, said),
                });
                allowed.visit.own.frame_ancestors =
                    ancestors.and_then(|value| HeaderValue::try_from(value).ok());
                if route.class == Class::Session {
                    allowed.session = SessionFacts::keep(&facts);
                }
                if is_stream {
                    allowed.visit.own.read_limit = ReadLimit::OfStream(self.stream_idle);
                }
                let page = opened_by.map_or(embedder, Embedder::Known);
                if let Some(embedder) = ticket_for(route.class, &decision, &page, self.policy) {
                    allowed.visit.own.ticket = self.framed(id, embedder, now);
                }
                Judged::Allowed(allowed)
            }
            _ => {
                // A frame needs no ticket: one that is none says nothing of it.
                let told = reading.as_ref().filter(|reading| reading.is_needed(route.class));
                let subject = told::Subject::of(&embedder, told, self.policy);
                Judged::Denied(Denied { decision, embedder, id: decision_id, subject })
            }
        }
    }

    /// What a session of the widget's own iframe presents, or that iframe itself where it moves within itself and has
    /// one. Tickets of other requests are not looked at: what they rest on is their own origin.
    fn reading(
        &self,
        class: Class,
        embedder: &Embedder<'_>,
        id: &str,
        request: &RequestHead,
    ) -> Option<Reading> {
        if !embedder.origin().is_some_and(|origin| self.policy.own_origins.contains(origin)) {
            return None;
        }
        match class {
            Class::Session => Some(self.tickets.read(request, id)),
            Class::Frame if is_in_frame(request) => Some(self.tickets.read_address(request, id))
                .filter(|reading| !matches!(reading, Reading::Absent)),
            Class::Frame | Class::Asset | Class::Public => None,
        }
    }

    /// The field with the ticket of a frame's document.
    fn framed(&self, id: &str, embedder: Origin<'_>, now: Timestamp) -> Option<http::HeaderValue> {
        let field = timing_of_ticket(&self.tickets.issue(id, embedder, now)?);
        self.metrics.ticket(TicketOutcome::Framed);
        field
    }
}

/// Whether a session is one that the server keeps sending to: where the route or the browser says so.
fn is_stream(route: &Route, request: &RequestHead) -> bool {
    let names_events = || {
        // Most say `*/*`.
        let values = lines(request, header::ACCEPT).filter(|value| value.len() >= EVENT_STREAM.len());
        let ranges = values.flat_map(members);
        let mut types = ranges.filter_map(|range| range.split(|byte| *byte == b';').next());
        types.any(|media_type| media_type.trim_ascii().eq_ignore_ascii_case(EVENT_STREAM))
    };
    route.class == Class::Session && (route.stream || request.method == Method::GET && names_events())
}

/// Whether the browser wants a document for a frame (Fetch Metadata Request Headers), and not for a tab.
fn is_in_frame(request: &RequestHead) -> bool {
    let mut destinations = lines(request, SEC_FETCH_DEST);
    matches!((destinations.next(), destinations.next()), (Some(b"iframe" | b"frame"), None))
}
