//! Head of a request as its upstream gets it, over HTTP/1.1 and HTTP/2.

use std::borrow::Cow;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, Uri, Version};

use super::beginning::Beginning;
use crate::edge::admission::client::ClientInfo;
use crate::edge::admission::request;
use crate::edge::admission::terms::Admission;
use crate::edge::forward::headers::{mapped, told_upstream};
use crate::edge::http::body::BodyLength;
use crate::edge::http::fields::Fields;
use crate::edge::http::http1::write;
use crate::edge::http::message::{RequestHead, ResponseHead};
use embedgate_policy::headers::{is_hop_by_hop, nominated};

/// Room for the fields that the edge adds, in bytes.
const TOLD_BYTES: usize = 512;

/// Allowed request on its way to an upstream.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// The request, without its tickets.
    pub request: &'a RequestHead,
    /// The terms of the request.
    pub admission: &'a Admission,
    /// The sender of the request.
    pub client: &'a ClientInfo,
    /// The `Host` for the upstream; `None`: the browser's.
    pub host: Option<&'a HeaderValue>,
    /// The length of the request's body.
    pub length: BodyLength,
    /// Whether it opens a WebSocket.
    pub is_handshake: bool,
}

impl Outgoing<'_> {
    /// Whether the request may be sent again although a server may have processed it: to do it twice is to do it once
    /// (RFC 9110 §9.2.2). All of it has to be kept.
    pub fn is_repeatable(&self, beginning: &Beginning) -> bool {
        beginning.is_whole() && self.request.method.is_idempotent() && !self.is_handshake
    }

    /// The head in HTTP/1.1.
    pub fn http1(&self) -> Vec<u8> {
        let (fields, target) = (&self.request.fields, &*self.target());
        let size: usize = fields.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        let mut head = Vec::with_capacity(target.len() + size + TOLD_BYTES);
        for part in [self.request.method.as_str(), " ", target, " HTTP/1.1\r\n"] {
            head.extend_from_slice(part.as_bytes());
        }
        write::field(&mut head, "host", self.host().as_bytes());
        let takes_trailers = self.each_field(|name, value| write::field(&mut head, name.as_str(), value));
        match self.length {
            BodyLength::Known(length) => {
                write::field(&mut head, "content-length", length.to_string().as_bytes())
            }
            BodyLength::Unknown => write::field(&mut head, "transfer-encoding", b"chunked"),
            BodyLength::Absent if self.wants_length() => write::field(&mut head, "content-length", b"0"),
            BodyLength::Absent => {}
        }
        if self.is_handshake {
            head.extend_from_slice(b"connection: Upgrade\r\nupgrade: websocket\r\n");
        } else if takes_trailers {
            head.extend_from_slice(b"connection: te\r\nte: trailers\r\n");
        }
        head.extend_from_slice(b"\r\n");
        head
    }

    /// The head in HTTP/2. `scheme`: the scheme of the connection.
    ///
    /// # Errors
    /// An HTTP/2 request can't have this host.
    pub fn http2(&self, scheme: Scheme) -> Result<Request<()>, http::Error> {
        let mut fields = HeaderMap::with_capacity(self.request.fields.count() + 8);
        let takes_trailers = self.each_field(|name, value| {
            // The value was a field's value or an address before, so it is valid.
            if let Ok(value) = HeaderValue::from_bytes(value) {
                fields.append(name.clone(), value);
            }
        });
        match self.length {
            BodyLength::Known(length) => {
                drop(fields.insert(header::CONTENT_LENGTH, HeaderValue::from(length)))
            }
            BodyLength::Absent if self.wants_length() => {
                fields.insert(header::CONTENT_LENGTH, HeaderValue::from(0));
            }
            BodyLength::Absent | BodyLength::Unknown => {}
        }
        if takes_trailers {
            fields.insert(header::TE, HeaderValue::from_static("trailers"));
        }
        let uri = Uri::builder()
            .scheme(scheme)
            .authority(Authority::try_from(self.host().as_bytes())?)
            .path_and_query(PathAndQuery::try_from(&*self.target())?)
            .build()?;
        let mut request = Request::new(());
        *request.method_mut() = self.request.method.clone();
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = uri;
        *request.headers_mut() = fields;
        Ok(request)
    }

    /// The target for an origin server, which gets only the path of an absolute target (RFC 9112 §3.2.2), as the route
    /// rewrites it.
    fn target(&self) -> Cow<'_, str> {
        let (shared, target) = (&self.admission.shared, self.request.target());
        match &shared.route.mapping {
            None => Cow::Borrowed(target),
            Some(mapping) => Cow::Owned(mapping.to_upstream(&shared.widget, target)),
        }
    }

    /// Maps the paths in an answer back to those that browsers know.
    pub fn map_back(&self, answer: &mut ResponseHead) {
        let shared = &self.admission.shared;
        if let Some(mapping) = &shared.route.mapping {
            mapped::to_browser(&mut answer.fields, mapping, &shared.widget, self.host());
        }
    }

    fn host(&self) -> &str {
        let named = self.host.and_then(|host| host.to_str().ok());
        named.unwrap_or_else(|| request::host(self.request))
    }

    /// Whether a request without a body must say so, because its method is made for one (RFC 9110 §8.6).
    fn wants_length(&self) -> bool {
        matches!(self.request.method, Method::POST | Method::PUT | Method::PATCH)
    }

    /// Calls `put` with every field, except hop-by-hop fields, the host, and framing fields. `true`: the
    /// client accepts trailers.
    fn each_field(&self, mut put: impl FnMut(&HeaderName, &[u8])) -> bool {
        let fields = &self.request.fields;
        // A check before the verdict refuses fields that must not be dropped.
        let nominated: Vec<HeaderName> = nominated(fields.get_all(header::CONNECTION)).collect();
        let (mut cookies, mut takes_trailers) = (false, false);
        for (name, value) in fields.iter() {
            if *name == header::TE {
                takes_trailers |= names_trailers(value.as_bytes());
            }
            let passes = !is_hop_by_hop(name)
                && *name != header::HOST
                && *name != header::CONTENT_LENGTH
                && self.client.passes(name)
                && !nominated.contains(name)
                && !(self.is_handshake && *name == header::EXPECT);
            if !passes {
                continue;
            }
            if *name != header::COOKIE {
                put(name, value.as_bytes());
            } else if !cookies {
                cookies = true;
                each_cookie(fields, |all| put(name, all));
            }
        }
        self.client.forwarded(self.request, |name, value| put(&name, value));
        told_upstream(self.admission).for_each(|(name, value)| put(&name, value.as_bytes()));
        takes_trailers
    }
}

fn names_trailers(codings: &[u8]) -> bool {
    let mut codings = codings.split(|byte| *byte == b',');
    codings.any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

/// Calls `put` with all cookies as one value: HTTP/2 sends them in several fields, and an HTTP/1.1 server may
/// read only one (RFC 9113 §8.2.3).
fn each_cookie(fields: &Fields, put: impl FnOnce(&[u8])) {
    let mut values = fields.get_all(header::COOKIE).map(HeaderValue::as_bytes);
    let Some(first) = values.next() else { return };
    let mut others = values.peekable();
    if others.peek().is_none() {
        return put(first);
    }
    let mut all = first.to_vec();
    for other in others {
        all.extend_from_slice(b"; ");
        all.extend_from_slice(other);
    }
    put(&all);
}
