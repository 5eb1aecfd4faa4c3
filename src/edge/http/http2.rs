//! Bodies over HTTP/2: reader and sender, for clients and upstreams.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Error, Reason, RecvStream, SendStream};
use http::HeaderMap;

use crate::edge::http::body::Frame;
use crate::edge::http::fields::Fields;
use crate::edge::http::limits::{MAX_TRAILER_BYTES, MAX_TRAILERS};

/// Reader of one body.
pub struct Http2BodyReader {
    stream: RecvStream,
    /// The data is read, but not the trailers.
    data_read: bool,
    done: bool,
}

impl Http2BodyReader {
    /// A reader of this stream's body.
    pub fn new(stream: RecvStream) -> Self {
        let done = stream.is_end_stream();
        Self { stream, data_read: done, done }
    }

    /// Whether the body is complete.
    pub fn is_done(&self) -> bool {
        self.done || self.stream.is_end_stream()
    }

    /// The next piece; `None` at the end. Empty pieces are skipped: only the flag at the end of the stream
    /// ends a body (RFC 9113 §8.1).
    pub fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Frame>, Error>> {
        if self.is_done() {
            return Poll::Ready(Ok(None));
        }
        while !self.data_read {
            match ready!(self.stream.poll_data(context)) {
                Some(piece) => {
                    let piece = piece?;
                    self.stream.flow_control().release_capacity(piece.len())?;
                    if !piece.is_empty() {
                        return Poll::Ready(Ok(Some(Frame::Data(piece))));
                    }
                }
                None => self.data_read = true,
            }
        }
        let trailers = ready!(self.stream.poll_trailers(context))?;
        // The library leaves out what is over its own limit, which is higher, without a word.
        if trailers.as_ref().is_some_and(are_too_many) {
            return Poll::Ready(Err(Reason::ENHANCE_YOUR_CALM.into()));
        }
        self.done = true;
        Poll::Ready(Ok(trailers.map(|trailers| Frame::Trailers(trailers.into()))))
    }
}

/// Whether these are more trailers than a message may have.
fn are_too_many(trailers: &HeaderMap) -> bool {
    let length = || trailers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum::<usize>();
    trailers.len() > MAX_TRAILERS || length() > MAX_TRAILER_BYTES
}

/// Sender of one body, with the piece that the connection has not accepted yet.
#[derive(Debug, Default)]
pub struct BodySender {
    piece: Bytes,
    trailers: Option<Fields>,
    /// Nothing follows the current piece.
    last: bool,
    whole: bool,
}

impl BodySender {
    /// A sender without a body: the head has ended the stream.
    pub fn whole() -> Self {
        Self { whole: true, ..Self::default() }
    }

    /// Queues a piece; the previous one must be accepted. `last`: nothing follows it.
    pub fn frame(&mut self, frame: Frame, last: bool) {
        match frame {
            Frame::Data(piece) => self.piece = piece,
            Frame::Trailers(trailers) => self.trailers = Some(trailers),
        }
        self.last |= last || self.trailers.is_some();
    }

    /// Queues the end of the body.
    pub fn end(&mut self) {
        self.last = true;
    }

    /// Number of queued bytes.
    pub fn waiting(&self) -> usize {
        self.piece.len()
    }

    /// Whether something is queued.
    pub fn is_waiting(&self) -> bool {
        !self.whole && (!self.piece.is_empty() || self.last)
    }

    /// Whether the end of the stream is sent.
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// Passes queued bytes to the connection, as the other side has room for them. Ready once all are passed
    /// on.
    pub fn poll_send(
        &mut self,
        stream: &mut SendStream<Bytes>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        if self.whole {
            return Poll::Ready(Ok(()));
        }
        while !self.piece.is_empty() {
            stream.reserve_capacity(self.piece.len());
            let room = match stream.capacity() {
                0 => ready!(stream.poll_capacity(context)).unwrap_or(Err(Reason::CANCEL.into()))?,
                room => room,
            };
            let piece = self.piece.split_to(room.min(self.piece.len()));
            self.whole = self.last && self.piece.is_empty() && self.trailers.is_none();
            stream.send_data(piece, self.whole)?;
        }
        if let Some(trailers) = self.trailers.take() {
            stream.send_trailers(trailers.into())?;
            self.whole = true;
        }
        if self.last && !self.whole {
            stream.send_data(Bytes::new(), true)?;
            self.whole = true;
        }
        Poll::Ready(Ok(()))
    }
}
