//! Reader of HTTP/1.1 bodies (RFC 9112 §6 and §7), for clients and upstreams. A body that two servers could
//! read differently is an error.

use bytes::{Buf, Bytes, BytesMut};
use http::header::{HeaderName, HeaderValue};

use super::read::find_end;
use crate::edge::http::body::Frame;
use crate::edge::http::fields::Fields;
use crate::edge::http::limits::{MAX_TRAILER_BYTES, MAX_TRAILERS};

/// Maximum length of a chunk's size line with its extensions, in bytes.
const MAX_CHUNK_LINE: usize = 1024;

/// Maximum size of a piece of a body, in bytes.
const PIECE_BYTES: usize = 64 * 1024;

/// Error in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// Reader of one body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyReader {
    /// A body of known length; this many bytes follow.
    Length(u64),
    /// A chunked body.
    Chunked(Chunk),
    /// A body until the end of the connection.
    UntilClose,
    /// The body is complete.
    Done,
}

/// Place in a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunk {
    /// Before the size line of a chunk.
    Size,
    /// Within a chunk; this many bytes follow.
    Data(u64),
    /// Before the line end after a chunk.
    End,
    /// After the last chunk; so many bytes have no end of the trailers.
    Trailers(usize),
}

/// Result of one step.
#[derive(Debug)]
pub enum Step {
    /// A piece, or the trailers.
    Frame(Frame),
    /// Nothing yet: more has to be read from the connection.
    More,
    /// The body is complete.
    End,
}

impl BodyReader {
    /// A reader at the start of a chunked body.
    pub const CHUNKED: Self = Self::Chunked(Chunk::Size);

    /// A reader of a body with this length.
    pub fn of_length(length: u64) -> Self {
        if length == 0 { Self::Done } else { Self::Length(length) }
    }

    /// Whether the body is complete.
    pub fn is_done(&self) -> bool {
        *self == Self::Done
    }

    /// Takes the next piece from the bytes that were read.
    ///
    /// # Errors
    /// The bytes are not a valid body.
    pub fn step(&mut self, read: &mut BytesMut) -> Result<Step, Malformed> {
        loop {
            match self {
                Self::Done => return Ok(Step::End),
                _ if read.is_empty() => return Ok(Step::More),
                Self::UntilClose => return Ok(Step::Frame(Frame::Data(piece(read, u64::MAX)))),
                Self::Length(left) => {
                    let piece = piece(read, *left);
                    *self = Self::of_length(*left - piece.len() as u64);
                    return Ok(Step::Frame(Frame::Data(piece)));
                }
                Self::Chunked(chunk) => match chunk.step(read)? {
                    BodyProgress::Piece(piece) => return Ok(Step::Frame(Frame::Data(piece))),
                    BodyProgress::On => {}
                    BodyProgress::More => return Ok(Step::More),
                    BodyProgress::Over(trailers) => {
                        *self = Self::Done;
                        let frame = trailers.map(|trailers| Step::Frame(Frame::Trailers(trailers)));
                        return Ok(frame.unwrap_or(Step::End));
                    }
                },
            }
        }
    }

    /// Handles the end of the connection. `true`: the body is complete.
    pub fn closed(&mut self) -> bool {
        let whole = matches!(self, Self::UntilClose | Self::Done);
        *self = Self::Done;
        whole
    }
}

fn piece(read: &mut BytesMut, most: u64) -> Bytes {
    let most = usize::try_from(most).unwrap_or(usize::MAX).min(PIECE_BYTES);
    read.split_to(read.len().min(most)).freeze()
}

enum BodyProgress {
    Piece(Bytes),
    /// Another step can be made.
    On,
    More,
    Over(Option<Fields>),
}

impl Chunk {
    fn step(&mut self, read: &mut BytesMut) -> Result<BodyProgress, Malformed> {
        match self {
            Self::Size => {
                let line = read.get(..read.len().min(MAX_CHUNK_LINE)).unwrap_or_default();
                let Some(end) = memchr::memchr(b'\n', line) else {
                    let too_long = line.len() == MAX_CHUNK_LINE;
                    return if too_long {
                        Err(Malformed("the size line of a chunk is too long"))
                    } else {
                        Ok(BodyProgress::More)
                    };
                };
                let size = chunk_size(read.get(..end).unwrap_or_default())?;
                read.advance(end + 1);
                *self = if size == 0 { Self::Trailers(0) } else { Self::Data(size) };
                Ok(BodyProgress::On)
            }
            Self::Data(left) => {
                let piece = piece(read, *left);
                *left -= piece.len() as u64;
                if *left == 0 {
                    *self = Self::End;
                }
                Ok(BodyProgress::Piece(piece))
            }
            Self::End => {
                if !b"\r\n".starts_with(read.get(..read.len().min(2)).unwrap_or_default()) {
                    return Err(Malformed("a chunk is longer than it says"));
                }
                if read.len() < 2 {
                    return Ok(BodyProgress::More);
                }
                read.advance(2);
                *self = Self::Size;
                Ok(BodyProgress::On)
            }
            Self::Trailers(searched) => {
                if read.starts_with(b"\r\n") {
                    read.advance(2);
                    return Ok(BodyProgress::Over(None));
                }
                let from = searched.saturating_sub(3);
                let Some(end) = find_end(read.get(from..).unwrap_or_default()) else {
                    let too_long = read.len() > MAX_TRAILER_BYTES;
                    if too_long || has_bad_line(read, from) {
                        return Err(Malformed("the trailer fields are invalid or too long"));
                    }
                    *searched = read.len();
                    return Ok(BodyProgress::More);
                };
                let fields = read.split_to(from + end + 4).freeze();
                trailers(&fields).map(|trailers| BodyProgress::Over(Some(trailers)))
            }
        }
    }
}

/// The size in a size line without its line feed.
fn chunk_size(line: &[u8]) -> Result<u64, Malformed> {
    const BAD: Malformed = Malformed("the size of a chunk is not a hexadecimal number");
    let line =
        line.strip_suffix(b"\r").ok_or(Malformed("the size line of a chunk ends in a bare line feed"))?;
    let digits = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
    let (digits, extensions) = line.split_at_checked(digits).ok_or(BAD)?;
    if digits.is_empty() || digits.len() > 15 {
        return Err(BAD);
    }
    // White space before an extension is there for old senders alone (RFC 9110 §5.6.3), and not every reader skips it.
    let is_extension = matches!(extensions, [] | [b';', ..]);
    if !is_extension || extensions.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
        return Err(BAD);
    }
    let digit = |byte: &u8| char::from(*byte).to_digit(16).map(u64::from);
    digits.iter().try_fold(0, |size, byte| Some(size << 4 | digit(byte)?)).ok_or(BAD)
}

/// Whether a line from there on ends in a bare line feed.
fn has_bad_line(read: &[u8], from: usize) -> bool {
    let rest = read.get(from..).unwrap_or_default();
    memchr::memchr_iter(b'\n', rest).map(|at| from + at).any(|at| at == 0 || read.get(at - 1) != Some(&b'\r'))
}

fn trailers(bytes: &Bytes) -> Result<Fields, Malformed> {
    const BAD: Malformed = Malformed("the trailer fields can't be read");
    if has_bad_line(bytes, 0) {
        return Err(BAD);
    }
    let mut lines = [httparse::EMPTY_HEADER; MAX_TRAILERS];
    let Ok(httparse::Status::Complete((_, lines))) = httparse::parse_headers(bytes, &mut lines) else {
        return Err(BAD);
    };
    let mut fields = Fields::with_capacity(lines.len());
    for line in lines {
        let name = HeaderName::from_bytes(line.name.as_bytes()).map_err(|_| BAD)?;
        fields.append(name, HeaderValue::from_maybe_shared(bytes.slice_ref(line.value)).map_err(|_| BAD)?);
    }
    Ok(fields)
}

#[cfg(test)]
mod tests;
