//! The copying between browser and upstream, on any two connections: both directions at once, each waiting for its
//! own writer before it reads on, so that neither side can make the edge keep what the other doesn't take.
//!
//! What is read is handed on from where it was read to. Only what the other side doesn't take at once is kept, until it
//! does: a tunnel that waits holds no buffer.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;

use super::frames::{Close, Frames};
use super::limits::{Limits, Overdue, Watch};

/// How much is read at once, and kept of one direction at most: a TLS record.
const BUFFER: usize = 16 * 1024;

/// How often one direction is read before the other has its turn.
const READS: usize = 8;

/// How long a frame under way may take to its end before a tunnel that has to end is ended within it.
const FRAME_END: Duration = Duration::from_secs(1);

/// How long the browser may take to answer the edge's Close frame with its own, and to end its half. Ending at once
/// could reset the connection, and the Close frame with it.
const GOODBYE: Duration = Duration::from_secs(1);

/// Why a tunnel ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Either side ended it.
    Over,
    /// Whoever may, called it back.
    Revoked,
    /// A limit was reached.
    Overdue(Overdue),
}

/// A WebSocket's two connections, after both handshakes.
pub struct Relay<B, U> {
    browser: B,
    upstream: U,
    up: Way,
    down: Way,
}

impl<B, U> Relay<B, U>
where
    B: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    /// Takes the two over. `early` is what each side sent together with its handshake: browser's, upstream's.
    pub fn new(browser: B, upstream: U, early: (BytesMut, BytesMut)) -> Self {
        Self { browser, upstream, up: Way::new(early.0), down: Way::new(early.1) }
    }

    /// Copies both ways until both sides ended, one broke, a limit is reached or `revoked` says so.
    pub async fn run<T>(&mut self, limits: Limits, revoked: impl Future<Output = T>) -> End {
        let mut revoked = pin!(revoked);
        let mut watch = Watch::new(limits);
        poll_fn(|context| {
            if revoked.as_mut().poll(context).is_ready() {
                return Poll::Ready(End::Revoked);
            }
            if self.poll(&mut watch, context).is_ready() {
                return Poll::Ready(End::Over);
            }
            watch.poll(context).map(End::Overdue)
        })
        .await
    }

    /// Ready once both directions ended, or one broke.
    fn poll(&mut self, watch: &mut Watch, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { browser, upstream, up, down } = self;
        let mut space = [MaybeUninit::uninit(); BUFFER];
        let up = up.poll(browser, upstream, &mut space, watch, context)?;
        let down = down.poll(upstream, browser, &mut space, watch, context)?;
        if up.is_ready() && down.is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Sends the browser a Close frame behind the frame under way. `false`: that frame took too long, or the
    /// upstream had sent a Close frame itself, and there is none of the edge's.
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

    /// Passes on what is left of the frame that the browser has a part of, and not a byte of the next.
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

    /// Waits for the browser's own Close frame, as a server does before it ends the connection (RFC 6455 §7.1.1).
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

    /// Ends both connections. The upstream's at once, the browser's when it has nothing more to say.
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

/// One direction.
struct Way {
    /// What was read and not handed on yet. It holds memory only while there is something.
    pending: BytesMut,
    /// Follows what was handed on.
    frames: Frames,
    /// Something was handed on that the writer may still hold.
    unflushed: bool,
    end: Ending,
}

/// How far the end of a direction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// Its reader may have more.
    Open,
    /// Its reader has ended; its writer has to hear of it.
    Read,
    /// Its writer has heard of it.
    Told,
}

impl Way {
    fn new(early: BytesMut) -> Self {
        let pending = if early.is_empty() { BytesMut::new() } else { early };
        Self { pending, frames: Frames::default(), unflushed: false, end: Ending::Open }
    }

    /// Hands on what there is, through `space`. Ready at the end of the direction.
    fn poll(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        space: &mut [MaybeUninit<u8>],
        watch: &mut Watch,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        for _ in 0..READS {
            while self.pending.has_remaining() {
                let written = some(ready!(Pin::new(&mut *to).poll_write(context, &self.pending))?)?;
                self.passed(written);
                watch.moved();
            }
            if self.unflushed {
                ready!(Pin::new(&mut *to).poll_flush(context))?;
                self.unflushed = false;
            }
            match self.end {
                Ending::Open => {}
                Ending::Read => {
                    // That side learns that the other is done, and may still have something to say.
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
            let written = match Pin::new(&mut *to).poll_write(context, read)? {
                Poll::Ready(written) => some(written)?,
                Poll::Pending => 0,
            };
            self.unflushed = true;
            let (passed, rest) = read.split_at_checked(written).unwrap_or((read, &[]));
            self.frames.follow(passed);
            if !rest.is_empty() {
                self.pending = BytesMut::from(rest);
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn passed(&mut self, written: usize) {
        self.frames.follow(self.pending.get(..written).unwrap_or_default());
        self.pending.advance(written);
        self.unflushed = true;
        if self.pending.is_empty() {
            self.pending = BytesMut::new();
        }
    }
}

/// How much was written; nothing of something is an error.
fn some(written: usize) -> io::Result<usize> {
    if written == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(written) }
}

#[cfg(test)]
mod tests;
