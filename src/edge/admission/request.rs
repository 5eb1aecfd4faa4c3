//! Checks before judging: they refuse requests that two servers could read differently (RFC 9112 §11.2,
//! "request smuggling"), and requests over the limits.

use http::header::{self, HeaderName, HeaderValue};
use http::uri::Scheme;
use http::{Method, StatusCode, Version};

use crate::edge::http::fields::Fields;
use crate::edge::http::limits::{HeadLimits, MAX_CONNECTION_OPTIONS, MAX_TARGET_BYTES};
use crate::edge::http::message::RequestHead;
use embedgate_policy::headers::is_persistence;
use embedgate_policy::origin::Origin;

mod host;
mod path;

/// Refusal of a request, with the reason for its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestRefusal {
    /// The status of the answer.
    pub status: StatusCode,
    /// What is wrong with the request.
    pub detail: &'static str,
}

impl RequestRefusal {
    /// A refusal with this status.
    pub const fn new(status: StatusCode, detail: &'static str) -> Self {
        Self { status, detail }
    }

    /// A refusal with status 400.
    pub const fn bad(detail: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }
}

/// Fields of a head in HTTP/1, noted while it is read, so that later steps need no search. HTTP/2 has the last alone
/// (RFC 9113 §8.2.2).
#[derive(Clone, Copy, Debug, Default)]
pub struct Noted {
    /// The head has `Connection`.
    pub connection: bool,
    /// The head has `Upgrade`.
    pub upgrade: bool,
    /// The head has `Expect`.
    pub expect: bool,
}

/// Refusal of a target over the limit.
pub const TARGET_TOO_LONG: RequestRefusal =
    RequestRefusal::new(StatusCode::URI_TOO_LONG, "the request target is longer than 8 KiB");
const _: () = assert!(MAX_TARGET_BYTES == 8 * 1024);

/// Refusal of a head with too many fields (RFC 6585 §5).
pub const TOO_MANY_FIELDS: RequestRefusal = RequestRefusal::new(
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    "the request has too many header fields",
);

/// Refusal of a head over the limit (RFC 6585 §5).
pub const HEAD_TOO_LONG: RequestRefusal = RequestRefusal::new(
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    "the head of the request, its target and its header fields, is too long",
);

/// Refusal of a WebSocket handshake on a route that serves no sessions.
pub const WEBSOCKET_ELSEWHERE: RequestRefusal = RequestRefusal::bad("this path does not serve WebSockets");

/// Refusal of a target with bytes that no address has: readers replace or drop them, each in its own way.
pub const UNENCODED: RequestRefusal =
    RequestRefusal::bad("the request target has a byte that must be percent-encoded");

/// Refusal of what a request expects and the edge doesn't know (RFC 9110 §10.1.1).
const UNKNOWN_EXPECTATION: RequestRefusal =
    RequestRefusal::new(StatusCode::EXPECTATION_FAILED, "Expect must be `100-continue`, once");

/// Refusal of a WebSocket handshake with a body, because two servers may not agree on its end.
pub const WEBSOCKET_WITH_BODY: RequestRefusal =
    RequestRefusal::bad("a WebSocket handshake must not have a body");

/// Refusal of an encoded slash outside a rest that takes it.
pub const ENCODED_SLASH: RequestRefusal = RequestRefusal::bad("the path has an encoded slash");

/// Refusal of a path that is another route's once it is decoded.
pub const ENCODED_LITERAL: RequestRefusal =
    RequestRefusal::bad("the path has encoded characters by which servers could read another path");

/// Escapes (`%XX`) in a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathEscapes {
    /// The path has any.
    pub any: bool,
    /// The place of the first encoded slash, which only some routes take.
    pub slash: Option<usize>,
}

/// Checks one request. The checks on the bytes of an HTTP/1.1 head were made when it was read. Returns the escapes in
/// its path.
///
/// # Errors
///
/// Two servers could read the request differently, or it is over the limits.
pub fn check(request: &RequestHead, noted: Noted, limits: HeadLimits) -> Result<PathEscapes, RequestRefusal> {
    if request.method == Method::TRACE || request.method == Method::CONNECT {
        return Err(RequestRefusal::new(StatusCode::METHOD_NOT_ALLOWED, "TRACE and CONNECT are not served"));
    }
    check_size(request, limits)?;
    if request.version == Version::HTTP_2 && request.fields.get_all(header::CONTENT_LENGTH).count() > 1 {
        return Err(RequestRefusal::bad("Content-Length must be one number"));
    }
    if noted.expect || request.version == Version::HTTP_2 {
        check_expectation(&request.fields)?;
    }
    check_authority(request)?;
    if noted.connection {
        check_connection(&request.fields)?;
    }
    path::check(request.target().as_bytes())
}

fn check_size(request: &RequestHead, limits: HeadLimits) -> Result<(), RequestRefusal> {
    if request.target().len() > MAX_TARGET_BYTES {
        return Err(TARGET_TOO_LONG);
    }
    if request.fields.count() > limits.fields {
        return Err(TOO_MANY_FIELDS);
    }
    // The size of an HTTP/1.1 head was checked when it was read.
    if request.version == Version::HTTP_2 {
        let fields = request.fields.iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
        if request.target().len() + fields.sum::<usize>() > limits.bytes {
            return Err(HEAD_TOO_LONG);
        }
    }
    Ok(())
}

/// Checks that there is exactly one valid host: upstreams route by it, and repeat it in links.
fn check_authority(request: &RequestHead) -> Result<(), RequestRefusal> {
    let mut hosts = request.fields.get_all(header::HOST);
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(RequestRefusal::bad("Host appears twice"));
    }
    let authority = request.uri.authority().map(|authority| authority.as_str().as_bytes());
    // HTTP/2 may have the host in `:authority` alone.
    let is_named = host.is_some() || request.version == Version::HTTP_2 && authority.is_some();
    if !is_named && request.version != Version::HTTP_10 {
        return Err(RequestRefusal::bad("Host is missing"));
    }
    if request.uri.scheme().is_some_and(|scheme| *scheme != Scheme::HTTP && *scheme != Scheme::HTTPS) {
        return Err(RequestRefusal::bad("the request target has a scheme that is not served"));
    }
    let host = host.map(HeaderValue::as_bytes);
    if host.into_iter().chain(authority).any(|host| !host::is_host(host)) {
        return Err(RequestRefusal::bad("Host is not a name or address with an optional port"));
    }
    if let (Some(host), Some(authority)) = (host, authority)
        && !host.eq_ignore_ascii_case(authority)
    {
        return Err(RequestRefusal::bad("Host and the request target's authority differ"));
    }
    Ok(())
}

/// Checks `Expect`: servers differ in what they make of other values, and some then await no body, or no end of one.
fn check_expectation(fields: &Fields) -> Result<(), RequestRefusal> {
    let mut values = fields.get_all(header::EXPECT);
    let is_known = values.next().is_none_or(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    if is_known && values.next().is_none() { Ok(()) } else { Err(UNKNOWN_EXPECTATION) }
}

/// Checks `Connection`. The next hop drops the fields named in it, so it must not name a field that a
/// verdict, the framing or the upstream relies on.
fn check_connection(headers: &Fields) -> Result<(), RequestRefusal> {
    let mut count = 0;
    for value in headers.get_all(header::CONNECTION) {
        for nominated in value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            let is_own = is_persistence(nominated) || nominated.eq_ignore_ascii_case(b"upgrade");
            // Bounded, because every later step compares each field with each of these names.
            count += usize::from(!nominated.is_empty() && !is_own);
            if !nominated.iter().all(is_token_byte) {
                return Err(RequestRefusal::bad("Connection names something that can't be a field"));
            }
            if is_relied_on(nominated) {
                return Err(RequestRefusal::bad("Connection names a field that must not be dropped"));
            }
        }
    }
    if count > MAX_CONNECTION_OPTIONS {
        return Err(RequestRefusal::bad("Connection names too many fields"));
    }
    Ok(())
}

/// Whether a byte is `tchar` of RFC 9110 §5.6.2.
fn is_token_byte(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte)
}

const RELIED_ON: [&str; 10] = [
    "host",
    "origin",
    "referer",
    "authorization",
    "cookie",
    "range",
    "expect",
    "forwarded",
    "transfer-encoding",
    "cache-control",
];
const RELIED_ON_PREFIXES: [&str; 9] = [
    "content-",
    "sec-",
    "accept",
    "if-",
    "access-control-",
    "x-forwarded-",
    "x-widget-",
    "x-embedder-",
    "x-decision-",
];

fn is_relied_on(name: &[u8]) -> bool {
    let starts = |prefix: &str| {
        name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
    };
    RELIED_ON.iter().any(|relied| name.eq_ignore_ascii_case(relied.as_bytes()))
        || RELIED_ON_PREFIXES.iter().any(|prefix| starts(prefix))
}

/// Upgrade that a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upgrade {
    /// No upgrade.
    None,
    /// A WebSocket (RFC 6455 §4.1).
    WebSocket,
    /// A protocol that the edge does not serve. The fields are removed, and the request is an ordinary one.
    Other,
}

/// The upgrade that a request asks for.
pub fn upgrade(request: &RequestHead, noted: Noted) -> Upgrade {
    if !noted.upgrade {
        return Upgrade::None;
    }
    let mut wishes = request.fields.get_all(header::UPGRADE);
    let Some(wish) = wishes.next() else { return Upgrade::None };
    let names_upgrade = request.fields.get_all(header::CONNECTION).any(|value| {
        value
            .as_bytes()
            .split(|byte| *byte == b',')
            .any(|token| token.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
    });
    let websocket = wishes.next().is_none()
        && wish.as_bytes().trim_ascii().eq_ignore_ascii_case(b"websocket")
        && names_upgrade
        && request.method == Method::GET
        && request.version == Version::HTTP_11;
    if websocket { Upgrade::WebSocket } else { Upgrade::Other }
}

/// Whether the request is a CORS preflight (Fetch standard, "CORS-preflight request").
pub fn is_preflight(request: &RequestHead) -> bool {
    request.method == Method::OPTIONS && request.fields.contains(&header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// The lines of one field, raw.
pub fn lines(request: &RequestHead, name: HeaderName) -> impl Iterator<Item = &[u8]> {
    request.fields.get_all(name).map(http::HeaderValue::as_bytes)
}

/// Whether a request is for a loopback name, to which browsers give the rights of https (Secure Contexts §3.1).
pub fn is_loopback(request: &RequestHead) -> bool {
    let address = format!("http://{}", host(request).to_ascii_lowercase());
    Origin::parse(&address).is_ok_and(|origin| origin.is_loopback())
}

/// The `Host` of a request, or its `:authority`; empty if it has neither.
pub fn host(request: &RequestHead) -> &str {
    let named = request.fields.get(&header::HOST).and_then(|host| host.to_str().ok());
    named.or_else(|| request.uri.authority().map(http::uri::Authority::as_str)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
