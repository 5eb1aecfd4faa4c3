//! Replies of the edge's own: denials in the form that the requester can show, preflights, redirects,
//! refusals, failures, tickets, and those to reports. The page that asked can read each of them. A denial names
//! the page and the entry to add, never what is on the list: a denied and an unknown widget get the same answer.
//!
//! The [`OwnProfile`] of the route has the fields of all replies.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use jiff::Timestamp;

use super::decision_id::DecisionId;
use super::request::{RequestRefusal, UNENCODED, is_preflight, lines};
use crate::edge::http::http1::outbox::BodyFraming;
use crate::edge::http::http1::write;
use crate::edge::http::limits::MAX_ECHO_BYTES;
use crate::edge::http::message::{RequestHead, ResponseHead};
use crate::edge::http::trace_context::TraceId;
use crate::telemetry::shown_decisions::{ShownDecision, ShownOutcome};
use embedgate_policy::headers::{Cors, OwnProfile, PREFLIGHT_MAX_AGE};
use embedgate_policy::origin::Embedder;

mod denial;
mod socket;
mod text;

pub use denial::Denial;

const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Maximum number of fields that a reply has besides those of its profile.
const MOST_FIELDS: usize = 6;

/// Recipient of a reply.
#[derive(Clone, Copy, Debug)]
pub struct Recipient<'a> {
    /// The request.
    pub request: &'a RequestHead,
    /// The profile of such replies on its route, or without a route.
    pub own: &'a Arc<OwnProfile>,
    /// Whether the browser's scheme is https.
    pub https: bool,
}

impl<'a> Recipient<'a> {
    /// The CORS grant without a verdict: to the page that the request names.
    fn grant(&self) -> Option<Cors<'a>> {
        let request = self.request;
        let embedder = Embedder::identify(lines(request, header::ORIGIN), lines(request, header::REFERER));
        Cors::of_own_answer(&embedder)
    }
}

/// Reply: an answer of the edge's own.
#[derive(Clone, Debug)]
pub struct Reply {
    status: StatusCode,
    own: Option<Arc<OwnProfile>>,
    https: bool,
    /// The reply is a document that browsers show.
    page: bool,
    /// The fields besides those of the profile.
    fields: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
    /// The decision whose id the recipient is shown.
    shown: Option<Arc<ShownDecision>>,
    /// The connection ends with this reply, because the start of the next request can't be trusted.
    close: bool,
}

impl Reply {
    fn new(to: Recipient<'_>, status: StatusCode) -> Self {
        let (own, fields) = (Some(Arc::clone(to.own)), Vec::with_capacity(MOST_FIELDS));
        let body = Bytes::new();
        Self { status, own, https: to.https, page: false, fields, body, shown: None, close: false }
    }

    fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.fields.push((name, value));
        self
    }

    fn with_body(mut self, content_type: HeaderValue, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self.with(header::CONTENT_TYPE, content_type)
    }

    fn with_cors(mut self, cors: Option<Cors<'_>>) -> Self {
        if let Some(cors) = cors {
            cors.into_fields().for_each(|field| self.fields.push(field));
        }
        self
    }

    /// A problem document (RFC 9457). `detail` must need no escaping in JSON.
    fn problem(to: Recipient<'_>, status: StatusCode, detail: &[&str], decision_id: &DecisionId) -> Self {
        Self::new(to, status).with_body(PROBLEM_JSON, text::problem(status, None, detail, decision_id))
    }

    /// A problem before the verdict, which says nothing about the widget. The page that asked can read it. As
    /// for a denial, its preflight must succeed for that.
    fn unjudged(to: Recipient<'_>, status: StatusCode, detail: [&'static str; 2]) -> Self {
        let grant = to.grant();
        if grant.is_some() && is_preflight(to.request) {
            return Self::preflight(to, grant, true);
        }
        let (request, now) = (to.request, Timestamp::now());
        let (id, trace_id) = (DecisionId::new(now), TraceId::of(&request.fields));
        let (outcome, trace_id) = (ShownOutcome::Refused(detail), trace_id.as_ref().map(TraceId::as_str));
        let shown = ShownDecision::new(id.to_bytes(), now, &request.method, trace_id, outcome);
        Self::problem(to, status, &detail, &id).with_cors(grant).about(Arc::new(shown))
    }

    /// The reply about a decision, whose id its recipient is shown.
    #[must_use]
    pub fn about(mut self, shown: Arc<ShownDecision>) -> Self {
        self.shown = Some(shown);
        self
    }

    /// The reply to a request that is refused before it is judged.
    pub fn refusal(to: Recipient<'_>, refusal: RequestRefusal) -> Self {
        let mut reply = Self::unjudged(to, refusal.status, [refusal.detail, ""]);
        reply.close = true;
        if refusal.status == StatusCode::METHOD_NOT_ALLOWED {
            let allow = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
            reply = reply.with(header::ALLOW, allow);
        }
        reply
    }

    /// The reply to a method that the path does not accept (RFC 9110 §15.5.6).
    pub fn method_not_allowed(to: Recipient<'_>, allow: &'static str) -> Self {
        Self::unjudged(to, StatusCode::METHOD_NOT_ALLOWED, ["this path accepts only ", allow])
            .with(header::ALLOW, HeaderValue::from_static(allow))
    }

    /// The reply with a ticket, or without one if none is needed. `expires_in`: the ticket's lifetime in
    /// seconds.
    pub fn ticket(to: Recipient<'_>, ticket: Option<&str>, expires_in: i64, cors: Option<Cors<'_>>) -> Self {
        let body = match ticket {
            // A ticket needs no escaping.
            Some(ticket) => format!("{{\"ticket\":\"{ticket}\",\"expires_in\":{expires_in}}}"),
            None => "{\"ticket\":null,\"expires_in\":0}".to_owned(),
        };
        let json = HeaderValue::from_static("application/json");
        Self::new(to, StatusCode::OK).with_body(json, body).with_cors(cors)
    }

    /// The reply without a content.
    pub fn no_content(to: Recipient<'_>) -> Self {
        Self::new(to, StatusCode::NO_CONTENT)
    }

    /// The reply to a call for a ticket from a page that is prerendered: a ticket may be over before the page is shown.
    pub fn not_shown(to: Recipient<'_>) -> Self {
        const DETAIL: &str = "this page is not shown yet, and gets its ticket once it is: ask again then";
        Self::unjudged(to, StatusCode::CONFLICT, [DETAIL, ""])
    }

    /// A page that belongs to no widget, so that no profile applies to it.
    pub fn page(to: Recipient<'_>, page: String) -> Self {
        if !matches!(to.request.method, Method::GET | Method::HEAD) {
            return Self::method_not_allowed(to, "GET, HEAD");
        }
        Self { own: None, ..Self::new(to, StatusCode::OK) }
            .with(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))
            .with_body(HeaderValue::from_static("text/html; charset=utf-8"), page)
    }

    /// The reply to a path without a route.
    pub fn not_found(to: Recipient<'_>) -> Self {
        Self::unjudged(to, StatusCode::NOT_FOUND, ["nothing is served at this path", ""])
    }

    /// A redirect to the same address under https that keeps the method (RFC 9110 §15.4.9). Scripts may
    /// follow it: the next request is judged, and its denial says why.
    pub fn redirect(to: Recipient<'_>, location: &str) -> Self {
        match HeaderValue::from_str(location) {
            Ok(location) => Self::new(to, StatusCode::PERMANENT_REDIRECT)
                .with(header::LOCATION, location)
                .with(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
            Err(_) => Self::refusal(to, UNENCODED),
        }
    }

    /// The reply to an allowed request that failed, at its upstream or in its own body. The page may read it
    /// by the grant of its verdict, or, if its class has none, like a denial.
    pub fn failed(
        to: Recipient<'_>,
        status: StatusCode,
        decision_id: &DecisionId,
        cors: Option<Cors<'_>>,
    ) -> Self {
        let detail = match status {
            StatusCode::GATEWAY_TIMEOUT => "the widget's server did not answer in time",
            StatusCode::SERVICE_UNAVAILABLE => "the widget's server is not available",
            StatusCode::BAD_REQUEST => "the rest of the request can't be read",
            StatusCode::PAYLOAD_TOO_LARGE => "the request's body is larger than this path takes",
            StatusCode::REQUEST_TIMEOUT => "the rest of the request did not come in time",
            _ => "the widget's server failed to answer",
        };
        let mut reply = Self::problem(to, status, &[detail], decision_id);
        // The start of the next request is unknown.
        reply.close = true;
        reply.with_cors(cors.or_else(|| to.grant()))
    }

    /// The reply to a preflight: everything that was asked for is granted, for at most a minute. A denied
    /// page gets a grant too, so that it can read the denial itself, but without credentials and not to be
    /// remembered.
    pub fn preflight(to: Recipient<'_>, cors: Option<Cors<'_>>, denied: bool) -> Self {
        let max_age = if denied { HeaderValue::from_static("0") } else { PREFLIGHT_MAX_AGE };
        let mut reply = Self::new(to, StatusCode::NO_CONTENT).with_cors(cors);
        if cors.is_none() {
            return reply;
        }
        for (asked, granted) in [
            (header::ACCESS_CONTROL_REQUEST_METHOD, header::ACCESS_CONTROL_ALLOW_METHODS),
            (header::ACCESS_CONTROL_REQUEST_HEADERS, header::ACCESS_CONTROL_ALLOW_HEADERS),
        ] {
            let asked = to.request.fields.get(&asked).filter(|value| value.len() <= MAX_ECHO_BYTES);
            if let Some(value) = asked {
                reply = reply.with(granted, value.clone());
            }
        }
        reply.with(header::ACCESS_CONTROL_MAX_AGE, max_age)
    }

    /// The status, for the metrics.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The decision whose id the recipient is shown, if there is one.
    pub fn shown(&self) -> Option<&Arc<ShownDecision>> {
        self.shown.as_ref()
    }

    /// Length of the body, in bytes.
    pub fn length(&self) -> usize {
        self.body.len()
    }

    /// Whether the connection ends with this reply.
    pub fn closes(&self) -> bool {
        self.close
    }

    /// Writes the reply in HTTP/1.1. `head_only`: the request was a `HEAD`.
    pub fn write(mut self, out: &mut Vec<u8>, keep: bool, head_only: bool) {
        if self.status.is_informational() {
            // It says itself what becomes of the connection, and another protocol follows it.
            let (head, rest) = self.into_parts();
            write::interim(out, &head);
            return out.extend_from_slice(&rest);
        }
        self.set_length();
        let own = self.own.as_ref().map(|own| own.fields(self.page, self.https)).unwrap_or_default();
        let fields = own.iter().chain(&self.fields).map(|(name, value)| (name, value));
        write::head(out, self.status, None, fields, BodyFraming::Plain, keep);
        if !head_only {
            out.extend_from_slice(&self.body);
        }
    }

    /// The head and body, for any protocol.
    pub fn into_parts(mut self) -> (ResponseHead, Bytes) {
        self.set_length();
        let own = self.own.as_ref().map(|own| own.fields(self.page, self.https)).unwrap_or_default();
        let fields = own.iter().cloned().chain(self.fields).collect();
        (ResponseHead::new(self.status, fields), self.body)
    }

    fn set_length(&mut self) {
        if self.status != StatusCode::NO_CONTENT && !self.status.is_informational() {
            self.fields.push((header::CONTENT_LENGTH, HeaderValue::from(self.body.len())));
        }
    }
}

impl Reply {
    /// A denial, in the form that the requester can show.
    pub fn denial(to: Recipient<'_>, denial: &Denial<'_>, cors: Option<Cors<'_>>) -> Self {
        denial.shaped(to).with_cors(cors)
    }
}
