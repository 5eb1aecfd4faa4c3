//! What the edge answers itself: denials in the shape that whoever asked can show, preflights, redirects, refusals,
//! failures and tickets. The page that asked can read each of them. What outsiders learn is that they are denied and by
//! whose list, never why or what is on it: a denied and an unknown widget get the same answer.
//!
//! What all of them carry is said once, by the [`OwnProfile`] of the route.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use jiff::Timestamp;

use super::decision_id::DecisionId;
use super::http1::outbox::Framing;
use super::http1::write;
use super::limits::MAX_ECHO_BYTES;
use super::request::{NO_LOCATION, Refusal, is_preflight, lines};
use crate::edge::message::{RequestHead, ResponseHead};
use crate::policy::headers::{Cors, OwnProfile, PREFLIGHT_MAX_AGE};
use crate::policy::origin::Embedder;

mod denial;
mod text;

pub use denial::Denial;

const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Room for the fields that a reply has besides those of its profile.
const MOST_FIELDS: usize = 6;

/// Whom an answer of the edge's own is for.
#[derive(Clone, Copy, Debug)]
pub struct Recipient<'a> {
    /// The request.
    pub request: &'a RequestHead,
    /// What such answers carry: on its route, or where it has none.
    pub own: &'a Arc<OwnProfile>,
    /// Whether the browser's scheme is https.
    pub https: bool,
}

impl<'a> Recipient<'a> {
    /// The CORS grant where there is no verdict: to the page that the request names.
    fn grant(&self) -> Option<Cors<'a>> {
        let request = self.request;
        let embedder = Embedder::identify(lines(request, header::ORIGIN), lines(request, header::REFERER));
        Cors::of_own_answer(&embedder)
    }
}

/// An answer of the edge's own.
#[derive(Clone, Debug)]
pub struct Reply {
    status: StatusCode,
    own: Option<Arc<OwnProfile>>,
    https: bool,
    /// It is a document that browsers show.
    page: bool,
    /// What it carries besides.
    fields: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
    /// The connection ends with this answer: it can't be trusted to be where the next request begins.
    close: bool,
}

impl Reply {
    fn new(to: Recipient<'_>, status: StatusCode) -> Self {
        let (own, fields) = (Some(Arc::clone(to.own)), Vec::with_capacity(MOST_FIELDS));
        Self { status, own, https: to.https, page: false, fields, body: Bytes::new(), close: false }
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

    /// A problem document (RFC 9457). `detail` holds nothing that JSON has to escape.
    fn problem(to: Recipient<'_>, status: StatusCode, detail: &[&str], decision_id: &DecisionId) -> Self {
        Self::new(to, status).with_body(PROBLEM_JSON, text::problem(status, detail, decision_id))
    }

    /// A problem that shows before there is a verdict, and so says nothing of the widget. The page that asked can read
    /// it, and as for a denial its preflight passes, or it never could.
    fn unjudged(to: Recipient<'_>, status: StatusCode, detail: &[&str]) -> Self {
        let grant = to.grant();
        if grant.is_some() && is_preflight(to.request) {
            return Self::preflight(to, grant, true);
        }
        let id = DecisionId::new(Timestamp::now());
        tracing::debug!(decision_id = id.as_str(), status = status.as_u16(), ?detail, "refused unjudged");
        Self::problem(to, status, detail, &id).with_cors(grant)
    }

    /// A request that is refused before it is judged.
    pub fn refusal(to: Recipient<'_>, refusal: Refusal) -> Self {
        let mut reply = Self::unjudged(to, refusal.status, &[refusal.detail]);
        reply.close = true;
        if refusal.status == StatusCode::METHOD_NOT_ALLOWED {
            let allow = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
            reply = reply.with(header::ALLOW, allow);
        }
        reply
    }

    /// Another method is meant (RFC 9110 §15.5.6).
    pub fn method_not_allowed(to: Recipient<'_>, allow: &'static str) -> Self {
        Self::unjudged(to, StatusCode::METHOD_NOT_ALLOWED, &["this path takes ", allow])
            .with(header::ALLOW, HeaderValue::from_static(allow))
    }

    /// A ticket, or that none is needed. `expires_in`: for how many seconds it is good.
    pub fn ticket(to: Recipient<'_>, ticket: Option<&str>, expires_in: i64, cors: Option<Cors<'_>>) -> Self {
        let body = match ticket {
            // Nothing in it needs to be escaped.
            Some(ticket) => format!("{{\"ticket\":\"{ticket}\",\"expires_in\":{expires_in}}}"),
            None => "{\"ticket\":null,\"expires_in\":0}".to_owned(),
        };
        let json = HeaderValue::from_static("application/json");
        Self::new(to, StatusCode::OK).with_body(json, body).with_cors(cors)
    }

    /// A page that is no widget's, so that no profile holds for it.
    pub fn page(to: Recipient<'_>, page: String) -> Self {
        if !matches!(to.request.method, Method::GET | Method::HEAD) {
            return Self::method_not_allowed(to, "GET, HEAD");
        }
        Self { own: None, ..Self::new(to, StatusCode::OK) }
            .with(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))
            .with_body(HeaderValue::from_static("text/html; charset=utf-8"), page)
    }

    /// No route takes this path.
    pub fn not_found(to: Recipient<'_>) -> Self {
        Self::unjudged(to, StatusCode::NOT_FOUND, &["nothing is served at this path"])
    }

    /// The same address under https, the method kept (RFC 9110 §15.4.9). Scripts may follow it: what they get there is
    /// judged, and tells them why where it is a denial.
    pub fn redirect(to: Recipient<'_>, location: &str) -> Self {
        match HeaderValue::from_str(location) {
            Ok(location) => Self::new(to, StatusCode::PERMANENT_REDIRECT)
                .with(header::LOCATION, location)
                .with(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
            Err(_) => Self::refusal(to, NO_LOCATION),
        }
    }

    /// An allowed request that failed, at its upstream or in its own body. The page may read it: by the grant of its
    /// verdict, credentials included, or where its class has none as it could read a denial.
    pub fn failed(
        to: Recipient<'_>,
        status: StatusCode,
        decision_id: &DecisionId,
        cors: Option<Cors<'_>>,
    ) -> Self {
        let detail = match status {
            StatusCode::GATEWAY_TIMEOUT => "the widget's server did not answer in time",
            StatusCode::SERVICE_UNAVAILABLE => "the widget's server is not available",
            StatusCode::BAD_REQUEST => "the request can't be read to its end",
            StatusCode::REQUEST_TIMEOUT => "the rest of the request did not come in time",
            _ => "the widget's server failed to answer",
        };
        let mut reply = Self::problem(to, status, &[detail], decision_id);
        // Where the next request begins is not known.
        reply.close = true;
        reply.with_cors(cors.or_else(|| to.grant()))
    }

    /// The answer to a preflight: what was asked for is granted to the embedder, for a minute at most. A denied
    /// page gets one too, so that it can read the denial itself; without credentials and not to be remembered.
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

    /// Whether the connection ends with it.
    pub fn closes(&self) -> bool {
        self.close
    }

    /// Writes it in HTTP/1.1. `head_only`: the request was a `HEAD`.
    pub fn write(mut self, out: &mut Vec<u8>, keep: bool, head_only: bool) {
        self.set_length();
        let own = self.own.as_ref().map(|own| own.fields(self.page, self.https)).unwrap_or_default();
        let fields = own.iter().chain(&self.fields).map(|(name, value)| (name, value));
        write::head(out, self.status, None, fields, Framing::Plain, keep);
        if !head_only {
            out.extend_from_slice(&self.body);
        }
    }

    /// Its head and body, for any protocol.
    pub fn into_parts(mut self) -> (ResponseHead, Bytes) {
        self.set_length();
        let own = self.own.as_ref().map(|own| own.fields(self.page, self.https)).unwrap_or_default();
        let fields = own.iter().cloned().chain(self.fields).collect();
        (ResponseHead::new(self.status, fields), self.body)
    }

    fn set_length(&mut self) {
        if self.status != StatusCode::NO_CONTENT {
            self.fields.push((header::CONTENT_LENGTH, HeaderValue::from(self.body.len())));
        }
    }
}

impl Reply {
    /// A denial, in the shape that fits who asked.
    pub fn denial(to: Recipient<'_>, denial: &Denial<'_>, cors: Option<Cors<'_>>) -> Self {
        denial.shaped(to).with_cors(cors)
    }
}
