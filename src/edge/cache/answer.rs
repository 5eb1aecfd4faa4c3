//! Answers from memory: a prepared head plus the fields of the admission, with conditions and ranges applied.
//! Pingora evaluates conditions, `http-range-header` parses ranges.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use http_range_header::{RangeInvalid, RangeUnsatisfiableError, parse_range_header};
use pingora_core::protocols::http::conditional_filter::weak_validate_etag;
use tokio::time::Instant;

use super::stored::StoredAnswer;
use crate::edge::admission::terms::Admission;
use crate::edge::forward::headers;
use crate::edge::http::fields::Fields;
use crate::edge::http::message::{RequestHead, ResponseHead};

/// Cache hit: an answer in memory.
#[derive(Debug)]
pub struct Hit {
    stored: Arc<StoredAnswer>,
    at: Instant,
}

impl Hit {
    pub(super) fn new(stored: Arc<StoredAnswer>, at: Instant) -> Self {
        Self { stored, at }
    }

    /// The answer to this request.
    pub fn answer(&self, request: &RequestHead, admission: &Admission) -> (ResponseHead, Bytes) {
        let mut head = self.stored.head();
        let fields = &mut head.fields;
        fields.insert(header::AGE, HeaderValue::from(self.stored.age(self.at).as_secs()));
        headers::to_visitor(fields, admission);
        let mut body = self.stored.body();
        if is_conditional(&request.fields) {
            (head, body) = as_asked(request, head, body);
        }
        if request.method == Method::HEAD {
            body.clear();
        }
        (head, body)
    }
}

/// Applies the request's conditions or range to a complete answer.
fn as_asked(request: &RequestHead, mut head: ResponseHead, body: Bytes) -> (ResponseHead, Bytes) {
    if is_not_modified(request, &head) {
        head.status = StatusCode::NOT_MODIFIED;
        OF_A_BODY.iter().for_each(|name| head.fields.remove(name));
        return (head, Bytes::new());
    }
    if !wants_range(request) {
        return (head, body);
    }
    let part = match range(request, &head, body.len()) {
        Range::Whole => {
            head.fields.insert(header::ACCEPT_RANGES, BYTES);
            return (head, body);
        }
        Range::Part(part) if head.status == StatusCode::OK => part,
        Range::Part(_) => return (head, body),
        Range::Outside => {
            head.status = StatusCode::RANGE_NOT_SATISFIABLE;
            head.fields.remove(&header::CONTENT_TYPE);
            head.fields.remove(&header::CONTENT_ENCODING);
            head.fields.insert(header::CONTENT_LENGTH, HeaderValue::from(0));
            set_content_range(&mut head.fields, &format!("bytes */{}", body.len()));
            return (head, Bytes::new());
        }
    };
    head.status = StatusCode::PARTIAL_CONTENT;
    head.fields.remove(&header::ACCEPT_RANGES);
    set_content_range(&mut head.fields, &format!("bytes {}-{}/{}", part.start, part.end - 1, body.len()));
    let body = body.slice(part);
    head.fields.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    (head, body)
}

/// Whether the browser's own copy is still valid (RFC 9110 §13.2.2): by entity tags if it sends some, else by
/// date.
fn is_not_modified(request: &RequestHead, head: &ResponseHead) -> bool {
    if head.status != StatusCode::OK {
        return false;
    }
    if request.fields.contains(&header::IF_NONE_MATCH) {
        return head.fields.get(&header::ETAG).is_some_and(|own| {
            let mut named = request.fields.get_all(header::IF_NONE_MATCH);
            named.any(|tags| weak_validate_etag(tags.as_bytes(), own.as_bytes()))
        });
    }
    let date = |fields: &Fields, name| httpdate::parse_http_date(fields.get(name)?.to_str().ok()?).ok();
    let since = date(&request.fields, &header::IF_MODIFIED_SINCE);
    let modified = date(&head.fields, &header::LAST_MODIFIED);
    since.zip(modified).is_some_and(|(since, modified)| modified <= since)
}

/// Fields that a 304 omits, because the browser has them with its copy (RFC 9110 §15.4.5).
const OF_A_BODY: [HeaderName; 4] =
    [header::CONTENT_LENGTH, header::CONTENT_TYPE, header::CONTENT_ENCODING, header::ACCEPT_RANGES];

fn set_content_range(fields: &mut Fields, range: &str) {
    // Numbers and fixed words are a valid value.
    if let Ok(value) = HeaderValue::from_str(range) {
        fields.insert(header::CONTENT_RANGE, value);
    }
}

/// Part of a body that a request asks for.
enum Range {
    Whole,
    /// One range, within the body and not empty.
    Part(std::ops::Range<usize>),
    /// A range outside the body.
    Outside,
}

/// Parses `Range` (RFC 9110 §14.2). An invalid value or several ranges get the whole body, which is always
/// correct.
fn range(request: &RequestHead, head: &ResponseHead, length: usize) -> Range {
    if let Some(condition) = request.fields.get(&header::IF_RANGE) {
        let validator =
            if condition.as_bytes().ends_with(b"\"") { header::ETAG } else { header::LAST_MODIFIED };
        if head.fields.get(&validator) != Some(condition) {
            return Range::Whole;
        }
    }
    let ranges = request.fields.get(&header::RANGE).and_then(|ranges| ranges.to_str().ok());
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

/// Whether a request has conditions or a range.
pub(super) fn is_conditional(headers: &Fields) -> bool {
    [header::RANGE, header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE]
        .iter()
        .any(|name| headers.contains(name))
}

/// Whether the request's range applies: ranges are for GET (RFC 9110 §14.2), and a weak tag in `If-Range`
/// never matches (§13.1.5).
fn wants_range(request: &RequestHead) -> bool {
    let weak = request.fields.get(&header::IF_RANGE).is_some_and(|tag| tag.as_bytes().starts_with(b"W/"));
    request.method == Method::GET && request.fields.contains(&header::RANGE) && !weak
}

#[cfg(test)]
mod tests;
