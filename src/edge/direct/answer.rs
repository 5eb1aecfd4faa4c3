//! An upstream's answer. One in HTTP/1.1 that says how long its body is, on a connection that is kept, is read here,
//! its fields once and its body without a copy; any other by the proxy library's client session, from the first byte.

use std::mem::MaybeUninit;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::response::Parts;
use http::{Response, StatusCode, Version};
use pingora::protocols::Stream;
use pingora::protocols::http::v1::client::HttpSession as ClientSession;
use pingora::{BError, Error, ErrorType, Result, RetryType};
use tokio::io::AsyncReadExt;

use super::replay::Replay;
use crate::edge::deadline::{Deadline, Elapsed};
use crate::edge::http1::find_end;
use crate::edge::limits::MAX_HEAD_BYTES;
use crate::edge::upstream::Server;
use crate::edge::visit::ReadLimit;

/// The most fields of a head that is read here.
const MOST_FIELDS: usize = 64;

/// Read at once; most heads with the body of a small answer fit.
const READ_BYTES: usize = 4 * 1024;

/// The most of a body that is passed on in one piece.
const PIECE_BYTES: usize = 64 * 1024;

/// An answer whose head is read.
pub enum Answer {
    /// Read here.
    Plain(Plain),
    /// Read by the library.
    Library(Box<ClientSession>),
}

/// A head read here, and what is left of its body.
pub struct Plain {
    head: Parts,
    reason: Option<Box<str>>,
    stream: Stream,
    read: BytesMut,
    left: usize,
    keep: bool,
    read_timeout: Option<Duration>,
}

impl Answer {
    /// Reads the first head on a connection over which a request was sent.
    pub async fn read(
        mut stream: Stream,
        server: &Server,
        limit: ReadLimit,
        deadline: &mut Deadline,
    ) -> Result<Self> {
        let read_timeout = limit.or(server.options().read_timeout);
        let mut read = BytesMut::with_capacity(READ_BYTES);
        loop {
            match more(&mut stream, &mut read, read_timeout, deadline).await? {
                // The library says what is wrong with an answer that breaks off.
                0 if !read.is_empty() => break,
                0 => {
                    let mut error = Error::explain(ErrorType::ConnectionClosed, "before an answer").into_up();
                    error.retry = RetryType::ReusedOnly;
                    return Err(error);
                }
                _ => {}
            }
            if let Some(end) = find_end(&read) {
                let bytes = read.split_to(end + 4).freeze();
                if let Some(head) = Head::read(&bytes) {
                    return Ok(Self::Plain(head.with(stream, read, read_timeout)));
                }
                let rest = std::mem::replace(&mut read, BytesMut::from(bytes));
                read.extend_from_slice(&rest);
                break;
            }
            if read.len() > MAX_HEAD_BYTES || !is_partial(&read) {
                break;
            }
            read.reserve(READ_BYTES);
        }
        let mut session = ClientSession::new_with_options(Box::new(Replay::new(read, stream)), server);
        session.read_timeout = read_timeout;
        session.read_response().await.map_err(|error| error.into_up())?;
        Ok(Self::Library(Box::new(session)))
    }

    /// The head, to be changed at will, and the phrase beside its status.
    pub fn head(&mut self) -> Option<(Parts, Option<&str>)> {
        match self {
            Self::Plain(plain) => {
                let head = std::mem::replace(&mut plain.head, Response::new(()).into_parts().0);
                Some((head, plain.reason.as_deref()))
            }
            Self::Library(session) => {
                let head = session.resp_header()?;
                Some((head.as_owned_parts(), head.get_reason_phrase()))
            }
        }
    }

    /// Reads the head behind an interim one.
    pub async fn next_head(&mut self) -> Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Library(session) => {
                session.read_response().await.map(drop).map_err(|error| error.into_up())
            }
        }
    }

    /// Whether there is nothing more of its body.
    pub fn is_done(&mut self) -> bool {
        match self {
            Self::Plain(plain) => plain.left == 0,
            Self::Library(session) => session.is_body_done(),
        }
    }

    /// The next piece of its body; `None` at its end.
    pub async fn piece(&mut self, deadline: &mut Deadline) -> Result<Option<Bytes>> {
        match self {
            Self::Plain(plain) => plain.piece(deadline).await,
            Self::Library(session) => session.read_body_bytes().await.map_err(|error| error.into_up()),
        }
    }

    /// The connection, if another request can be sent over it.
    pub async fn into_connection(self) -> Option<Stream> {
        match self {
            Self::Plain(plain) => (plain.keep && plain.left == 0).then_some(plain.stream),
            Self::Library(mut session) => {
                session.respect_keepalive();
                Replay::unwrap(session.reuse().await?)
            }
        }
    }
}

impl Plain {
    async fn piece(&mut self, deadline: &mut Deadline) -> Result<Option<Bytes>> {
        if self.left == 0 {
            return Ok(None);
        }
        if self.read.is_empty() {
            self.read.reserve(self.left.min(PIECE_BYTES));
            if more(&mut self.stream, &mut self.read, self.read_timeout, deadline).await? == 0 {
                let what = format!("with {} bytes of its body to come", self.left);
                return Err(Error::explain(ErrorType::ConnectionClosed, what).into_up());
            }
        }
        let piece = self.read.split_to(self.read.len().min(self.left)).freeze();
        self.left -= piece.len();
        self.end();
        Ok(Some(piece))
    }

    /// What comes behind the body was not asked for: nobody knows what else will.
    fn end(&mut self) {
        self.keep &= self.left > 0 || self.read.is_empty();
    }
}

async fn more(
    stream: &mut Stream,
    read: &mut BytesMut,
    limit: Option<Duration>,
    deadline: &mut Deadline,
) -> Result<usize> {
    let reading = stream.read_buf(read);
    let got = match limit {
        Some(limit) => deadline.within(limit, reading).await.map_err(|Elapsed| {
            Error::explain(ErrorType::ReadTimedout, "while reading the answer").into_up()
        })?,
        None => reading.await,
    };
    got.map_err(|error| {
        let is_reset = error.raw_os_error().is_some();
        let mut error: BError =
            Error::because(ErrorType::ReadError, "while reading the answer", error).into_up();
        if is_reset {
            error.retry = RetryType::ReusedOnly;
        }
        error
    })
}

/// Whether a head can still come of it.
fn is_partial(read: &[u8]) -> bool {
    let mut lines = [const { MaybeUninit::uninit() }; MOST_FIELDS];
    let parser = httparse::ParserConfig::default();
    let mut parsed = httparse::Response::new(&mut []);
    parser.parse_response_with_uninit_headers(&mut parsed, read, &mut lines) == Ok(httparse::Status::Partial)
}

/// A plain head.
struct Head {
    parts: Parts,
    reason: Option<Box<str>>,
    length: usize,
}

impl Head {
    /// `None`: it is for the library.
    fn read(bytes: &Bytes) -> Option<Self> {
        let mut lines = [const { MaybeUninit::uninit() }; MOST_FIELDS];
        let parser = httparse::ParserConfig::default();
        let mut parsed = httparse::Response::new(&mut []);
        parser.parse_response_with_uninit_headers(&mut parsed, bytes, &mut lines).ok()?;
        let status = StatusCode::from_u16(parsed.code?).ok()?;
        if parsed.version != Some(1) || status.is_informational() {
            return None;
        }
        let mut fields = HeaderMap::with_capacity(parsed.headers.len() + 8);
        let mut length = None;
        for line in parsed.headers.iter() {
            let name = HeaderName::from_bytes(line.name.as_bytes()).ok()?;
            if name == header::CONTENT_LENGTH {
                if length.is_some() {
                    return None;
                }
                length = Some(decimal(line.value)?);
            }
            let is_foreign = name == header::TRANSFER_ENCODING
                || name == header::CONNECTION && !line.value.eq_ignore_ascii_case(b"keep-alive");
            if is_foreign {
                return None;
            }
            fields.append(name, HeaderValue::from_maybe_shared(bytes.slice_ref(line.value)).ok()?);
        }
        let length = match status {
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED => 0,
            _ => length?,
        };
        let reason = parsed.reason.filter(|reason| Some(*reason) != status.canonical_reason()).map(Box::from);
        let mut parts = Response::new(()).into_parts().0;
        parts.status = status;
        parts.version = Version::HTTP_11;
        parts.headers = fields;
        Some(Self { parts, reason, length })
    }

    fn with(self, stream: Stream, read: BytesMut, read_timeout: Option<Duration>) -> Plain {
        let Self { parts, reason, length } = self;
        let mut plain = Plain { head: parts, reason, stream, read, left: length, keep: true, read_timeout };
        plain.end();
        plain
    }
}

/// A number in digits alone, and no longer than can be counted.
fn decimal(digits: &[u8]) -> Option<usize> {
    let is_plain = !digits.is_empty() && digits.len() < 18 && digits.iter().all(u8::is_ascii_digit);
    is_plain.then(|| std::str::from_utf8(digits).ok()?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn read(head: &str) -> Option<Head> {
        Head::read(&Bytes::copy_from_slice(head.as_bytes()))
    }

    #[test]
    fn a_plain_head_is_read() {
        let head =
            read("HTTP/1.1 200 As You Wish\r\nContent-Length: 12\r\nconnection: Keep-Alive\r\nX: é\r\n\r\n")
                .unwrap();
        assert_eq!(
            (head.parts.status.as_u16(), head.length, head.reason.as_deref()),
            (200, 12, Some("As You Wish"))
        );
        assert_eq!(head.parts.headers["x"].as_bytes(), "é".as_bytes());
        assert_eq!(read("HTTP/1.1 304 Not Modified\r\nContent-Length: 12\r\n\r\n").unwrap().length, 0);
        assert_eq!(read("HTTP/1.1 204 No Content\r\n\r\n").unwrap().reason, None);
    }

    #[test]
    fn every_other_is_for_the_library() {
        for head in [
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n",
            "HTTP/1.1 103 Early Hints\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 999999999999999999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nX: a\r\n b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length : 1\r\n\r\n",
            "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        ] {
            assert!(read(head).is_none(), "{head:?}");
        }
    }
}
