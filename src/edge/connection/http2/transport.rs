//! Corked transport of an HTTP/2 connection. The library flushes after each frame or two. With a corked
//! transport, everything that one turn sends leaves at once, in as few TLS records as possible. And a socket
//! without data is not read again until it is readable.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use parking_lot::{Mutex, MutexGuard};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::meter::{Excess, FrameBounds, FrameMeter};

/// Maximum number of bytes that wait to be sent: one TLS record.
const MOST_WAITING: usize = 16 * 1024;

/// Size of the buffer that is kept while nothing waits, in bytes.
const KEPT_ROOM: usize = 4 * 1024;

/// Number of bytes that are read before the requests in them are looked at. The library keeps what it has read until
/// then, and a head of 4 KB can become a thousand times as many fields (CVE-2026-49975).
const READ_AT_ONCE: usize = 16 * 1024;

/// Handle on the stream of a connection. The library has one, and the connection's task has the other. Both
/// are used by the same task, so neither ever waits for the lock.
#[derive(Debug)]
pub struct Transport<S>(Arc<Mutex<Corked<S>>>);

#[derive(Debug)]
struct Corked<S> {
    stream: S,
    is_corked: bool,
    waiting: Vec<u8>,
    /// Number of waiting bytes that are sent.
    sent: usize,
    /// Bytes were sent since the last flush.
    unflushed: bool,
    /// The stream had nothing to read, and will wake `readable`.
    is_dry: bool,
    readable: Waker,
    /// Number of bytes that may still be read.
    allowance: usize,
    /// Number of writes of which the stream has taken something; it may wrap.
    taken: usize,
    meter: FrameMeter,
}

/// What a transport has seen of its client.
#[derive(Clone, Copy, Debug)]
pub struct ClientSight {
    /// There may be more to read at once.
    pub has_more: bool,
    /// The number of a head that has begun and is not complete.
    pub open_head: Option<u32>,
    /// The excess of the client, after which nothing more is read.
    pub excess: Option<Excess>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Transport<S> {
    /// A transport that is not corked yet. Once it is, `readable` is woken when there is something to read.
    pub fn new(stream: S, readable: Waker, bounds: FrameBounds) -> Self {
        Self(Arc::new(Mutex::new(Corked {
            stream,
            is_corked: false,
            waiting: Vec::new(),
            sent: 0,
            unflushed: false,
            is_dry: false,
            readable,
            allowance: READ_AT_ONCE,
            taken: 0,
            meter: FrameMeter::new(bounds),
        })))
    }

    /// Corks the transport, after the preface: from here on, written bytes are held back, and frames are counted.
    pub fn cork(&self) {
        self.lock().is_corked = true;
    }

    /// Marks the stream as readable again.
    pub fn refill(&self) {
        self.lock().is_dry = false;
    }

    /// Lets more be read, once everything that was read is looked at. Returns what was seen of the client.
    pub fn look(&self) -> ClientSight {
        let corked = &mut *self.lock();
        let excess = corked.meter.excess();
        let has_more = corked.allowance == 0 && !corked.is_dry && excess.is_none();
        corked.allowance = READ_AT_ONCE;
        ClientSight { has_more, open_head: corked.meter.open_head(), excess }
    }

    /// Number of writes of which the stream has taken something; it may wrap.
    pub fn taken(&self) -> usize {
        self.lock().taken
    }

    /// Sends the bytes that were held back.
    pub fn poll_send(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.lock().poll_send(context)
    }

    fn lock(&self) -> MutexGuard<'_, Corked<S>> {
        self.0.lock()
    }
}

impl<S> Clone for Transport<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Corked<S> {
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(context))?;
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(context))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes the waiting bytes to the stream.
    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.waiting.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut self.stream).poll_write(context, rest))? {
                0 => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                taken => self.sent += taken,
            }
            self.taken = self.taken.wrapping_add(1);
            self.unflushed = true;
        }
        self.sent = 0;
        self.waiting.clear();
        self.waiting.shrink_to(KEPT_ROOM);
        Poll::Ready(Ok(()))
    }

    /// The room for more waiting bytes.
    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.waiting.len() >= MOST_WAITING {
            ready!(self.poll_drain(context))?;
        }
        Poll::Ready(Ok(MOST_WAITING - self.waiting.len()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Transport<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let corked = &mut *self.lock();
        if !corked.is_corked {
            return Pin::new(&mut corked.stream).poll_read(context, buffer);
        }
        // The library tries to read after every frame. Without data, the system call would be for nothing.
        if corked.is_dry || corked.allowance == 0 || corked.meter.excess().is_some() {
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        // Not with the caller's waker: a turn has to know whether the socket or a request has woken it.
        let read = Pin::new(&mut corked.stream).poll_read(&mut Context::from_waker(&corked.readable), buffer);
        corked.is_dry = read.is_pending();
        let read_bytes = buffer.filled().get(before..).unwrap_or_default();
        corked.allowance = corked.allowance.saturating_sub(read_bytes.len());
        corked.meter.received(read_bytes);
        read
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Transport<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let corked = &mut *self.lock();
        let room = ready!(corked.poll_room(context))?;
        // Never more than the room, even if the pieces have more: the library writes the rest in another
        // call.
        let before = corked.waiting.len();
        for piece in pieces {
            let left = room - (corked.waiting.len() - before);
            let piece = piece.get(..left).unwrap_or(piece);
            corked.waiting.extend_from_slice(piece);
            if corked.is_corked {
                corked.meter.sent(piece);
            }
        }
        Poll::Ready(Ok(corked.waiting.len() - before))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let corked = &mut *self.lock();
        // Corked, the end of the turn sends and flushes everything at once (`poll_send`).
        if corked.is_corked { Poll::Ready(Ok(())) } else { corked.poll_send(context) }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let corked = &mut *self.lock();
        ready!(corked.poll_drain(context))?;
        Pin::new(&mut corked.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// A stream that counts what it is asked.
    #[derive(Default)]
    struct Counted {
        /// What there is to read.
        unread: Vec<u8>,
        reads: usize,
        /// What was written, write by write.
        writes: Vec<usize>,
        /// How much it takes before it has to be waited for.
        room: usize,
        flushes: usize,
        is_shut: bool,
    }

    impl AsyncRead for Counted {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            self.reads += 1;
            if self.unread.is_empty() {
                return Poll::Pending;
            }
            buffer.put_slice(&std::mem::take(&mut self.unread));
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Counted {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let taken = bytes.len().min(self.room);
            if taken == 0 {
                return Poll::Pending;
            }
            self.room -= taken;
            self.writes.push(taken);
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.flushes += 1;
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.is_shut = true;
            Poll::Ready(Ok(()))
        }
    }

    /// A transport with so much room behind it.
    fn transport(room: usize, is_corked: bool) -> Transport<Counted> {
        let stream = Counted { room, ..Counted::default() };
        let transport =
            Transport::new(stream, Waker::noop().clone(), FrameBounds { resets: 10, control: 10 });
        if is_corked {
            transport.cork();
        }
        transport
    }

    /// Writes all of it, or as much as is taken now; how much that was.
    fn write(transport: &mut Transport<Counted>, bytes: &[u8]) -> usize {
        let (context, mut written) = (&mut Context::from_waker(Waker::noop()), 0);
        while written < bytes.len() {
            match Pin::new(&mut *transport).poll_write(context, &bytes[written..]) {
                Poll::Ready(taken) => written += taken.unwrap(),
                Poll::Pending => break,
            }
        }
        written
    }

    fn send(transport: &Transport<Counted>) -> Poll<io::Result<()>> {
        transport.poll_send(&mut Context::from_waker(Waker::noop()))
    }

    fn writes(transport: &Transport<Counted>) -> Vec<usize> {
        std::mem::take(&mut transport.lock().stream.writes)
    }

    #[tokio::test]
    async fn what_a_turn_writes_goes_out_at_once() {
        let mut corked = transport(usize::MAX, true);
        for piece in [9, 1024, 9, 100] {
            corked.write_all(&vec![0; piece]).await.unwrap();
            corked.flush().await.unwrap();
        }
        assert_eq!((writes(&corked), corked.lock().stream.flushes), (vec![], 0));
        assert!(send(&corked).is_ready());
        assert_eq!((writes(&corked), corked.lock().stream.flushes), (vec![1142], 1));
        assert!(send(&corked).is_ready());
        assert_eq!((writes(&corked), corked.lock().stream.flushes), (vec![], 1));
        let mut open = transport(usize::MAX, false);
        open.write_all(b"greeting").await.unwrap();
        open.flush().await.unwrap();
        assert_eq!((writes(&open), open.lock().stream.flushes), (vec![8], 1));
    }

    #[test]
    fn much_goes_out_in_whole_records_and_takes_no_room_afterwards() {
        let mut transport = transport(usize::MAX, true);
        let much = vec![0; 2 * MOST_WAITING + 10];
        let parts = [IoSlice::new(&much[..9]), IoSlice::new(&much)];
        let context = &mut Context::from_waker(Waker::noop());
        let written = Pin::new(&mut transport).poll_write_vectored(context, &parts).map(Result::unwrap);
        assert_eq!(written, Poll::Ready(MOST_WAITING));
        assert_eq!(write(&mut transport, &much), much.len());
        assert_eq!(writes(&transport), [MOST_WAITING; 3]);
        assert!(send(&transport).is_ready());
        assert_eq!(writes(&transport), [10]);
        assert!(transport.lock().waiting.capacity() <= KEPT_ROOM);
    }

    #[tokio::test]
    async fn a_stream_that_takes_nothing_is_waited_for() {
        let mut transport = transport(100, true);
        let much = vec![0; 2 * MOST_WAITING];
        assert_eq!(write(&mut transport, &much), MOST_WAITING);
        assert!(send(&transport).is_pending());
        assert_eq!(writes(&transport), [100]);
        transport.lock().stream.room = usize::MAX;
        assert_eq!(write(&mut transport, &much[..5]), 5);
        assert_eq!(writes(&transport), [MOST_WAITING - 100]);
        transport.shutdown().await.unwrap();
        assert_eq!((writes(&transport), transport.lock().stream.is_shut), (vec![5], true));
    }

    #[tokio::test]
    async fn no_more_is_read_than_is_looked_at() {
        let mut transport = transport(0, true);
        let context = &mut Context::from_waker(Waker::noop());
        let mut buffer = vec![0; 2 * READ_AT_ONCE];
        // Whole frames of a body.
        let frame = [&[0, 0x10, 0, 0, 0, 0, 0, 0, 1], &[0; 4096][..]].concat();
        for _ in 0..3 {
            transport.lock().stream.unread = frame.repeat(4);
            let read = transport.read(&mut buffer).await.unwrap();
            assert!(read > READ_AT_ONCE);
            transport.lock().stream.unread = frame.clone();
            assert!(Pin::new(&mut transport).poll_read(context, &mut ReadBuf::new(&mut buffer)).is_pending());
            assert!(transport.look().has_more);
            assert_eq!(transport.read(&mut buffer).await.unwrap(), frame.len());
            assert!(Pin::new(&mut transport).poll_read(context, &mut ReadBuf::new(&mut buffer)).is_pending());
            assert!(!transport.look().has_more);
            transport.refill();
        }
        transport.lock().stream.unread = [0, 0, 0, 6, 0, 0, 0, 0, 0].repeat(100);
        assert_eq!(transport.read(&mut buffer).await.unwrap(), 900);
        transport.lock().stream.unread = frame;
        assert!(Pin::new(&mut transport).poll_read(context, &mut ReadBuf::new(&mut buffer)).is_pending());
        assert_eq!(transport.look().excess, Some(Excess::ControlFrames));
        assert!(!transport.look().has_more);
    }

    #[tokio::test]
    async fn a_stream_with_nothing_to_read_is_asked_once() {
        let mut transport = transport(0, true);
        let context = &mut Context::from_waker(Waker::noop());
        let mut buffer = [0; 8];
        for _ in 0..3 {
            assert!(Pin::new(&mut transport).poll_read(context, &mut ReadBuf::new(&mut buffer)).is_pending());
        }
        assert_eq!(transport.lock().stream.reads, 1);
        transport.lock().stream.unread = b"more".to_vec();
        transport.refill();
        assert_eq!(transport.read(&mut buffer).await.unwrap(), 4);
        assert!(Pin::new(&mut transport).poll_read(context, &mut ReadBuf::new(&mut buffer)).is_pending());
        assert_eq!(transport.lock().stream.reads, 3);
    }
}
