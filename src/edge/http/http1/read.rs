//! Reading from a connection, and the end of a head.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use memchr::memmem::Finder;
use tokio::io::{AsyncRead, ReadBuf};

use crate::edge::stream::Stream;

/// Maximum number of bytes that are read at once: a TLS record.
const READ_BYTES: usize = 16 * 1024;

/// The position of the empty line that ends a head.
pub fn find_end(bytes: &[u8]) -> Option<usize> {
    static EMPTY_LINE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\r\n\r\n"));
    EMPTY_LINE.find(bytes)
}

/// Looks at a head that has not come in full: whether it can still become one. Each costs as much as all that has come,
/// so a head in very many pieces is looked at only when it has doubled.
#[derive(Debug, Default)]
pub struct Looks {
    made: usize,
    /// The length of the head at the last one.
    length: usize,
}

/// Number of looks that a head in any pieces gets.
const MOST_LOOKS: usize = 32;

impl Looks {
    /// Whether a head of which so many bytes have come is looked at now.
    pub fn are_due(&mut self, length: usize) -> bool {
        let are_due = length > 0 && (self.made < MOST_LOOKS || length >= 2 * self.length);
        if are_due {
            (self.made, self.length) = (self.made + 1, length);
        }
        are_due
    }
}

/// Reads available bytes of a connection into `read`. While there are none, an empty buffer has no memory.
pub fn poll_read(
    stream: &mut Stream,
    read: &mut BytesMut,
    context: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    if read.is_empty() {
        *read = BytesMut::new();
    }
    let mut space = [MaybeUninit::uninit(); READ_BYTES];
    let mut space = ReadBuf::uninit(&mut space);
    ready!(Pin::new(stream).poll_read(context, &mut space))?;
    read.extend_from_slice(space.filled());
    Poll::Ready(Ok(space.filled().len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_pieces_are_looked_at_a_few_times() {
        let mut looks = Looks::default();
        assert!(!looks.are_due(0) && looks.are_due(1) && looks.are_due(2));
        let looked: usize = (3..=65_536).filter(|length| looks.are_due(*length)).sum();
        assert!(looked < 3 * 65_536, "{looked} bytes");
    }
}
