//! Listener that can be told to accept no more connections, while those that it has accepted go on.

use std::io::{self, IoSlice};
use std::net::{SocketAddr, TcpListener as StdListener};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// Intake of connections: whether a listener accepts, and what is open.
#[derive(Clone, Debug, Default)]
pub struct Intake {
    stop: CancellationToken,
    connections: TaskTracker,
}

impl Intake {
    /// Accepts no more connections, and closes the listening socket.
    pub fn stop(&self) {
        self.stop.cancel();
        self.connections.close();
    }

    /// Waits until the last connection has ended after a stop, at most for this time.
    pub async fn ended(&self, within: Duration) {
        // An error means that some are open.
        let _ = timeout(within, self.connections.wait()).await;
    }
}

/// TCP listener of the control plane.
pub(super) struct StoppableListener {
    listener: Option<TcpListener>,
    addr: SocketAddr,
    intake: Intake,
}

impl StoppableListener {
    /// Accepts until the intake stops.
    pub(super) fn new(listener: StdListener, intake: Intake) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        Ok(Self { addr: listener.local_addr()?, listener: Some(listener), intake })
    }
}

impl Listener for StoppableListener {
    type Io = CountedStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        if let Some(listener) = &mut self.listener {
            tokio::select! {
                (stream, peer) = Listener::accept(listener) => {
                    return (CountedStream { stream, _open: self.intake.connections.token() }, peer);
                }
                () = self.intake.stop.cancelled() => self.listener = None,
            }
        }
        // Those that were accepted go on as long as somebody waits here.
        std::future::pending().await
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(self.addr)
    }
}

/// Connection that is counted while it is open.
#[derive(Debug)]
pub(super) struct CountedStream {
    stream: TcpStream,
    _open: TaskTrackerToken,
}

impl AsyncRead for CountedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        read: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, read)
    }
}

impl AsyncWrite for CountedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
