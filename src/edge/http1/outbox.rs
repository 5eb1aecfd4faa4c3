//! Bytes on their way out over an HTTP/1.1 connection: heads, and bodies in their framing.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};

use super::write;
use crate::edge::body::Frame;
use crate::edge::fields::Fields;

use tokio::io::AsyncWrite;

use crate::edge::connection::stream::Stream;

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
    /// Some of what was sent may still lie in a buffer of the connection's.
    unflushed: bool,
}

impl Outbox {
    /// Where heads are written to.
    pub fn bytes(&mut self) -> &mut Vec<u8> {
        self.join();
        &mut self.bytes
    }

    /// How much waits.
    pub fn waiting(&self) -> usize {
        self.bytes.len() - self.sent + self.piece.len() + self.tail.len()
    }

    /// Whether nothing waits, here or in a buffer of the connection's.
    pub fn is_empty(&self) -> bool {
        self.waiting() == 0 && !self.unflushed
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

    fn last_chunk(&mut self, trailers: Option<&Fields>) {
        let bytes = self.bytes();
        bytes.extend_from_slice(b"0\r\n");
        for (name, value) in trailers.into_iter().flat_map(Fields::iter) {
            write::field(bytes, name.as_str(), value.as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
    }

    fn advance(&mut self, sent: usize) {
        let of_bytes = sent.min(self.bytes.len() - self.sent);
        let of_piece = (sent - of_bytes).min(self.piece.len());
        self.sent += of_bytes;
        self.piece.advance(of_piece);
        self.tail = self.tail.get(sent - of_bytes - of_piece..).unwrap_or_default();
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
        self.unflushed = true;
        while self.waiting() > 0 {
            let bytes = self.bytes.get(self.sent..).unwrap_or_default();
            let sent = if self.piece.is_empty() && self.tail.is_empty() {
                Pin::new(&mut *stream).poll_write(context, bytes)
            } else {
                let parts = [bytes, &self.piece, self.tail].map(IoSlice::new);
                Pin::new(&mut *stream).poll_write_vectored(context, &parts)
            };
            match ready!(sent)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => self.advance(sent),
            }
        }
        self.bytes.clear();
        self.sent = 0;
        if self.bytes.capacity() > MOST_KEPT {
            self.bytes = Vec::new();
        }
        ready!(Pin::new(&mut *stream).poll_flush(context))?;
        self.unflushed = false;
        Poll::Ready(Ok(()))
    }
}
