//! Relay between the browser and the upstream, over any two connections. Each direction waits for its writer
//! before it reads on, so neither side can fill the edge's memory.
//!
//! Bytes are written directly from where they were read. Only bytes that the other side doesn't accept at
//! once are kept. So an idle tunnel has no buffer.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::task::coop::unconstrained;
use tokio::time::{Sleep, sleep, timeout};

use super::frames::{Close, Frames};
use super::limits::{Overdue, TunnelLimits, Watch};
use crate::edge::connection::closing::Stop;
use crate::edge::http::limits::GOODBYE;

/// Maximum number of bytes that are read at once, and kept for one direction: a TLS record.
const BUFFER: usize = 16 * 1024;

/// Number of reads of one direction before the other has its turn.
const READS: usize = 8;

/// Time limit for the end of the current frame when a tunnel has to end.
const FRAME_END: Duration = Duration::from_secs(1);

/// Reason for the end of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TunnelEnd {
    /// One side has ended it.
    Over,
    /// The session was revoked.
    Revoked,
    /// The server stops, or serves no longer.
    Stopped(Stop),
    /// A limit was reached.
    Overdue(Overdue),
}

/// Relay between the two connections of a WebSocket, after both handshakes.
pub struct Relay<B, U> {
    browser: B,
    upstream: U,
    up: Way,
    down: Way,
    /// The timer of a browser that takes nothing; `None` while it takes something.
    untaken: Option<Pin<Box<Sleep>>>,
}

impl<B, U> Relay<B, U>
where
    B: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    /// A relay between two connections. `early`: bytes that the browser and the upstream sent with their
    /// handshakes.
    pub fn new(browser: B, upstream: U, early: (BytesMut, BytesMut)) -> Self {
        Self { browser, upstream, up: Way::new(early.0), down: Way::new(early.1), untaken: None }
    }

    /// Copies in both directions until both sides have ended, one fails, a limit is reached, or `revoked` is
    /// ready.
    pub fn run<T>(
        &mut self,
        limits: TunnelLimits,
        mut revoked: impl Future<Output = T> + Unpin,
    ) -> impl Future<Output = TunnelEnd> {
        let (mut watch, untaken) = (Watch::new(limits), limits.untaken);
        // Not an async block, in which an open tunnel would have room for some of this twice.
        poll_fn(move |context| {
            // The revocation comes first: after it, not a byte may pass.
            if Pin::new(&mut revoked).poll(context).is_ready() {
                return Poll::Ready(TunnelEnd::Revoked);
            }
            if self.poll(&mut watch, context).is_ready() {
                return Poll::Ready(TunnelEnd::Over);
            }
            if self.poll_untaken(untaken, context).is_ready() {
                return Poll::Ready(TunnelEnd::Overdue(Overdue::Untaken));
            }
            watch.poll(context).map(TunnelEnd::Overdue)
        })
    }

    /// Ready once the browser has taken nothing of what waits for that long.
    fn poll_untaken(&mut self, limit: Option<Duration>, context: &mut Context<'_>) -> Poll<()> {
        let writer = &mut self.down.writer;
        let Some(limit) = limit.filter(|_| *writer != WriterState::Ready) else {
            self.untaken = None;
            return Poll::Pending;
        };
        if std::mem::replace(writer, WriterState::Timed) == WriterState::Stopped {
            self.untaken = None;
        }
        let timer = self.untaken.get_or_insert_with(|| Box::pin(sleep(limit)));
        // Unconstrained: without this, a task that has used up its budget could not register with the timer.
        pin!(unconstrained(timer.as_mut())).poll(context)
    }

    /// Ready once both directions have ended, or one has failed.
    fn poll(&mut self, watch: &mut Watch, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { browser, upstream, up, down, .. } = self;
        // On the stack and only while the task runs: many tunnels are open, and few have something to copy.
        let mut space = [MaybeUninit::uninit(); BUFFER];
        let up = up.poll(browser, upstream, &mut space, watch, context)?;
        let down = down.poll(upstream, browser, &mut space, watch, context)?;
        if up.is_ready() && down.is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Number of bytes that the browser was sent.
    pub fn carried_down(&self) -> u64 {
        self.down.carried
    }

    /// Sends the browser a Close frame after the current frame. `false`: the current frame took too long, or
    /// the upstream had already sent its own Close frame, so the edge sends none.
    pub async fn close(&mut self, close: Close) -> bool {
        let closing = async {
            self.finish_frame().await?;
            let own = !self.down.frames.is_closed();
            if own {
                self.browser.write_all(&close.to_bytes()).await?;
            }
            self.browser.flush().await?;
            io::Result::Ok(own)
        };
        matches!(timeout(FRAME_END, closing).await, Ok(Ok(true)))
    }

    /// Passes on the rest of the frame that the browser has partly received, and not a byte of the next one.
    async fn finish_frame(&mut self) -> io::Result<()> {
        let Self { browser, upstream, down, .. } = self;
        while !down.frames.at_boundary() {
            if down.pending.is_empty() {
                down.pending.reserve(4 * 1024);
                if upstream.read_buf(&mut down.pending).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            let of_frame = down.frames.clone().advance(&down.pending);
            let rest = down.pending.get(..of_frame).unwrap_or_default();
            let written = some(browser.write(rest).await?)?;
            down.passed(written);
        }
        Ok(())
    }

    /// Waits for the browser's Close frame, as a server has to before it ends the connection (RFC 6455
    /// §7.1.1).
    pub async fn answered(&mut self) {
        let Self { browser, up, .. } = self;
        let answer = async {
            let mut said = BytesMut::with_capacity(512);
            up.frames.follow(&up.pending);
            while !up.frames.is_closed() && browser.read_buf(&mut said).await? > 0 {
                up.frames.follow(&said);
                said.clear();
            }
            io::Result::Ok(())
        };
        let _ = timeout(GOODBYE, answer).await;
    }

    /// Ends both connections: the upstream's at once, the browser's when it sends nothing more.
    pub async fn finish(self) {
        let Self { mut browser, mut upstream, .. } = self;
        let _ = timeout(GOODBYE, async { tokio::join!(browser.shutdown(), upstream.shutdown()) }).await;
        drop(upstream);
        let goodbye = async {
            let mut unwanted = [0; 512];
            while browser.read(&mut unwanted).await? > 0 {}
            io::Result::Ok(())
        };
        let _ = timeout(GOODBYE, goodbye).await;
    }
}

/// One direction of a relay.
struct Way {
    /// Bytes that were read but not written yet; without any, it has no memory.
    pending: BytesMut,
    /// The tracker of the frames that were passed on.
    frames: Frames,
    /// Number of bytes that were passed on.
    carried: u64,
    /// Written bytes may still be in a buffer of the writer.
    unflushed: bool,
    writer: WriterState,
    end: Ending,
}

/// State of the writer of a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WriterState {
    /// It has taken everything so far.
    Ready,
    /// It has stopped taking anything just now.
    Stopped,
    /// It has taken nothing since the timer began.
    Timed,
}

/// State of the end of a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// The reader may have more.
    Open,
    /// The reader has ended; the writer must still be shut down.
    Read,
    /// The writer is shut down.
    Told,
}

impl Way {
    fn new(early: BytesMut) -> Self {
        let pending = if early.is_empty() { BytesMut::new() } else { early };
        Self {
            pending,
            frames: Frames::default(),
            carried: 0,
            unflushed: false,
            writer: WriterState::Ready,
            end: Ending::Open,
        }
    }

    /// Copies what is available, through `space`. Ready at the end of the direction.
    fn poll(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        space: &mut [MaybeUninit<u8>],
        watch: &mut Watch,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        for _ in 0..READS {
            // Older bytes first. Nothing more is read until they are written, which slows down a fast sender.
            while self.pending.has_remaining() {
                let Poll::Ready(written) = Pin::new(&mut *to).poll_write(context, &self.pending)? else {
                    return self.waits();
                };
                self.passed(some(written)?);
                watch.moved();
            }
            // Flushed before the next read, so that no byte stays in a TLS buffer while the tunnel waits.
            if self.unflushed {
                if Pin::new(&mut *to).poll_flush(context)?.is_pending() {
                    return self.waits();
                }
                (self.unflushed, self.writer) = (false, WriterState::Ready);
            }
            match self.end {
                Ending::Open => {}
                Ending::Read => {
                    // The writer learns that the other side has ended, but may still send something itself.
                    ready!(Pin::new(&mut *to).poll_shutdown(context))?;
                    self.end = Ending::Told;
                    watch.half_closed();
                    return Poll::Ready(Ok(()));
                }
                Ending::Told => return Poll::Ready(Ok(())),
            }
            let mut read = ReadBuf::uninit(space);
            ready!(Pin::new(&mut *from).poll_read(context, &mut read))?;
            let read = read.filled();
            if read.is_empty() {
                self.end = Ending::Read;
                continue;
            }
            watch.moved();
            // Written directly from the stack; only the rest, if any, is copied to the heap.
            let written = match Pin::new(&mut *to).poll_write(context, read)? {
                Poll::Ready(written) => some(written)?,
                Poll::Pending => 0,
            };
            self.unflushed = true;
            let (passed, rest) = read.split_at_checked(written).unwrap_or((read, &[]));
            self.frames.follow(passed);
            self.carried += passed.len() as u64;
            if !rest.is_empty() {
                self.pending = BytesMut::from(rest);
            }
        }
        // The connections may still be ready, and then nothing else would wake the task.
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Waits for the writer.
    fn waits(&mut self) -> Poll<io::Result<()>> {
        if self.writer == WriterState::Ready {
            self.writer = WriterState::Stopped;
        }
        Poll::Pending
    }

    fn passed(&mut self, written: usize) {
        self.writer = WriterState::Ready;
        self.frames.follow(self.pending.get(..written).unwrap_or_default());
        self.carried += written as u64;
        self.pending.advance(written);
        self.unflushed = true;
        if self.pending.is_empty() {
            self.pending = BytesMut::new();
        }
    }
}

/// The number of written bytes; zero is an error.
fn some(written: usize) -> io::Result<usize> {
    if written == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(written) }
}

#[cfg(test)]
mod tests;
