//! Clients over HTTP/1.1 and 1.0: one request after the other on a connection.
//!
//! The life of a connection: the head of a request is read within its time limit → [`crate::edge::pipeline`]
//! serves the request → the connection is kept for the next request, closed, or becomes a tunnel.

use std::future::poll_fn;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use http::Method;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use super::closing::Closing;
use crate::edge::admission::request::Noted;
use crate::edge::http::body::BodyLength;
use crate::edge::http::limits::{DRAIN, GOODBYE, LINGER, MAX_DRAINED_BYTES, MOST_LINGER};
use crate::edge::http::message::RequestHead;
use crate::edge::pipeline::downstream::Downstream;
use crate::edge::session::tunnel::Tunnel;
use crate::edge::stream::Stream;
use crate::pacing::deadline::Deadline;

mod downstream;
mod serve;

pub(super) use serve::serve;

use crate::edge::http::http1::body::BodyReader;
use crate::edge::http::http1::head::{self, Refused};
use crate::edge::http::http1::outbox::{BodyFraming, SendBuffer};
use crate::edge::http::http1::read::{Looks, find_end, poll_read};

/// Connection of a client over HTTP/1.1.
pub struct Http1Connection {
    /// The stream; `None` once a tunnel has it.
    stream: Option<Stream>,
    /// Maximum length of a head, in bytes.
    most_head: usize,
    /// Bytes that were read but not served yet.
    unread: BytesMut,
    outbox: SendBuffer,
    keep: bool,
    body: BodyReader,
    /// The body length of the current request.
    length: BodyLength,
    /// The client waits for a 100 before it sends its body (RFC 9110 §10.1.1).
    expects: bool,
    old: bool,
    head_only: bool,
    answer: AnswerState,
    /// The tunnel that has the stream.
    tunnel: Option<Box<Tunnel>>,
    closing: Arc<Closing>,
}

/// State of the answer to the current request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AnswerState {
    /// No final head yet.
    NotBegun,
    /// The body follows, with this framing.
    Body(BodyFraming),
    /// The answer is complete.
    Whole,
    /// The answer was cut off.
    Broken,
}

/// Result of reading a head.
#[derive(Debug)]
pub enum Read {
    /// A head of this many bytes.
    Head(usize),
    /// An invalid or too long head; [`Http1Connection::malformed`] has the refusal.
    Malformed,
    /// Nothing, because the client has left.
    Nothing,
}

impl Http1Connection {
    /// A connection that was just accepted. `most_head`: the maximum length of a head, in bytes.
    pub fn new(stream: Stream, closing: Arc<Closing>, most_head: usize) -> Self {
        Self {
            stream: Some(stream),
            most_head,
            unread: BytesMut::new(),
            outbox: SendBuffer::default(),
            keep: true,
            body: BodyReader::Done,
            length: BodyLength::Absent,
            expects: false,
            old: false,
            head_only: false,
            answer: AnswerState::NotBegun,
            tunnel: None,
            closing,
        }
    }

    /// Whether the client may send another request after the answer that begins now.
    fn keeps(&self) -> bool {
        self.keep && !self.closing.is_told()
    }

    /// Waits until the client sends something. `false`: it has left.
    async fn spoken_to(&mut self) -> bool {
        // Frees the memory of the answers so far.
        self.outbox = SendBuffer::default();
        let Some(stream) = &mut self.stream else { return false };
        matches!(poll_fn(|context| poll_read(stream, &mut self.unread, context)).await, Ok(1..))
    }

    /// Whether no bytes wait to be served.
    fn is_silent(&self) -> bool {
        self.unread.is_empty()
    }

    /// Reads until a head is complete.
    pub async fn read_head(&mut self) -> Read {
        let Some(stream) = &mut self.stream else { return Read::Nothing };
        self.answer = AnswerState::NotBegun;
        let (mut searched, mut looks) = (0, Looks::default());
        loop {
            // RFC 9112 §2.2: empty lines before a request are skipped.
            while searched == 0 && self.unread.starts_with(b"\r\n") {
                self.unread.advance(2);
            }
            let unsearched = self.unread.get(searched..).unwrap_or_default();
            if let Some(end) = find_end(unsearched) {
                return Read::Head(searched + end + 4);
            }
            let length = self.unread.len();
            if length > self.most_head || looks.are_due(length) && !head::is_partial(&self.unread) {
                return Read::Malformed;
            }
            searched = self.unread.len().saturating_sub(3);
            match poll_fn(|context| poll_read(stream, &mut self.unread, context)).await {
                Ok(0) | Err(_) => return Read::Nothing,
                Ok(_) => {}
            }
        }
    }

    /// Parses the head that was read, and begins its request. `keep`: another request may follow.
    ///
    /// # Errors
    ///
    /// The head is refused.
    pub fn begin(&mut self, head: usize, keep: bool) -> Result<(RequestHead, Noted), Refused> {
        let bytes = if head == self.unread.len() {
            std::mem::take(&mut self.unread).freeze()
        } else {
            self.unread.split_to(head).freeze()
        };
        self.answer = AnswerState::NotBegun;
        self.keep = false;
        (self.old, self.head_only, self.expects) = (false, false, false);
        (self.length, self.body) = (BodyLength::Absent, BodyReader::Done);
        if bytes.len() > self.most_head {
            return Err(head::too_long(&bytes));
        }
        let head = head::read(&bytes)?;
        self.keep = keep && head.keep;
        self.length = head.length;
        self.body = head.length.into();
        self.old = head.request.version == http::Version::HTTP_10;
        self.head_only = head.request.method == Method::HEAD;
        self.expects = head.noted.expect;
        Ok((head.request, head.noted))
    }

    /// The refusal of what was read instead of a head, with what can be read about its page.
    pub fn malformed(&self) -> Refused {
        if self.unread.len() > self.most_head {
            return head::too_long(&self.unread);
        }
        head::malformed(&self.unread)
    }

    /// Whether the connection can be used for another request. A small rest of the current body is read
    /// first.
    pub async fn is_kept(&mut self, deadline: &mut Deadline) -> bool {
        if !self.keep || self.answer != AnswerState::Whole || self.stream.is_none() {
            return false;
        }
        if self.body.is_done() {
            return true;
        }
        // The result shows in the state of the body.
        let _ = deadline.within(DRAIN, poll_fn(|context| self.poll_drained(context))).await;
        self.body.is_done()
    }

    /// Whether the rest of the request's body is small enough to be read and dropped.
    fn is_small(&self) -> bool {
        match self.body {
            BodyReader::Done => true,
            BodyReader::Length(left) => left <= MAX_DRAINED_BYTES && !self.expects,
            BodyReader::Chunked(_) | BodyReader::UntilClose => false,
        }
    }

    /// The tunnel that has taken the connection, if any.
    fn take_tunnel(&mut self) -> Option<Box<Tunnel>> {
        self.tunnel.take()
    }

    /// Ends the edge's side of the connection. After a complete answer it reads on for a while: closing with
    /// unread bytes would reset the connection, and the client could lose the answer (RFC 9112 §9.6).
    async fn close(mut self, deadline: &mut Deadline) {
        let Some(mut stream) = self.stream.take() else { return };
        // A client that reads nothing would hold the connection for ever.
        let _ = deadline.within(GOODBYE, stream.shutdown()).await;
        if self.answer != AnswerState::Whole {
            return;
        }
        let until = Instant::now() + MOST_LINGER;
        let mut unwanted = BytesMut::new();
        loop {
            unwanted.clear();
            let more = poll_fn(|context| poll_read(&mut stream, &mut unwanted, context));
            let limit = LINGER.min(until.saturating_duration_since(Instant::now()));
            // The result does not matter any more.
            if !matches!(deadline.within(limit, more).await, Ok(Ok(1..))) {
                return;
            }
        }
    }
}
