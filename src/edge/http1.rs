//! HTTP/1.1 connections as far as the edge serves them itself: requests without a body that it answers or forwards
//! directly, which is nearly every one. The proxy library sets up some 13 KB of state for each request, and keeps
//! every field name twice; whatever needs the library still gets it, with the bytes that were read, and the
//! connection stays there from then on.

use std::sync::LazyLock;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header;
use http::response::Parts;
use memchr::memmem::Finder;
use pingora::protocols::Stream;
use pingora::{BError, Error, ErrorType, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::direct::Downstream;
use super::limits::MAX_HEAD_BYTES;
use super::reply::Reply;

pub mod head;
pub mod write;

/// Read at once; a request's head is mostly smaller.
const READ_BYTES: usize = 4 * 1024;

/// A first piece of a body that goes out together with its head.
const MOST_JOINED_BYTES: usize = 16 * 1024;

/// How long a client's last bytes are waited for once its connection ends.
const LINGER: Duration = Duration::from_secs(2);

/// Where the empty line is that ends a head.
pub fn find_end(bytes: &[u8]) -> Option<usize> {
    static EMPTY_LINE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\r\n\r\n"));
    EMPTY_LINE.find(bytes)
}

/// A client's connection.
pub struct Connection {
    stream: Stream,
    /// Read, and not served yet.
    unread: BytesMut,
    /// Written, and not sent yet.
    out: Vec<u8>,
    keep: bool,
    body: Body,
}

/// How the body of the answer under way ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    /// There is no final head yet.
    NotBegun,
    /// By its length, or with the connection.
    Plain,
    /// By its last chunk (RFC 9112 §7.1).
    Chunked,
    /// It has.
    Ended,
}

/// What was read of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// A whole one of so many bytes.
    Whole(usize),
    /// What only the library can make something of.
    Other,
    /// The client is gone.
    None,
}

impl Connection {
    /// A connection that was just accepted.
    pub fn new(stream: Stream) -> Self {
        let (unread, out) = (BytesMut::with_capacity(READ_BYTES), Vec::new());
        Self { stream, unread, out, keep: true, body: Body::NotBegun }
    }

    /// The stream, and what was read of it.
    pub fn into_parts(self) -> (Stream, BytesMut) {
        (self.stream, self.unread)
    }

    /// The stream, for what is known of it.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Reads until a head is whole.
    pub async fn read_head(&mut self) -> Head {
        let mut searched = 0;
        loop {
            let unsearched = self.unread.get(searched..).unwrap_or_default();
            if let Some(end) = find_end(unsearched) {
                return Head::Whole(searched + end + 4);
            }
            if self.unread.len() > MAX_HEAD_BYTES
                || !self.unread.is_empty() && !head::is_partial(&self.unread)
            {
                return Head::Other;
            }
            searched = self.unread.len().saturating_sub(3);
            self.unread.reserve(READ_BYTES / 2);
            match self.stream.read_buf(&mut self.unread).await {
                Ok(0) | Err(_) => return Head::None,
                Ok(_) => {}
            }
        }
    }

    /// Takes the head that was read; the answer to it is next. `keep`: another request may follow.
    pub fn begin(&mut self, head: usize, keep: bool) -> Bytes {
        self.keep = keep;
        self.body = Body::NotBegun;
        self.unread.split_to(head).freeze()
    }

    /// Puts a head back that somebody else is to serve.
    pub fn put_back(&mut self, head: &Bytes) {
        let mut unread = BytesMut::with_capacity(head.len() + self.unread.len());
        unread.extend_from_slice(head);
        unread.extend_from_slice(&self.unread);
        self.unread = unread;
    }

    /// Whether the answer was begun.
    pub fn has_begun(&self) -> bool {
        self.body != Body::NotBegun
    }

    /// Whether the connection is kept after this answer.
    pub fn is_kept(&self) -> bool {
        self.keep && self.body == Body::Ended
    }

    /// Sends an answer of the edge's own.
    pub async fn reply(&mut self, reply: Reply) -> Result<()> {
        self.keep &= !reply.closes();
        reply.write(&mut self.out, self.keep);
        self.body = Body::Ended;
        self.send().await
    }

    /// Ends the edge's side of the connection and reads on for a while: closed on unread bytes, it would be reset,
    /// and the client could lose the answer (RFC 9112 §9.6).
    pub async fn close(mut self) {
        use pingora::protocols::Shutdown;
        Shutdown::shutdown(&mut *self.stream).await;
        let rest = async {
            self.unread.clear();
            while self.stream.read_buf(&mut self.unread).await.is_ok_and(|read| read > 0) {
                self.unread.clear();
            }
        };
        // How it ends makes no difference any more.
        let _ = tokio::time::timeout(LINGER, rest).await;
    }

    async fn send(&mut self) -> Result<()> {
        let sent = async {
            self.stream.write_all(&self.out).await?;
            self.stream.flush().await
        };
        let sent = sent.await;
        self.out.clear();
        sent.map_err(|error| {
            Error::because(ErrorType::WriteError, "while sending the answer", error).into_down()
        })
    }
}

impl Downstream for Connection {
    async fn head(&mut self, head: Parts, reason: Option<&str>, done: bool) -> Result<()> {
        if head.status.is_informational() {
            write::interim(&mut self.out, &head, reason);
            return self.send().await;
        }
        let encoding = head.headers.get_all(header::TRANSFER_ENCODING).iter().next_back();
        let last =
            encoding.map(|value| value.as_bytes().rsplit(|byte| *byte == b',').next().unwrap_or_default());
        let is_chunked = last.is_some_and(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"chunked"));
        // Nothing but its end would end such a body.
        self.keep &= encoding.is_none() || is_chunked || done;
        write::head(&mut self.out, head.version, head.status, reason, head.headers.iter(), self.keep);
        self.body = match (done, is_chunked) {
            (true, _) => Body::Ended,
            (false, true) => Body::Chunked,
            (false, false) => Body::Plain,
        };
        // A body of a known length has mostly come with its head. Of any other, the next piece may be a while.
        if done || encoding.is_some() { self.send().await } else { Ok(()) }
    }

    async fn piece(&mut self, piece: Bytes, done: bool) -> Result<()> {
        if piece.is_empty() {
            return Ok(());
        }
        if self.body == Body::Chunked {
            self.out.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        }
        if piece.len() > MOST_JOINED_BYTES {
            let sent = async {
                self.stream.write_all(&self.out).await?;
                self.stream.write_all(&piece).await
            };
            let sent = sent.await;
            self.out.clear();
            sent.map_err(|error| {
                Error::because(ErrorType::WriteError, "while sending the answer", error).into_down()
            })?;
        } else {
            self.out.extend_from_slice(&piece);
        }
        if self.body == Body::Chunked {
            self.out.extend_from_slice(b"\r\n");
        }
        if done { self.end().await } else { self.send().await }
    }

    async fn end(&mut self) -> Result<()> {
        if self.body == Body::Chunked {
            self.out.extend_from_slice(b"0\r\n\r\n");
        }
        if self.body == Body::Ended {
            return Ok(());
        }
        self.body = Body::Ended;
        self.send().await
    }

    async fn broken(&mut self, error: BError) -> BError {
        // That the client can't be told any more is the lesser trouble.
        let _ = self.send().await;
        error
    }

    async fn gone(&mut self) -> BError {
        // One request ahead is enough.
        if !self.unread.is_empty() {
            return std::future::pending().await;
        }
        self.unread.reserve(1);
        match self.stream.read_buf(&mut self.unread).await {
            Ok(0) => {
                Error::explain(ErrorType::ConnectionClosed, "before the answer was complete").into_down()
            }
            Ok(_) => std::future::pending().await,
            Err(error) => {
                Error::because(ErrorType::ReadError, "before the answer was complete", error).into_down()
            }
        }
    }
}
