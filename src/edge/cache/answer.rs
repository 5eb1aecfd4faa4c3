//! An answer from memory: a prepared head with the few fields that are this visit's own, whole or as the request
//! wants it. Conditions are judged by pingora, ranges are read by `http-range-header`.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::response::Parts;
use http::{Method, StatusCode};
use http_range_header::{RangeInvalid, RangeUnsatisfiableError, parse_range_header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::conditional_filter::{not_modified_filter, to_304};

use super::stored::Stored;
use crate::edge::forward;
use crate::edge::visit::Visit;

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
    let mut head = Parts::from(head);
    let part = match range(request, &head, body.len()) {
        Range::Whole => {
            head.headers.insert(header::ACCEPT_RANGES, BYTES);
            return (head, body);
        }
        Range::Part(part) if head.status == StatusCode::OK => part,
        Range::Part(_) => return (head, body),
        Range::Outside => {
            head.status = StatusCode::RANGE_NOT_SATISFIABLE;
            head.headers.remove(header::CONTENT_TYPE);
            head.headers.remove(header::CONTENT_ENCODING);
            head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(0));
            set_content_range(&mut head.headers, &format!("bytes */{}", body.len()));
            return (head, Bytes::new());
        }
    };
    head.status = StatusCode::PARTIAL_CONTENT;
    head.headers.remove(header::ACCEPT_RANGES);
    set_content_range(&mut head.headers, &format!("bytes {}-{}/{}", part.start, part.end - 1, body.len()));
    let body = body.slice(part);
    head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    (head, body)
}

fn set_content_range(fields: &mut HeaderMap, range: &str) {
    // Numbers and fixed words make a value.
    if let Ok(value) = HeaderValue::from_str(range) {
        fields.insert(header::CONTENT_RANGE, value);
    }
}

/// What a request wants of a body.
enum Range {
    Whole,
    /// One part, within the body and not empty.
    Part(std::ops::Range<usize>),
    /// Parts that the body has not.
    Outside,
}

/// Reads `Range` (RFC 9110 §14.2). What is no range, and more than one, is answered with the whole, which is always right.
fn range(request: &RequestHeader, head: &Parts, length: usize) -> Range {
    if let Some(condition) = request.headers.get(header::IF_RANGE) {
        let validator =
            if condition.as_bytes().ends_with(b"\"") { header::ETAG } else { header::LAST_MODIFIED };
        if head.headers.get(validator) != Some(condition) {
            return Range::Whole;
        }
    }
    let ranges = request.headers.get(header::RANGE).and_then(|ranges| ranges.to_str().ok());
    let one = ranges.filter(|ranges| !ranges.contains(','));
    let range = match one.map(parse_range_header) {
        Some(Ok(range)) => range,
        Some(Err(RangeUnsatisfiableError::Invalid(RangeInvalid::Reversed))) => return Range::Outside,
        Some(Err(_)) | None => return Range::Whole,
    };
    match range.validate(length as u64).as_deref() {
        Ok([part]) => {
            let at = |place: u64| usize::try_from(place).unwrap_or(length).min(length);
            Range::Part(at(*part.start())..at(part.end().saturating_add(1)))
        }
        _ => Range::Outside,
    }
}

const BYTES: HeaderValue = HeaderValue::from_static("bytes");

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
