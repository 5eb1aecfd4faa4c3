//! An answer from memory: a prepared head with the few fields that are this visit's own, whole or as the request
//! wants it. Conditions and ranges are judged by the proxy library's own functions.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::Method;
use http::header::{self, HeaderMap, HeaderValue};
use http::response::Parts;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::conditional_filter::{not_modified_filter, to_304};
use pingora::proxy::{RangeType, range_header_filter};

use super::stored::Stored;
use crate::edge::forward;
use crate::edge::visit::Visit;

/// Ranges that are answered with parts: one. More are answered with the whole, which is always right (RFC 9110
/// §14.2). The library stops counting at this number.
const RANGES: Option<usize> = Some(2);

/// An answer that is in memory.
#[derive(Debug)]
pub struct Hit {
    stored: Arc<Stored>,
    at: Instant,
}

impl Hit {
    pub(super) fn new(stored: Arc<Stored>, at: Instant) -> Self {
        Self { stored, at }
    }

    /// The answer to this request.
    pub fn answer(&self, request: &RequestHeader, visit: &Visit) -> (Parts, Bytes) {
        let mut head = self.stored.head();
        let fields = &mut head.headers;
        fields.insert(header::AGE, HeaderValue::from(self.stored.age(self.at).as_secs()));
        forward::grant_to(fields, visit.grant());
        let mut body = self.stored.body();
        if is_conditional(&request.headers) {
            (head, body) = as_asked(request, head, body);
        }
        if request.method == Method::HEAD {
            body.clear();
        }
        (head, body)
    }
}

/// What a request with conditions or a range gets of a whole answer.
fn as_asked(request: &RequestHeader, head: Parts, body: Bytes) -> (Parts, Bytes) {
    let mut head = ResponseHeader::from(head);
    if not_modified_filter(request, &head) {
        to_304(&mut head);
        return (head.into(), Bytes::new());
    }
    if !wants_range(request) {
        return (head.into(), body);
    }
    let part = match range_header_filter(request, &mut head, RANGES) {
        // Within the body: the library has cut it to its length.
        RangeType::Single(range) if range.end <= body.len() => body.slice(range),
        RangeType::Invalid => Bytes::new(),
        _ => body,
    };
    (head.into(), part)
}

/// Whether a request has fields that its answer is judged by.
pub(super) fn is_conditional(headers: &HeaderMap) -> bool {
    [header::RANGE, header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE]
        .iter()
        .any(|name| headers.contains_key(name))
}

/// Ranges are for GET (RFC 9110 §14.2), and a weak tag in `If-Range` fits nothing (§13.1.5).
fn wants_range(request: &RequestHeader) -> bool {
    let weak = request.headers.get(header::IF_RANGE).is_some_and(|tag| tag.as_bytes().starts_with(b"W/"));
    request.method == Method::GET && request.headers.contains_key(header::RANGE) && !weak
}

#[cfg(test)]
mod tests;
