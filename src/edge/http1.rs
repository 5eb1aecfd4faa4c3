//! Clients over HTTP/1.1 and 1.0: one request after the other on a connection.
//!
//! The life of a connection: a head is read, within the time for it → [`super::pipeline`] serves the request, body and
//! answer → the connection is kept for the next one, closed, or taken for a tunnel.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use http::Method;
use memchr::memmem::Finder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::body::Length;
use super::connection::stream::Stream;
use super::deadline::Deadline;
use super::downstream::Downstream;
use super::limits::{MAX_DRAINED_BYTES, MAX_HEAD_BYTES};
use super::request::Noted;
use crate::edge::message::RequestHead;

pub mod body;
mod downstream;
pub mod head;
pub mod outbox;
pub mod write;

use body::BodyReader;
use head::Refused;
use outbox::{Framing, Outbox};

/// Read at once; a request's head is mostly smaller.
const READ_BYTES: usize = 4 * 1024;

/// How long the rest of an unwanted body is waited for, so that the connection can be kept.
pub const DRAIN: Duration = Duration::from_secs(2);

/// How long the last bytes may take on their way out once a connection ends.
const GOODBYE: Duration = Duration::from_secs(1);

/// How long a client that has its answer may stay silent before its connection is closed over what it still sends.
const LINGER: Duration = Duration::from_secs(5);

/// How long such a client is listened to at all.
const MOST_LINGER: Duration = Duration::from_secs(30);

/// Where the empty line is that ends a head.
pub fn find_end(bytes: &[u8]) -> Option<usize> {
    static EMPTY_LINE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\r\n\r\n"));
    EMPTY_LINE.find(bytes)
}

/// Reads what there is of a connection into `read`. While there is nothing, an empty one holds no memory.
pub fn poll_read(
    stream: &mut Stream,
    read: &mut BytesMut,
    context: &mut Context<'_>,
) -> Poll<std::io::Result<usize>> {
    if read.is_empty() {
        *read = BytesMut::new();
    }
    ready!(stream.poll_readable(context))?;
    read.reserve(if read.capacity() == 0 { READ_BYTES } else { READ_BYTES / 2 });
    pin!(stream.read_buf(read)).poll(context)
}

/// A client's connection.
pub struct Connection {
    /// `None` once a tunnel has it.
    stream: Option<Stream>,
    /// Read, and not served yet.
    unread: BytesMut,
    outbox: Outbox,
    keep: bool,
    body: BodyReader,
    /// What the head of the request under way says of its body.
    length: Length,
    /// The client waits for leave to send its body (RFC 9110 §10.1.1).
    expects: bool,
    old: bool,
    head_only: bool,
    answer: Answer,
}

/// How far the answer to the request under way is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// There is no final head yet.
    NotBegun,
    /// Pieces of its body follow, framed so.
    Body(Framing),
    /// It is whole.
    Whole,
    /// It broke off.
    Broken,
}

/// What was read of a connection.
#[derive(Debug)]
pub enum Read {
    /// A head, of so many bytes.
    Head(usize),
    /// What is no head, or more than one may have: [`Connection::malformed`] tells which.
    Malformed,
    /// Nothing: the client is gone.
    Nothing,
}

impl Connection {
    /// A connection that was just accepted.
    pub fn new(stream: Stream) -> Self {
        Self {
            stream: Some(stream),
            unread: BytesMut::new(),
            outbox: Outbox::default(),
            keep: true,
            body: BodyReader::Done,
            length: Length::Absent,
            expects: false,
            old: false,
            head_only: false,
            answer: Answer::NotBegun,
        }
    }

    /// Reads until a head is whole.
    pub async fn read_head(&mut self) -> Read {
        let Some(stream) = &mut self.stream else { return Read::Nothing };
        self.answer = Answer::NotBegun;
        let mut searched = 0;
        loop {
            // RFC 9112 §2.2: empty lines before a request are passed over.
            while searched == 0 && self.unread.starts_with(b"\r\n") {
                self.unread.advance(2);
            }
            let unsearched = self.unread.get(searched..).unwrap_or_default();
            if let Some(end) = find_end(unsearched) {
                return Read::Head(searched + end + 4);
            }
            if self.unread.len() > MAX_HEAD_BYTES
                || !self.unread.is_empty() && !head::is_partial(&self.unread)
            {
                return Read::Malformed;
            }
            searched = self.unread.len().saturating_sub(3);
            match poll_fn(|context| poll_read(stream, &mut self.unread, context)).await {
                Ok(0) | Err(_) => return Read::Nothing,
                Ok(_) => {}
            }
        }
    }

    /// Takes the head that was read; the answer to it is next. `keep`: another request may follow.
    pub fn begin(&mut self, head: usize, keep: bool) -> Result<(RequestHead, Noted), Refused> {
        let bytes = self.unread.split_to(head).freeze();
        self.answer = Answer::NotBegun;
        self.keep = false;
        (self.old, self.head_only, self.expects) = (false, false, false);
        (self.length, self.body) = (Length::Absent, BodyReader::Done);
        let head = head::read(&bytes)?;
        self.keep = keep && head.keep;
        self.length = head.length;
        self.body = head.length.into();
        self.old = head.request.version == http::Version::HTTP_10;
        self.head_only = head.request.method == Method::HEAD;
        self.expects = head.expects;
        Ok((head.request, head.noted))
    }

    /// Why what was read is no head, and what it says of its page all the same.
    pub fn malformed(&self) -> Refused {
        head::malformed(&self.unread)
    }

    /// Whether the connection can be used for another request, once the rest of this one's body is read where that is
    /// little.
    pub async fn is_kept(&mut self, deadline: &mut Deadline) -> bool {
        if !self.keep || self.answer != Answer::Whole || self.stream.is_none() {
            return false;
        }
        if self.body.is_done() {
            return true;
        }
        // How that ends shows in the body.
        let _ = deadline.within(DRAIN, poll_fn(|context| self.poll_drained(context))).await;
        self.body.is_done()
    }

    /// Whether what is left of the request's body is little enough to be read for nothing.
    fn is_small(&self) -> bool {
        match self.body {
            BodyReader::Done => true,
            BodyReader::Length(left) => left <= MAX_DRAINED_BYTES && !self.expects,
            BodyReader::Chunked(_) | BodyReader::UntilClose => false,
        }
    }

    /// Ends the edge's side of the connection. Behind a whole answer it reads on for a while: closed on unread bytes, the
    /// connection would be reset, and the client could lose the answer (RFC 9112 §9.6).
    pub async fn close(mut self) {
        let Some(mut stream) = self.stream.take() else { return };
        self.unread = BytesMut::new();
        // A client that takes nothing would hold it for ever.
        let _ = tokio::time::timeout(GOODBYE, stream.shutdown()).await;
        if self.answer != Answer::Whole {
            return;
        }
        let mut unwanted = [0; 4 * 1024];
        let rest = async {
            while let Ok(Ok(1..)) = tokio::time::timeout(LINGER, stream.read(&mut unwanted)).await {}
        };
        // How it ends makes no difference any more.
        let _ = tokio::time::timeout(MOST_LINGER, Box::pin(rest)).await;
    }
}
