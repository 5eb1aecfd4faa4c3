//! Writer of answer heads and body framing in HTTP/1.1.

use http::StatusCode;
use http::header::{self, HeaderName, HeaderValue};
use pingora_core::protocols::http::date::get_cached_date;

use super::outbox::BodyFraming;
use crate::edge::http::message::ResponseHead;

/// Writes a final head. The edge sets the connection fields itself, and skips those in `fields`.
pub fn head<'f>(
    out: &mut Vec<u8>,
    status: StatusCode,
    reason: Option<&str>,
    fields: impl Iterator<Item = (&'f HeaderName, &'f HeaderValue)>,
    framing: BodyFraming,
    keep: bool,
) {
    status_line(out, status, reason);
    for (name, value) in fields.filter(|(name, _)| !is_own(name)) {
        field(out, name.as_str(), value.as_bytes());
    }
    if framing == BodyFraming::Chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    field(out, "Date", get_cached_date().as_bytes());
    field(out, "Connection", if keep { b"keep-alive" } else { b"close" });
    out.extend_from_slice(b"\r\n");
}

/// Writes an interim head (RFC 9110 §15.2). It has no body, so fields that frame one are skipped.
pub fn interim(out: &mut Vec<u8>, head: &ResponseHead) {
    status_line(out, head.status, head.reason.as_deref());
    for (name, value) in head.fields.iter().filter(|(name, _)| !is_framing(name)) {
        field(out, name.as_str(), value.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// Whether the field frames a body (RFC 9110 §8.6, RFC 9112 §6.1).
fn is_framing(name: &HeaderName) -> bool {
    matches!(*name, header::CONTENT_LENGTH | header::TRANSFER_ENCODING)
}

/// Whether the writer sets the field itself.
fn is_own(name: &HeaderName) -> bool {
    matches!(*name, header::CONNECTION | header::DATE | header::TRANSFER_ENCODING)
}

/// Writes the status line. The version is the edge's own, not the upstream's (RFC 9110 §2.5).
fn status_line(out: &mut Vec<u8>, status: StatusCode, reason: Option<&str>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.extend_from_slice(b" ");
    out.extend_from_slice(reason.or(status.canonical_reason()).unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Writes one field.
pub fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Writes the size line of a chunk.
pub fn chunk_size(out: &mut Vec<u8>, size: usize) {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    let first = (usize::BITS - size.leading_zeros()).div_ceil(4).max(1);
    out.extend((0..first).rev().filter_map(|place| DIGITS.get(size >> (4 * place) & 0xf)));
    out.extend_from_slice(b"\r\n");
}
