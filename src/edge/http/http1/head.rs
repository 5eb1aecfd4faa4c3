//! Parser of request heads in HTTP/1.1. The meaning is checked in [`crate::edge::admission::request`] for
//! every protocol; here only the checks that need the bytes are made.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, StatusCode, Uri, Version};
use httparse::Status;

use crate::edge::admission::client::FORWARDED_PROTO;
use crate::edge::admission::request::{
    HEAD_TOO_LONG, Noted, RequestRefusal, TARGET_TOO_LONG, TOO_MANY_FIELDS,
};
use crate::edge::http::body::BodyLength;
use crate::edge::http::fields::Fields;
use crate::edge::http::http1::body::BodyReader;
use crate::edge::http::limits::{MAX_HEAD_FIELDS, MAX_TARGET_BYTES};
use crate::edge::http::message::RequestHead;

/// Refused head, with what could be read of it, so that its page can read the refusal.
#[derive(Debug)]
pub struct Refused {
    /// The refusal.
    pub refusal: RequestRefusal,
    /// The request if only its framing is wrong; otherwise only the fields about its page.
    pub read: Box<RequestHead>,
}

/// Head of a request, with what it says about its connection.
#[derive(Debug)]
pub struct ReceivedHead {
    /// The head itself.
    pub request: RequestHead,
    /// The fields that later steps look at.
    pub noted: Noted,
    /// The length of the body.
    pub length: BodyLength,
    /// Whether the connection may be used again after this request.
    pub keep: bool,
}

/// Whether a head is incomplete. `false`: it is complete, or invalid.
pub fn is_partial(head: &[u8]) -> bool {
    let mut lines = [const { MaybeUninit::uninit() }; MAX_HEAD_FIELDS];
    httparse::Request::new(&mut []).parse_with_uninit_headers(head, &mut lines) == Ok(Status::Partial)
}

/// Reads a complete head.
///
/// # Errors
///
/// It is not a head of HTTP/1.1 or 1.0, or two servers could read it differently.
pub fn read(head: &Bytes) -> Result<ReceivedHead, Refused> {
    let (request, framing) = parse(head).map_err(|refusal| refused(refusal, head))?;
    let is_old = request.version == Version::HTTP_10;
    match framing.length(is_old) {
        Ok(length) => {
            // A proxy in front may have made a tunnel of the connection by the wish to upgrade alone: what follows could
            // come from the client itself, and be taken for a request of the proxy's.
            let keep = !is_old && !framing.closes && !framing.noted.upgrade;
            Ok(ReceivedHead { request, noted: framing.noted, length, keep })
        }
        Err(refusal) => Err(Refused { refusal, read: Box::new(request) }),
    }
}

/// Framing of a request, noted while its fields are read.
#[derive(Default)]
struct RequestFraming {
    /// The `Content-Length`; the inner `None`: it is not a number.
    length: Option<Option<u64>>,
    chunked: Option<bool>,
    /// `Content-Length` or `Transfer-Encoding` is there twice.
    twice: bool,
    closes: bool,
    noted: Noted,
}

impl RequestFraming {
    fn note(&mut self, name: &HeaderName, value: &[u8]) {
        match *name {
            header::CONTENT_LENGTH => self.twice |= self.length.replace(decimal(value)).is_some(),
            header::TRANSFER_ENCODING => {
                let is_chunked = value.trim_ascii().eq_ignore_ascii_case(b"chunked");
                self.twice |= self.chunked.replace(is_chunked).is_some();
            }
            header::UPGRADE => self.noted.upgrade = true,
            header::CONNECTION => {
                self.noted.connection = true;
                self.closes |= names_close(value);
            }
            header::EXPECT => self.noted.expect = true,
            _ => {}
        }
    }

    /// The length of the body (RFC 9112 §6.3).
    fn length(&self, is_old: bool) -> Result<BodyLength, RequestRefusal> {
        if self.length == Some(None) || self.twice && self.chunked.is_none() {
            return Err(RequestRefusal::bad("Content-Length must be one number"));
        }
        match (self.chunked, self.length.flatten()) {
            (None, None) => Ok(BodyLength::Absent),
            (None, Some(length)) => Ok(BodyLength::Known(length)),
            (Some(true), _) if is_old => Err(RequestRefusal::bad("HTTP/1.0 has no Transfer-Encoding")),
            (Some(true), None) if !self.twice => Ok(BodyLength::Unknown),
            // RFC 9112 §6.1: whoever sends both wants two servers to read two bodies.
            (Some(true), Some(_)) => {
                Err(RequestRefusal::bad("the request has both Content-Length and Transfer-Encoding"))
            }
            (Some(_), _) => Err(RequestRefusal::bad("Transfer-Encoding must be `chunked`, once")),
        }
    }
}

fn parse(head: &Bytes) -> Result<(RequestHead, RequestFraming), RequestRefusal> {
    let mut lines = [const { MaybeUninit::uninit() }; MAX_HEAD_FIELDS];
    let mut parsed = httparse::Request::new(&mut []);
    let status = parsed.parse_with_uninit_headers(head, &mut lines).map_err(fault)?;
    let (Some(method), Some(target), Some(version)) = (parsed.method, parsed.path, parsed.version) else {
        return Err(NO_HEAD);
    };
    if status != Status::Complete(head.len()) {
        return Err(NO_HEAD);
    }
    if has_bare_line_feed(head) {
        return Err(RequestRefusal::bad("a line of the head ends in a bare line feed"));
    }
    if target.contains('#') {
        return Err(RequestRefusal::bad("the request target has a fragment"));
    }
    let mut fields = Fields::with_capacity(parsed.headers.len());
    let mut framing = RequestFraming::default();
    for line in parsed.headers.iter() {
        let name = HeaderName::from_bytes(line.name.as_bytes()).map_err(|_| NO_HEAD)?;
        framing.note(&name, line.value);
        let value = HeaderValue::from_maybe_shared(head.slice_ref(line.value)).map_err(|_| NO_HEAD)?;
        fields.append(name, value);
    }
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| NO_HEAD)?;
    let version = if version == 1 { Version::HTTP_11 } else { Version::HTTP_10 };
    let uri = Uri::from_maybe_shared(head.slice_ref(target.as_bytes())).map_err(|_| {
        RequestRefusal::bad("the request target has a byte that must be percent-encoded, or is not a target")
    })?;
    Ok((RequestHead { method, uri, version, fields }, framing))
}

const NO_HEAD: RequestRefusal = RequestRefusal::bad("this is not the head of an HTTP/1.1 request");

fn fault(error: httparse::Error) -> RequestRefusal {
    RequestRefusal::bad(match error {
        httparse::Error::TooManyHeaders => return TOO_MANY_FIELDS,
        httparse::Error::HeaderName => "the name of a header field has an invalid byte",
        httparse::Error::HeaderValue => "the value of a header field has an invalid byte",
        httparse::Error::Version => "the version is neither HTTP/1.1 nor HTTP/1.0",
        httparse::Error::Token | httparse::Error::NewLine | httparse::Error::Status => {
            return NO_HEAD;
        }
    })
}

/// The refusal of a head over the limit, complete or not.
pub fn too_long(head: &[u8]) -> Refused {
    refused(HEAD_TOO_LONG, head)
}

/// The refusal of bytes that can't become a head.
pub fn malformed(head: &[u8]) -> Refused {
    let mut lines = [const { MaybeUninit::uninit() }; MAX_HEAD_FIELDS];
    match httparse::Request::new(&mut []).parse_with_uninit_headers(head, &mut lines) {
        Err(error) => refused(fault(error), head),
        Ok(_) => refused(NO_HEAD, head),
    }
}

/// The refusal of a head that can't be read, with its target and the fields that the reply depends on, if
/// there are any.
fn refused(refusal: RequestRefusal, head: &[u8]) -> Refused {
    let (mut uri, mut fields) = (Uri::default(), Fields::default());
    let target = head.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    let is_too_large = refusal.status == StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    // If the target and the head are both too long, the target is refused, as over HTTP/2.
    let refusal = if is_too_large && target.len() > MAX_TARGET_BYTES { TARGET_TOO_LONG } else { refusal };
    if let Ok(target) = Uri::try_from(target) {
        uri = target;
    }
    for line in head.split(|byte| *byte == b'\n').skip(1) {
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        for field in [header::HOST, header::ORIGIN, header::REFERER, FORWARDED_PROTO] {
            if name.eq_ignore_ascii_case(field.as_str().as_bytes())
                && let Ok(value) = HeaderValue::from_bytes(value)
            {
                fields.append(field, value);
            }
        }
    }
    let read = RequestHead { method: Method::GET, uri, version: Version::HTTP_11, fields };
    Refused { refusal, read: Box::new(read) }
}

fn has_bare_line_feed(head: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', head).any(|at| {
        let before = at.checked_sub(1).and_then(|before| head.get(before));
        before != Some(&b'\r')
    })
}

/// A decimal number of only digits, short enough for `u64`.
pub fn decimal(digits: &[u8]) -> Option<u64> {
    let is_plain = !digits.is_empty() && digits.len() <= 18 && digits.iter().all(u8::is_ascii_digit);
    is_plain.then(|| std::str::from_utf8(digits).ok()?.parse().ok()).flatten()
}

/// Whether `Connection` says `close`.
pub fn says_close(fields: &Fields) -> bool {
    fields.get_all(header::CONNECTION).any(|value| names_close(value.as_bytes()))
}

fn names_close(options: &[u8]) -> bool {
    let mut options = options.split(|byte| *byte == b',');
    options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
}

impl From<BodyLength> for BodyReader {
    fn from(length: BodyLength) -> Self {
        match length {
            BodyLength::Absent => Self::Done,
            BodyLength::Known(length) => Self::of_length(length),
            BodyLength::Unknown => Self::CHUNKED,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn read(head: &str) -> Result<ReceivedHead, Refused> {
        super::read(&Bytes::copy_from_slice(head.as_bytes()))
    }

    #[test]
    fn heads_are_read_as_they_are() {
        let head = read(
            "GET /w/w/loader.js?v=1 HTTP/1.1\r\nHost: edge.example\r\nConnection: Keep-Alive\r\nX: \t y \r\n\r\n",
        )
        .unwrap();
        let request = &head.request;
        assert_eq!(
            (request.method.as_str(), request.uri.to_string().as_str()),
            ("GET", "/w/w/loader.js?v=1")
        );
        assert_eq!(
            (request.target(), head.length, head.keep),
            ("/w/w/loader.js?v=1", BodyLength::Absent, true)
        );
        assert_eq!(request.fields.get(&HeaderName::from_static("x")).unwrap(), "y");
        for (lines, length, keep) in [
            ("POST / HTTP/1.1\r\nContent-Length: 5", BodyLength::Known(5), true),
            ("POST / HTTP/1.1\r\nContent-Length: 0", BodyLength::Known(0), true),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: Chunked", BodyLength::Unknown, true),
            ("GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket", BodyLength::Absent, false),
            ("GET / HTTP/1.1\r\nUpgrade: h2c", BodyLength::Absent, false),
            ("HEAD / HTTP/1.1\r\nConnection: x, Close", BodyLength::Absent, false),
            ("GET / HTTP/1.0\r\nConnection: keep-alive", BodyLength::Absent, false),
            ("PROPFIND http://a/ HTTP/1.1\r\nHost: a", BodyLength::Absent, true),
        ] {
            let head = read(&format!("{lines}\r\n\r\n")).unwrap();
            assert_eq!((head.length, head.keep), (length, keep), "{lines}");
        }
        let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: 1\r\n".repeat(MAX_HEAD_FIELDS - 1));
        assert_eq!(read(&many).unwrap().request.fields.count(), MAX_HEAD_FIELDS);
    }

    #[test]
    fn what_has_two_readings_is_refused() {
        for head in [
            "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
            "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / x HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /<a> HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n folded\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            "GET / HTTP/1.1\r\nX: a\rb\r\n\r\n",
            "GET / HTTP/1.1\r\nX: a\0b\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 4, 4\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: +4\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length:\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length: 0\r\nTransfer-Encoding: identity\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: ,chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked;a=b\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: \"chunked\"\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: \x0bchunked\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: \u{a0}chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding:\r\n chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n \r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            assert_eq!(read(head).unwrap_err().refusal.status, 400, "{head:?}");
        }
    }

    #[test]
    fn what_is_not_whole_is_awaited_while_it_can_become_a_head() {
        for partial in ["", "GE", "GET / HTTP/1.1\r\nHo", "GET / HTTP/1.1\r\nHost: a\r\n"] {
            assert!(is_partial(partial.as_bytes()), "{partial:?}");
        }
        for other in ["\x16\x03\x01\x02", "GET / HTTP/1.1\nHost: a\n\n", "GET / HTTP/1.1\r\nHost: a\r\n\n"] {
            assert!(!is_partial(other.as_bytes()), "{other:?}");
        }
    }
}
