//! Heads of messages, over any protocol.

use http::uri::PathAndQuery;
use http::{Method, StatusCode, Uri, Version};

use super::fields::Fields;

/// Head of a request.
#[derive(Clone, Debug)]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// The request target.
    pub uri: Uri,
    /// The version of the request.
    pub version: Version,
    /// The fields.
    pub fields: Fields,
}

impl RequestHead {
    /// The target for an origin server (RFC 9112 §3.2.1): path and query.
    pub fn target(&self) -> &str {
        self.uri.path_and_query().map_or("/", PathAndQuery::as_str)
    }
}

/// Head of an answer, interim or final.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    /// The status.
    pub status: StatusCode,
    /// The reason phrase, if it is not the usual one.
    pub reason: Option<Box<str>>,
    /// The version of the answer.
    pub version: Version,
    /// The fields.
    pub fields: Fields,
}

impl ResponseHead {
    /// A head in HTTP/1.1 with these fields.
    pub fn new(status: StatusCode, fields: Fields) -> Self {
        Self { status, reason: None, version: Version::HTTP_11, fields }
    }
}

impl From<http::request::Parts> for RequestHead {
    fn from(parts: http::request::Parts) -> Self {
        let http::request::Parts { method, uri, version, headers, .. } = parts;
        Self { method, uri, version, fields: headers.into() }
    }
}

impl From<http::response::Parts> for ResponseHead {
    fn from(parts: http::response::Parts) -> Self {
        let http::response::Parts { status, version, headers, .. } = parts;
        Self { status, reason: None, version, fields: headers.into() }
    }
}

#[cfg(test)]
impl RequestHead {
    /// A request in HTTP/1.1.
    pub fn of(method: &str, target: &str, fields: &[(&'static str, &str)]) -> Self {
        Self {
            method: method.parse().unwrap(),
            uri: target.parse().unwrap(),
            version: Version::HTTP_11,
            fields: Fields::of(fields),
        }
    }
}

#[cfg(test)]
impl ResponseHead {
    /// An answer with this status.
    pub fn of(status: u16, fields: &[(&'static str, &str)]) -> Self {
        Self::new(StatusCode::from_u16(status).unwrap(), Fields::of(fields))
    }
}
