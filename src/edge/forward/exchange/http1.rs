//! Exchange with an upstream over HTTP/1.1: one request on a connection, and its answer.

use std::io::ErrorKind;
use std::mem::MaybeUninit;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, StatusCode, Version};
use httparse::{ParserConfig, Status};
use pingora_core::{BError, Error, ErrorType, Result, RetryType};

use super::AnswerHead;
use super::head::Outgoing;
use crate::edge::http::body::{BodyLength, Frame};
use crate::edge::http::fields::Fields;
use crate::edge::http::http1::body;
use crate::edge::http::http1::body::{BodyReader, Step};
use crate::edge::http::http1::head::{decimal, says_close};
use crate::edge::http::http1::outbox::{BodyFraming, SendBuffer};
use crate::edge::http::http1::read::{Looks, find_end, poll_read};
use crate::edge::http::limits::{MAX_ANSWER_FIELDS, MAX_ANSWER_HEAD_BYTES, MAX_INTERIM_ANSWERS};
use crate::edge::http::message::ResponseHead;
use crate::edge::stream::Stream;

/// Maximum number of bytes of a request that wait to be sent before more is read.
const MOST_WAITING: usize = 16 * 1024;

/// Exchange over HTTP/1.1.
pub struct Http1 {
    stream: Stream,
    outbox: SendBuffer,
    framing: BodyFraming,
    /// The request is sent completely.
    sent: bool,
    read: BytesMut,
    /// Number of bytes in `read` without the end of a head.
    searched: usize,
    looks: Looks,
    interim: usize,
    body: BodyReader,
    head_only: bool,
    keep: bool,
}

impl Http1 {
    /// Begins an exchange on this connection.
    pub fn new(stream: Stream, outgoing: &Outgoing<'_>) -> Self {
        let mut outbox = SendBuffer::default();
        *outbox.bytes() = outgoing.http1();
        Self {
            stream,
            outbox,
            framing: if outgoing.length == BodyLength::Unknown {
                BodyFraming::Chunked
            } else {
                BodyFraming::Plain
            },
            sent: false,
            read: BytesMut::new(),
            searched: 0,
            looks: Looks::default(),
            interim: 0,
            body: BodyReader::Done,
            head_only: outgoing.request.method == Method::HEAD,
            keep: !outgoing.is_handshake,
        }
    }

    /// Queues a piece of the request's body.
    pub fn frame(&mut self, frame: Frame) {
        if matches!(frame, Frame::Trailers(_)) {
            self.outbox.frame(frame, self.framing);
            self.framing = BodyFraming::Plain;
        } else {
            self.outbox.frame(frame, self.framing);
        }
    }

    /// Queues the end of the request's body.
    pub fn end(&mut self) {
        self.outbox.end(self.framing);
        self.sent = true;
    }

    /// Whether queued bytes have to be sent before more are queued.
    pub fn is_full(&self) -> bool {
        self.outbox.waiting() >= MOST_WAITING
    }

    /// Ready once everything queued is sent.
    pub fn poll_sent(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        if self.outbox.is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.outbox.poll_send(&mut self.stream, context).map_err(|error| {
            let mut error = Error::because(ErrorType::WriteError, "while sending the request", error);
            error.retry = RetryType::ReusedOnly;
            error.into_up()
        })
    }

    /// The next head of the answer.
    pub fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<Result<AnswerHead>> {
        loop {
            if let Some(end) = find_end(self.read.get(self.searched..).unwrap_or_default()) {
                let bytes = self.read.split_to(self.searched + end + 4).freeze();
                (self.searched, self.looks) = (0, Looks::default());
                return Poll::Ready(self.head(&bytes));
            }
            self.searched = self.read.len().saturating_sub(3);
            if self.read.len() > MAX_ANSWER_HEAD_BYTES {
                return Poll::Ready(Err(invalid("its head is too long")));
            }
            if self.looks.are_due(self.read.len()) && !is_partial(&self.read) {
                return Poll::Ready(Err(invalid("its head can't be read")));
            }
            if ready!(self.poll_read(context))? == 0 {
                let mut error = Error::explain(ErrorType::ConnectionClosed, "before an answer").into_up();
                if self.read.is_empty() && self.interim == 0 {
                    error.retry = RetryType::ReusedOnly;
                }
                return Poll::Ready(Err(error));
            }
        }
    }

    fn head(&mut self, bytes: &Bytes) -> Result<AnswerHead> {
        let Some(Http1AnswerHead { head, body, keep }) = Http1AnswerHead::read(bytes) else {
            return Err(invalid("its head can't be read"));
        };
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(AnswerHead { head, bodiless: true });
        }
        if head.status.is_informational() {
            self.interim += 1;
            if self.interim > MAX_INTERIM_ANSWERS {
                return Err(invalid("there are interim answers only"));
            }
            return Ok(AnswerHead { head, bodiless: true });
        }
        self.keep &= keep;
        let has_none =
            self.head_only || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        self.body = if has_none { BodyReader::Done } else { body };
        self.keep &= self.body != BodyReader::UntilClose;
        Ok(AnswerHead { head, bodiless: self.body.is_done() })
    }

    /// The next piece of the answer's body; `None` at its end.
    pub fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Frame>>> {
        loop {
            match self.body.step(&mut self.read) {
                Ok(Step::Frame(frame)) => return Poll::Ready(Ok(Some(frame))),
                Ok(Step::End) => return Poll::Ready(Ok(None)),
                Ok(Step::More) => {}
                Err(body::Malformed(what)) => return Poll::Ready(Err(invalid(what))),
            }
            if ready!(self.poll_read(context))? == 0 {
                if self.body.closed() {
                    return Poll::Ready(Ok(None));
                }
                let error = Error::explain(ErrorType::ConnectionClosed, "before the end of the answer");
                return Poll::Ready(Err(error.into_up()));
            }
        }
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<usize>> {
        poll_read(&mut self.stream, &mut self.read, context).map_err(|error| {
            // Some servers end a TLS connection without a close alert.
            let is_closed = error.raw_os_error().is_some() || error.kind() == ErrorKind::UnexpectedEof;
            let mut error: BError =
                Error::because(ErrorType::ReadError, "while reading the answer", error).into_up();
            if is_closed && self.read.is_empty() && self.interim == 0 {
                error.retry = RetryType::ReusedOnly;
            }
            error
        })
    }

    /// Whether the answer is complete.
    pub fn is_done(&self) -> bool {
        self.body.is_done()
    }

    /// The connection, if another request can use it: both messages are complete, and nothing unexpected
    /// arrived.
    pub fn into_idle(self) -> Option<Stream> {
        let clean = self.sent && self.outbox.is_empty() && self.body.is_done() && self.read.is_empty();
        (self.keep && clean).then_some(self.stream)
    }

    /// The connection, and the bytes after a head that switched protocols.
    pub fn into_parts(self) -> (Stream, BytesMut) {
        (self.stream, self.read)
    }
}

fn invalid(what: &'static str) -> BError {
    Error::explain(ErrorType::InvalidHTTPHeader, what).into_up()
}

fn parser() -> ParserConfig {
    let mut parser = ParserConfig::default();
    parser
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true);
    parser
}

/// Whether the bytes can still become a head.
fn is_partial(read: &[u8]) -> bool {
    let mut lines = [const { MaybeUninit::uninit() }; MAX_ANSWER_FIELDS];
    let mut parsed = httparse::Response::new(&mut []);
    parser().parse_response_with_uninit_headers(&mut parsed, read, &mut lines) == Ok(Status::Partial)
}

/// Head of an answer, with what it says about the body and the connection.
struct Http1AnswerHead {
    head: ResponseHead,
    body: BodyReader,
    keep: bool,
}

impl Http1AnswerHead {
    /// Reads a head. `None`: it is not a head of HTTP/1, or two servers could read the end of its body
    /// differently.
    fn read(bytes: &Bytes) -> Option<Self> {
        let mut lines = [const { MaybeUninit::uninit() }; MAX_ANSWER_FIELDS];
        let mut parsed = httparse::Response::new(&mut []);
        let read = parser().parse_response_with_uninit_headers(&mut parsed, bytes, &mut lines).ok()?;
        // If the parser finds an earlier end, some line ends in a bare line feed.
        if read != Status::Complete(bytes.len()) {
            return None;
        }
        let status = StatusCode::from_u16(parsed.code?).ok()?;
        let mut fields = Fields::with_capacity(parsed.headers.len() + 8);
        let (mut length, mut encoding) = (None, None);
        for line in parsed.headers.iter() {
            let name = HeaderName::from_bytes(line.name.as_bytes()).ok()?;
            let value = value(bytes, line.value)?;
            if name == header::CONTENT_LENGTH {
                let stated = decimal(value.as_bytes())?;
                if length.replace(stated).is_some_and(|before| before != stated) {
                    return None;
                }
                // Equal lengths are reduced to one (RFC 9112 §6.3).
                fields.insert(name, value);
                continue;
            }
            if name == header::TRANSFER_ENCODING {
                let is_chunked = value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
                if !is_chunked || encoding.replace(()).is_some() {
                    return None;
                }
            }
            fields.append(name, value);
        }
        let body = match (encoding, length) {
            (Some(()), _) => {
                fields.remove(&header::CONTENT_LENGTH);
                BodyReader::CHUNKED
            }
            (None, Some(length)) => BodyReader::of_length(length),
            (None, None) => BodyReader::UntilClose,
        };
        let keep = parsed.version == Some(1) && !says_close(&fields);
        let reason = parsed.reason.filter(|reason| Some(*reason) != status.canonical_reason()).map(Box::from);
        let head = ResponseHead { status, reason, version: Version::HTTP_11, fields };
        Some(Self { head, body, keep })
    }
}

/// The value of a field; one on several lines is joined (RFC 9112 §5.2).
fn value(bytes: &Bytes, value: &[u8]) -> Option<HeaderValue> {
    if value.contains(&b'\n') {
        let one_line: Vec<u8> = value.iter().filter(|byte| !b"\r\n".contains(byte)).copied().collect();
        return HeaderValue::from_bytes(&one_line).ok();
    }
    HeaderValue::from_maybe_shared(bytes.slice_ref(value)).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn read(head: &str) -> Option<Http1AnswerHead> {
        Http1AnswerHead::read(&Bytes::copy_from_slice(head.as_bytes()))
    }

    #[test]
    fn heads_tell_where_the_body_ends() {
        for (lines, body, keep) in [
            ("HTTP/1.1 200 As You Wish\r\nContent-Length: 12\r\nX: é", BodyReader::Length(12), true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 0", BodyReader::Done, true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 4", BodyReader::Length(4), true),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked", BodyReader::CHUNKED, true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked", BodyReader::CHUNKED, true),
            ("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4", BodyReader::Length(4), false),
            ("HTTP/1.0 200 OK\r\nContent-Length: 4", BodyReader::Length(4), false),
            ("HTTP/1.1 200 OK", BodyReader::UntilClose, true),
            ("HTTP/1.1 200 OK\r\nContent-Length : 4", BodyReader::Length(4), true),
        ] {
            let head = read(&format!("{lines}\r\n\r\n")).unwrap();
            assert_eq!((head.body, head.keep), (body, keep), "{lines}");
            assert_eq!(head.head.version, Version::HTTP_11, "{lines}");
        }
        let head = read("HTTP/1.1 204 \r\nX-A: one\r\n two\r\n\r\n").unwrap();
        assert_eq!(
            (head.head.fields.text("x-a").unwrap(), head.head.reason.as_deref()),
            ("one two", Some(""))
        );
    }

    #[test]
    fn what_has_two_readings_is_no_head() {
        for head in [
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 999999999999999999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            "HTTP/1.1 200 OK\nContent-Length: 9\n\nbody\r\n\r\n",
            "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        ] {
            assert!(read(head).is_none(), "{head:?}");
        }
    }
}
