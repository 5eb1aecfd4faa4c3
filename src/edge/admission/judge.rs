//! Judge of routed requests: the one place where a request meets the rule book, which it loads exactly once.

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http::header::{self, HeaderValue};
use jiff::Timestamp;
use tokio::time::Instant;

use super::decision_id::DecisionId;
use super::fetch_metadata::FetchMetadata;
use super::reports::Reports;
use super::request::{host, is_loopback, lines};
use super::route::Route;
use super::terms::{Admission, ReadLimit};
use super::tickets::{TicketReading, Tickets};
use crate::edge::forward::upstream::Upstream;
use crate::edge::http::message::RequestHead;
use crate::edge::session::entry::NewSession;
use crate::limits::opening::OpenedAt;
use crate::limits::shares::ShareWait;
use crate::rules::live::LiveRules;
use crate::rules::sessions::SessionFacts;
use crate::telemetry::metrics::TicketOutcome;
use crate::telemetry::shown_decisions::ShownDecision;
use embedgate_policy::decision::{Decision, EdgePolicy, Facts, TicketState, decide};
use embedgate_policy::headers::{GivenTicket, OwnAnswer, members, timing_of_ticket};
use embedgate_policy::origin::{Embedder, Origin};
use embedgate_policy::verdict::Class;

mod opening;
mod presented;
mod record;
mod report;
mod ticket;
mod told;

const EVENT_STREAM: &[u8] = b"text/event-stream";

pub use opening::Opener;
pub use record::VerdictRecorder;
pub use ticket::TicketCall;
pub use told::{Told, ToldLimit};

use opening::LimitedVerdict;
use presented::PresentedTicket;
use record::JudgedRequest;

/// Judge of one request, with everything but the rules.
#[derive(Debug)]
pub struct Judge<'a> {
    /// The edge's policy for all widgets.
    pub policy: &'a EdgePolicy,
    /// Reader and issuer of tickets.
    pub tickets: &'a Tickets,
    /// Issuer of the addresses that browsers report to.
    pub reports: &'a Reports,
    /// Maximum idle time of a stream; `None`: no limit.
    pub stream_idle: Option<Duration>,
    /// Whether the browser's scheme is https.
    pub https: bool,
    /// The recorder of verdicts.
    pub verdicts: &'a VerdictRecorder,
}

/// Verdict, with what the next step needs.
#[derive(Debug)]
pub enum Judged<'r> {
    /// The request is allowed.
    Allowed(Box<Allowed>),
    /// The request is denied.
    Denied(Denied<'r>),
    /// Nothing is decided or recorded yet: a larger share of a limit is on its way. Judge the request again after that.
    Waits(ShareWait),
}

/// Allowed request.
#[derive(Debug)]
pub struct Allowed {
    /// The session that it opens.
    pub session: Option<NewSession>,
    /// The upstream of the request.
    pub upstream: Arc<Upstream>,
    /// The terms for its answer.
    pub admission: Admission,
}

/// Denied request.
#[derive(Debug)]
pub struct Denied<'r> {
    /// The verdict.
    pub decision: Decision,
    /// The denied embedder.
    pub embedder: Embedder<'r>,
    /// The decision's id.
    pub id: DecisionId,
    /// The decision, to be kept once somebody is shown its id. `None`: the request is a preflight, which passes so that the
    /// page can read the denial of its request.
    pub shown: Option<Arc<ShownDecision>>,
    subject: told::DenialSubject,
}

impl Denied<'_> {
    /// The subject of the answer.
    pub fn told(&self) -> Told<'_> {
        self.subject.told(self.embedder)
    }
}

impl Judge<'_> {
    /// Judges one request, and records the verdict. `id` is the widget's id, as the request names it. `opener`: who asks,
    /// where something is opened.
    pub fn judge<'r>(
        &self,
        rules: &LiveRules,
        route: &Arc<Route>,
        id: &str,
        request: &'r RequestHead,
        opener: &Opener<'_>,
        now: Timestamp,
    ) -> Judged<'r> {
        let started = Instant::now();
        // The widget is looked up first, so that its rules arrive from main memory while the origin is
        // parsed.
        let book = rules.load();
        let widget = book.get(id);
        let fetch = FetchMetadata::read(&request.fields);
        let embedder = Embedder::identify(fetch.origins(), lines(request, header::REFERER));
        let presented = self.presented(route.class, &embedder, id, request, &fetch);
        let PresentedTicket { ref reading, by_cookie } = presented;
        let is_stream = is_stream(route, request);
        let ticket = reading.as_ref().map_or(TicketState::Absent, |reading| {
            // An `EventSource` reconnects to its first address, a frame may reload much later, and a cookie is
            // renewed by answers alone: all of them have old tickets.
            match is_stream || by_cookie || route.class == Class::Frame {
                true => self.tickets.renewable_state(reading, now),
                false => reading.state(now),
            }
        });
        let facts =
            Facts { widget: id, class: route.class, embedder, missing_denied: route.missing_denied, ticket };
        let ruled = decide(&facts, widget, self.policy, now);
        let opens = opener.opens(route, is_stream);
        let mut limited = LimitedVerdict::of(ruled);
        let at = OpenedAt { monotonic: started, system: now };
        let counted = facts.counted_embedder(self.policy);
        let asked = (request, opener, opens, at);
        if let Err(wait) = self.limit(widget.as_ref(), (&facts, counted), asked, &mut limited) {
            return Judged::Waits(wait);
        }
        let decision = limited.decision;
        let took = started.elapsed();
        if let Some(reading) = reading {
            self.count_ticket(reading, ticket, &ruled);
        }
        let is_ahead = fetch.is_ahead() && !is_frame_of_shown_page(route.class, &fetch);
        let subject = JudgedRequest {
            facts: &facts,
            embedder: counted,
            widget,
            reading: reading.as_ref(),
            request,
            fetch: &fetch,
            is_ahead,
            route: Some(route),
            trace_id: OnceCell::new(),
            now,
        };
        let decision_id = self.record(&subject, &decision, took);
        match widget {
            Some(widget) if decision.is_allowed() => {
                let opened_by = facts.by_ticket(self.policy);
                let mut allowed = Box::new(Allowed {
                    admission: Admission::new(
                        route,
                        decision_id,
                        widget,
                        &decision,
                        &embedder,
                        opened_by,
                        fetch.origin(),
                    ),
                    upstream: Arc::clone(route.upstream(widget)),
                    session: None,
                });
                // Assets and public pages have nothing of their own beside CORS.
                if matches!(route.class, Class::Frame | Class::Session) {
                    let answer = &mut allowed.admission.own.answer;
                    *answer = OwnAnswer::of(
                        &facts,
                        widget,
                        &decision,
                        self.policy,
                        now,
                        |page| if is_ahead { None } else { self.framed(id, page, (request, &fetch), now) },
                        self.reports.are_wanted().then_some(|page: Option<Origin<'_>>, room| {
                            self.reports.address(id, room, &decision_id, page, now)
                        }),
                    );
                    // Shown later from a browser's store, it would have no ticket.
                    answer.not_stored = is_ahead && route.class == Class::Frame;
                    answer.by_cookie = by_cookie;
                    if by_cookie && !is_ahead {
                        self.renew_cookie(answer, id, reading.as_ref(), request, now);
                    }
                }
                if route.class == Class::Session {
                    let generation = book.generation();
                    allowed.session = SessionFacts::keep(&facts).map(|facts| NewSession {
                        facts,
                        generation,
                        is_counted: opens.is_session,
                        address: limited.address,
                        charge: limited.charge.take(),
                    });
                }
                if is_stream {
                    allowed.admission.own.read_limit = ReadLimit::OfStream(self.stream_idle);
                }
                Judged::Allowed(allowed)
            }
            _ => {
                // A frame needs no ticket, so an invalid one is not a reason to mention it.
                let told = reading.as_ref().filter(|reading| reading.is_needed(route.class));
                let cookies = self.tickets.has_cookies();
                let shown = subject.shown(decision_id, &decision);
                let subject = match limited.refusal {
                    Some(limit) => told::DenialSubject::Limit(limit.into()),
                    None => told::DenialSubject::of(decision.reason, &facts, told, self.policy, cookies),
                };
                Judged::Denied(Denied { decision, embedder, id: decision_id, shown, subject })
            }
        }
    }

    /// Gives a frame's document its ticket: in `Server-Timing`, and, where there are ticket cookies, as one. Not to a
    /// tab: its cookies would be those of the edge's own site, under which no page embeds the widget.
    fn framed(
        &self,
        id: &str,
        page: Origin<'_>,
        (request, fetch): (&RequestHead, &FetchMetadata<'_>),
        now: Timestamp,
    ) -> Option<GivenTicket> {
        let ticket = self.tickets.issue(id, page, now)?;
        self.verdicts.metrics.ticket(TicketOutcome::Framed);
        let cookie = fetch.is_in_frame().then(|| self.cookie(id, &ticket, request)).flatten();
        Some(GivenTicket { timing: timing_of_ticket(&ticket), cookie })
    }

    /// The `Set-Cookie` with a ticket, where there are ticket cookies and the browser keeps them: they are `Secure`.
    fn cookie(&self, id: &str, ticket: &str, request: &RequestHead) -> Option<HeaderValue> {
        let cookie = self.tickets.cookie(id, ticket)?;
        (self.https || is_loopback(request)).then_some(cookie)
    }

    /// Renews the cookie by which a session was allowed, once its ticket is older than half its lifetime.
    fn renew_cookie(
        &self,
        answer: &mut OwnAnswer,
        id: &str,
        reading: Option<&TicketReading>,
        request: &RequestHead,
        now: Timestamp,
    ) {
        let Some(TicketReading::Genuine(ticket)) = reading else { return };
        if answer.given.is_some() || !self.tickets.is_half_spent(ticket, now) {
            return;
        }
        let fresh = ticket.embedder().and_then(|embedder| self.tickets.issue(id, embedder, now));
        if let Some(cookie) = fresh.and_then(|fresh| self.cookie(id, &fresh, request)) {
            answer.given = Some(Box::new(GivenTicket { timing: None, cookie: Some(cookie) }));
            self.verdicts.metrics.ticket(TicketOutcome::Renewed);
        }
    }
}

/// Whether this is the frame of a page that was prerendered: Chromium requests it once the page is shown, and says of it
/// what was true before. No other request follows, so it has its ticket and is a sighting.
fn is_frame_of_shown_page(class: Class, fetch: &FetchMetadata<'_>) -> bool {
    class == Class::Frame && fetch.is_of_prerendered_page() && fetch.is_in_frame()
}

/// Whether an origin has the host that was asked, and its port.
fn names_host(origin: Origin<'_>, request: &RequestHead) -> bool {
    let authority = origin.as_str().split_once("://").map(|(_, authority)| authority);
    authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host(request)))
}

/// Whether the answer is a stream, by the route or by the browser's `Accept`.
fn is_stream(route: &Route, request: &RequestHead) -> bool {
    let names_events = || {
        // Fast path: most values are `*/*`.
        let values = lines(request, header::ACCEPT).filter(|value| value.len() >= EVENT_STREAM.len());
        let ranges = values.flat_map(members);
        let mut types = ranges.filter_map(|range| range.split(|byte| *byte == b';').next());
        types.any(|media_type| media_type.trim_ascii().eq_ignore_ascii_case(EVENT_STREAM))
    };
    route.class == Class::Session && (route.stream || request.method == Method::GET && names_events())
}
