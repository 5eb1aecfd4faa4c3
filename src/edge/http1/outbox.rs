//! Bytes on their way out over an HTTP/1.1 connection: heads, and bodies in their framing.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use pingora::protocols::Stream;

use super::write;
use crate::edge::body::Frame;

/// The longest piece that is copied behind what goes out before it, in bytes; a longer one goes out from where it is.
const MOST_COPIED: usize = 16 * 1024;

/// More room than this is given back once it is empty, in bytes.
const MOST_KEPT: usize = 4 * 1024;

/// How the end of a body that goes out is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// By its length or with the connection, or there is no body.
    Plain,
    /// By its last chunk (RFC 9112 §7.1).
    Chunked,
}

/// What is written and not sent yet.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    /// How many of them are sent.
    sent: usize,
    /// Goes out behind them, from where it is.
    piece: Bytes,
    /// Goes out behind the piece.
    tail: &'static [u8],
}

impl Outbox {
    /// Where heads are written to.
    pub fn bytes(&mut self) -> &mut Vec<u8> {
        self.join();
        &mut self.bytes
    }

    /// How much waits.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.sent + self.piece.len() + self.tail.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a piece of a body. Trailers end it, and are left out where nothing can carry them.
    pub fn frame(&mut self, frame: Frame, framing: Framing) {
        match (frame, framing) {
            (Frame::Data(piece), _) => self.data(piece, framing),
            (Frame::Trailers(fields), Framing::Chunked) => self.last_chunk(Some(&fields)),
            (Frame::Trailers(_), Framing::Plain) => {}
        }
    }

    fn data(&mut self, piece: Bytes, framing: Framing) {
        // An empty chunk would be the last.
        if piece.is_empty() {
            return;
        }
        self.join();
        if framing == Framing::Chunked {
            write::chunk_size(&mut self.bytes, piece.len());
            self.tail = b"\r\n";
        }
        if piece.len() > MOST_COPIED {
            self.piece = piece;
        } else {
            self.bytes.extend_from_slice(&piece);
            self.join();
        }
    }

    /// Adds the end of a body.
    pub fn end(&mut self, framing: Framing) {
        if framing == Framing::Chunked {
            self.last_chunk(None);
        }
    }

    fn last_chunk(&mut self, trailers: Option<&HeaderMap>) {
        let bytes = self.bytes();
        bytes.extend_from_slice(b"0\r\n");
        for (name, value) in trailers.into_iter().flatten() {
            write::field(bytes, name.as_str(), value.as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
    }

    /// Puts everything that waits into one place.
    fn join(&mut self) {
        if !self.piece.is_empty() {
            self.bytes.extend_from_slice(&std::mem::take(&mut self.piece));
        }
        self.bytes.extend_from_slice(std::mem::take(&mut self.tail));
    }

    /// Sends what waits. Ready once all of it is sent.
    pub fn poll_send(&mut self, stream: &mut Stream, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.bytes.get(self.sent..).filter(|rest| !rest.is_empty()) {
            self.sent += ready!(poll_write(stream, context, rest))?;
        }
        while !self.piece.is_empty() {
            let sent = ready!(poll_write(stream, context, &self.piece))?;
            self.piece.advance(sent);
        }
        while !self.tail.is_empty() {
            let sent = ready!(poll_write(stream, context, self.tail))?;
            self.tail = self.tail.get(sent..).unwrap_or_default();
        }
        self.bytes.clear();
        self.sent = 0;
        if self.bytes.capacity() > MOST_KEPT {
            self.bytes = Vec::new();
        }
        Pin::new(&mut **stream).poll_flush(context)
    }
}

fn poll_write(stream: &mut Stream, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
    match ready!(Pin::new(&mut **stream).poll_write(context, bytes))? {
        0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
        sent => Poll::Ready(Ok(sent)),
    }
}
