//! Heads of answers, as bytes.

use http::header::{self, HeaderName, HeaderValue};
use http::response::Parts;
use http::{StatusCode, Version};
use pingora::protocols::http::date::get_cached_date;

/// Writes a final head. What belongs to this connection is the edge's own: it is left out of `fields`.
pub fn head<'f>(
    out: &mut Vec<u8>,
    version: Version,
    status: StatusCode,
    reason: Option<&str>,
    fields: impl Iterator<Item = (&'f HeaderName, &'f HeaderValue)>,
    keep: bool,
) {
    status_line(out, version, status, reason);
    for (name, value) in fields.filter(|(name, _)| **name != header::CONNECTION && **name != header::DATE) {
        field(out, name.as_str(), value.as_bytes());
    }
    field(out, "Date", get_cached_date().as_bytes());
    field(out, "Connection", if keep { b"keep-alive" } else { b"close" });
    out.extend_from_slice(b"\r\n");
}

/// Writes an interim head (RFC 9110 §15.2).
pub fn interim(out: &mut Vec<u8>, head: &Parts, reason: Option<&str>) {
    status_line(out, head.version, head.status, reason);
    for (name, value) in &head.headers {
        field(out, name.as_str(), value.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

fn status_line(out: &mut Vec<u8>, version: Version, status: StatusCode, reason: Option<&str>) {
    out.extend_from_slice(if version == Version::HTTP_10 { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
    out.extend_from_slice(status.as_str().as_bytes());
    out.extend_from_slice(b" ");
    out.extend_from_slice(reason.or(status.canonical_reason()).unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}
