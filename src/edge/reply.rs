//! What the edge answers itself: denials in the shape that whoever asked can show, preflights, redirects, and
//! refusals. What outsiders learn is that they are denied and by whose list, never why or what is on it: a denied
//! and an unknown widget get the same answer.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::response::Parts;
use http::{Method, Response, StatusCode};
use pingora::http::RequestHeader;

use super::decision_id::DecisionId;
use super::demo::Demo;
use super::http1::outbox::Framing;
use super::http1::write;
use super::limits::MAX_ECHO_BYTES;
use super::request::{self, NO_LOCATION, Refusal};
use crate::policy::headers::{Cors, PREFLIGHT_MAX_AGE, VARY};

mod denial;
mod text;

pub use denial::{Denial, Destination};

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Room for the fields of every reply.
const MOST_FIELDS: usize = 12;

/// An answer of the edge's own.
#[derive(Clone, Debug)]
pub struct Reply {
    status: StatusCode,
    fields: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
    /// The connection ends with this answer: it can't be trusted to be where the next request begins.
    close: bool,
}

impl Reply {
    fn new(status: StatusCode) -> Self {
        let mut fields = Vec::with_capacity(MOST_FIELDS);
        fields.push((header::CACHE_CONTROL, NO_STORE));
        fields.push((header::X_CONTENT_TYPE_OPTIONS, NOSNIFF));
        Self { status, fields, body: Bytes::new(), close: false }
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
        let Some(cors) = cors else { return self };
        // A parsed origin is printable ASCII, so this holds for every one.
        if let Ok(origin) = HeaderValue::from_str(cors.allow_origin) {
            self = self.with(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            if cors.credentials {
                self = self.with(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            }
        }
        self
    }

    /// A problem document (RFC 9457). `detail` holds nothing that JSON has to escape.
    fn problem(status: StatusCode, detail: &[&str], decision_id: Option<&DecisionId>) -> Self {
        Self::new(status).with_body(PROBLEM_JSON, text::problem(status, detail, decision_id))
    }

    /// A request that is refused before it is judged.
    pub fn refusal(refusal: Refusal) -> Self {
        let mut reply = Self::problem(refusal.status, &[refusal.detail], None);
        reply.close = true;
        if refusal.status == StatusCode::METHOD_NOT_ALLOWED {
            let allow = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
            reply = reply.with(header::ALLOW, allow);
        }
        reply
    }

    /// Another method is meant (RFC 9110 §15.5.6).
    pub fn method_not_allowed(allow: &'static str) -> Self {
        Self::problem(StatusCode::METHOD_NOT_ALLOWED, &["this path takes ", allow], None)
            .with(header::ALLOW, HeaderValue::from_static(allow))
    }

    /// A ticket, or that none is needed. `expires_in`: for how many seconds it is good.
    pub fn ticket(ticket: Option<&str>, expires_in: i64, cors: Option<Cors<'_>>) -> Self {
        let body = match ticket {
            // Nothing in it needs to be escaped.
            Some(ticket) => format!("{{\"ticket\":\"{ticket}\",\"expires_in\":{expires_in}}}"),
            None => "{\"ticket\":null,\"expires_in\":0}".to_owned(),
        };
        Self::new(StatusCode::OK)
            .with_body(HeaderValue::from_static("application/json"), body)
            .with(header::VARY, VARY)
            .with(CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("cross-origin"))
            .with_cors(cors)
    }

    /// A host page of the demo, or that there is none.
    pub fn demo_page(demo: &Demo, request: &RequestHeader) -> Self {
        if !matches!(request.method, Method::GET | Method::HEAD) {
            return Self::method_not_allowed("GET, HEAD");
        }
        match demo.host_page(request::host(request)) {
            Some(page) => {
                let mut reply = Self::new(StatusCode::OK);
                reply.fields.retain(|(name, _)| *name != header::CACHE_CONTROL);
                reply
                    .with(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))
                    .with_body(HeaderValue::from_static("text/html; charset=utf-8"), page)
            }
            None => Self::not_found(),
        }
    }

    /// No route takes this path.
    pub fn not_found() -> Self {
        Self::problem(StatusCode::NOT_FOUND, &["nothing is served at this path"], None)
    }

    /// The same address under https, the method kept (RFC 9110 §15.4.9). Scripts may follow it: what they get there is
    /// judged, and tells them why where it is a denial.
    pub fn redirect(location: &str) -> Self {
        match HeaderValue::from_str(location) {
            Ok(location) => Self::new(StatusCode::PERMANENT_REDIRECT)
                .with(header::LOCATION, location)
                .with(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
            Err(_) => Self::refusal(NO_LOCATION),
        }
    }

    /// An allowed request that failed, at its upstream or in its own body. The page may read it.
    pub fn failed(status: StatusCode, decision_id: &DecisionId, cors: Option<Cors<'_>>) -> Self {
        let detail = match status {
            StatusCode::GATEWAY_TIMEOUT => "the widget's server did not answer in time",
            StatusCode::SERVICE_UNAVAILABLE => "the widget's server is not available",
            StatusCode::BAD_REQUEST => "the request can't be read to its end",
            StatusCode::REQUEST_TIMEOUT => "the rest of the request did not come in time",
            _ => "the widget's server failed to answer",
        };
        let mut reply = Self::problem(status, &[detail], Some(decision_id));
        // Where the next request begins is not known.
        reply.close = true;
        reply
            .with(header::VARY, VARY)
            .with(CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("cross-origin"))
            .with_cors(cors)
    }

    /// The answer to a preflight: what was asked for is granted to the embedder, for a minute at most. A denied
    /// page gets one too, so that it can read the denial itself; without credentials and not to be remembered.
    pub fn preflight(request: &RequestHeader, cors: Option<Cors<'_>>, denied: bool) -> Self {
        let max_age = if denied { HeaderValue::from_static("0") } else { PREFLIGHT_MAX_AGE };
        let mut reply = Self::new(StatusCode::NO_CONTENT).with(header::VARY, VARY).with_cors(cors);
        if cors.is_none() {
            return reply;
        }
        for (asked, granted) in [
            (header::ACCESS_CONTROL_REQUEST_METHOD, header::ACCESS_CONTROL_ALLOW_METHODS),
            (header::ACCESS_CONTROL_REQUEST_HEADERS, header::ACCESS_CONTROL_ALLOW_HEADERS),
        ] {
            let asked = request.headers.get(asked).filter(|value| value.len() <= MAX_ECHO_BYTES);
            if let Some(value) = asked {
                reply = reply.with(granted, value.clone());
            }
        }
        reply.with(header::ACCESS_CONTROL_MAX_AGE, max_age)
    }

    /// Adds `Strict-Transport-Security` where the browser's scheme is https.
    pub fn with_transport_security(self, https: bool) -> Self {
        if !https {
            return self;
        }
        self.with(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"))
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
        let fields = self.fields.iter().map(|(name, value)| (name, value));
        write::head(out, self.status, None, fields, Framing::Plain, keep);
        if !head_only {
            out.extend_from_slice(&self.body);
        }
    }

    /// Its head and body, for any protocol.
    pub fn into_parts(mut self) -> (Parts, Bytes) {
        self.set_length();
        let mut head = Response::new(()).into_parts().0;
        head.status = self.status;
        head.headers = HeaderMap::from_iter(self.fields);
        (head, self.body)
    }

    fn set_length(&mut self) {
        if self.status != StatusCode::NO_CONTENT {
            self.fields.push((header::CONTENT_LENGTH, HeaderValue::from(self.body.len())));
        }
    }
}

const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const CROSS_ORIGIN_EMBEDDER_POLICY: HeaderName = HeaderName::from_static("cross-origin-embedder-policy");

impl Reply {
    /// A denial, in the shape that fits who asked.
    pub fn denial(denial: &Denial<'_>, cors: Option<Cors<'_>>) -> Self {
        denial
            .shaped()
            .with(header::VARY, VARY)
            .with(CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("cross-origin"))
            .with_cors(cors)
    }
}
