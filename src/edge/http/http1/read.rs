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
