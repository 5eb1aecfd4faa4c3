//! Send buffer of an HTTP/1.1 connection: heads and framed bodies that wait to be sent.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

use super::write;
use crate::edge::http::body::Frame;
use crate::edge::http::fields::Fields;
use crate::edge::stream::Stream;

/// Maximum size of a piece that is copied into the buffer, in bytes; a longer one is sent from its own
/// memory.
const MOST_COPIED: usize = 16 * 1024;

/// Maximum size of the empty buffer, in bytes; a larger one is freed.
const MOST_KEPT: usize = 4 * 1024;

/// Framing of a sent body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFraming {
    /// The body ends by its length or with the connection, or there is none.
    Plain,
    /// The body ends with its last chunk (RFC 9112 §7.1).
    Chunked,
}

/// Send buffer: bytes that are written but not sent yet.
#[derive(Debug, Default)]
pub struct SendBuffer {
    bytes: Vec<u8>,
    /// Number of sent bytes.
    sent: usize,
    /// A piece after the bytes, sent from its own memory.
    piece: Bytes,
    /// Bytes after the piece.
    tail: &'static [u8],
    /// Sent bytes may still be in a buffer of the connection.
    unflushed: bool,
}

impl SendBuffer {
    /// The buffer, for writing heads.
    pub fn bytes(&mut self) -> &mut Vec<u8> {
        self.join();
        &mut self.bytes
    }

    /// Number of waiting bytes.
    pub fn waiting(&self) -> usize {
        self.bytes.len() - self.sent + self.piece.len() + self.tail.len()
    }

    /// Whether nothing waits, here or in a buffer of the connection.
    pub fn is_empty(&self) -> bool {
        self.waiting() == 0 && !self.unflushed
    }

    /// Adds a piece of a body. Trailers end it; they are dropped if the framing can't carry them.
    pub fn frame(&mut self, frame: Frame, framing: BodyFraming) {
        match (frame, framing) {
            (Frame::Data(piece), _) => self.data(piece, framing),
            (Frame::Trailers(fields), BodyFraming::Chunked) => self.last_chunk(Some(&fields)),
            (Frame::Trailers(_), BodyFraming::Plain) => {}
        }
    }

    fn data(&mut self, piece: Bytes, framing: BodyFraming) {
        // An empty chunk would end the body.
        if piece.is_empty() {
            return;
        }
        self.join();
        if framing == BodyFraming::Chunked {
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
    pub fn end(&mut self, framing: BodyFraming) {
        if framing == BodyFraming::Chunked {
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

    /// Copies everything that waits into the buffer.
    fn join(&mut self) {
        if !self.piece.is_empty() {
            self.bytes.extend_from_slice(&std::mem::take(&mut self.piece));
        }
        self.bytes.extend_from_slice(std::mem::take(&mut self.tail));
    }

    /// Sends everything that waits. Ready once all of it is sent.
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
