//! The copying between browser and upstream, on any two connections: both directions at once, each waiting for its
//! own writer before it reads on, so that neither side can make the edge keep what the other doesn't take.

use std::io;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::time::timeout;

use super::frames::{Close, Frames};
use super::limits::{Limits, Overdue, Progress};

/// How much is read at once. A waiting tunnel holds this much for each direction.
const BUFFER: usize = 4 * 1024;

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
    up: Up<B, U>,
    down: Down<B, U>,
}

impl<B, U> Relay<B, U>
where
    B: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    /// Takes the two over. `early` is what each side sent together with its handshake: browser's, upstream's.
    pub fn new(browser: B, upstream: U, early: (Bytes, Bytes)) -> Self {
        let (browser_read, browser_write) = split(browser);
        let (upstream_read, upstream_write) = split(upstream);
        Self {
            up: Up::new(browser_read, upstream_write, early.0),
            down: Down {
                from: upstream_read,
                to: browser_write,
                pending: early.1.into(),
                frames: Frames::default(),
            },
        }
    }

    /// Copies both ways until both sides ended, one broke, a limit is reached or `revoked` says so.
    pub async fn run<T>(&mut self, limits: Limits, revoked: impl Future<Output = T>) -> End {
        let progress = Progress::new();
        let both = async { tokio::try_join!(self.up.run(&progress), self.down.run(&progress)) };
        tokio::select! {
            biased;
            _ = revoked => End::Revoked,
            _ = both => End::Over,
            overdue = progress.overdue(limits) => End::Overdue(overdue),
        }
    }

    /// Sends the browser a Close frame behind the frame under way. `false`: that frame took too long, or the
    /// upstream had sent a Close frame itself, and there is none of the edge's.
    pub async fn close(&mut self, close: Close) -> bool {
        let down = &mut self.down;
        let closing = async {
            down.finish_frame().await?;
            let own = !down.frames.is_closed();
            if own {
                down.to.write_all(&close.to_bytes()).await?;
            }
            down.to.flush().await?;
            io::Result::Ok(own)
        };
        matches!(timeout(FRAME_END, closing).await, Ok(Ok(true)))
    }

    /// Waits for the browser's own Close frame, as a server does before it ends the connection (RFC 6455 §7.1.1).
    pub async fn answered(&mut self) {
        let up = &mut self.up;
        let answer = async {
            while !up.frames.is_closed() && up.read().await? {
                up.pending.clear();
            }
            io::Result::Ok(())
        };
        let _ = timeout(GOODBYE, answer).await;
    }

    /// Ends both connections. The upstream's at once, the browser's when it has nothing more to say.
    pub async fn finish(self) {
        let Self { up: Up { from, to, .. }, down: Down { from: upstream, to: browser, .. } } = self;
        let mut browser = from.unsplit(browser);
        let mut upstream = upstream.unsplit(to);
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

/// From the browser to the upstream.
struct Up<B, U> {
    from: ReadHalf<B>,
    to: WriteHalf<U>,
    pending: BytesMut,
    /// Follows what was read.
    frames: Frames,
}

impl<B: AsyncRead + Unpin, U: AsyncWrite + Unpin> Up<B, U> {
    fn new(from: ReadHalf<B>, to: WriteHalf<U>, early: Bytes) -> Self {
        let mut frames = Frames::default();
        frames.follow(&early);
        Self { from, to, pending: early.into(), frames }
    }

    /// `false` at the end.
    async fn read(&mut self) -> io::Result<bool> {
        let some = read(&mut self.from, &mut self.pending).await?;
        self.frames.follow(&self.pending);
        Ok(some)
    }

    async fn run(&mut self, progress: &Progress) -> io::Result<()> {
        loop {
            while self.pending.has_remaining() {
                self.to.write_buf(&mut self.pending).await?;
                progress.made();
            }
            self.to.flush().await?;
            if !self.read().await? {
                // The upstream learns that the browser is done, and may still have something to say.
                self.to.shutdown().await?;
                progress.half_closed();
                return Ok(());
            }
            progress.made();
        }
    }
}

/// From the upstream to the browser. Whenever its future is dropped, `frames` has followed exactly the bytes that
/// were handed to the browser's connection, and `pending` holds those that come next.
struct Down<B, U> {
    from: ReadHalf<U>,
    to: WriteHalf<B>,
    pending: BytesMut,
    frames: Frames,
}

impl<B: AsyncWrite + Unpin, U: AsyncRead + Unpin> Down<B, U> {
    async fn run(&mut self, progress: &Progress) -> io::Result<()> {
        loop {
            while self.pending.has_remaining() {
                let written = self.to.write(&self.pending).await?;
                if written == 0 {
                    return Err(io::ErrorKind::WriteZero.into());
                }
                self.passed(written);
                progress.made();
            }
            self.to.flush().await?;
            if !read(&mut self.from, &mut self.pending).await? {
                self.to.shutdown().await?;
                progress.half_closed();
                return Ok(());
            }
            progress.made();
        }
    }

    /// Passes on what is left of the frame under way, and not a byte of the next.
    async fn finish_frame(&mut self) -> io::Result<()> {
        while !self.frames.at_boundary() {
            if self.pending.is_empty() && !read(&mut self.from, &mut self.pending).await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let of_frame = self.frames.clone().advance(&self.pending);
            let rest = self.pending.get(..of_frame).unwrap_or_default();
            let written = self.to.write(rest).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.passed(written);
        }
        Ok(())
    }

    fn passed(&mut self, written: usize) {
        self.frames.follow(self.pending.get(..written).unwrap_or_default());
        self.pending.advance(written);
    }
}

/// Reads into an empty buffer; `false` at the end.
async fn read(from: &mut (impl AsyncRead + Unpin), buffer: &mut BytesMut) -> io::Result<bool> {
    buffer.reserve(BUFFER);
    // What came early may have been more; it isn't kept room for.
    if buffer.capacity() > BUFFER {
        *buffer = BytesMut::with_capacity(BUFFER);
    }
    Ok(from.read_buf(buffer).await? > 0)
}

#[cfg(test)]
mod tests;
