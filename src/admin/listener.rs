//! Listener that can be told to accept no more connections, while those that it has accepted go on.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::sockets;
use crate::telemetry::tally::Tally;

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
pub struct StoppableListener {
    addr: SocketAddr,
    listener: Option<TcpListener>,
    intake: Intake,
    failed: Tally,
}

/// Connection that was accepted.
pub(super) struct Accepted {
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
    /// Counts it while it is open.
    pub(super) open: TaskTrackerToken,
}

impl StoppableListener {
    /// Accepts until the intake stops.
    ///
    /// # Errors
    ///
    /// The socket can't be used.
    pub fn new(listener: StdListener, intake: Intake) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let listener = Some(TcpListener::from_std(listener)?);
        let failed = Tally::new(|tries, last| {
            tracing::error!(tries, error = last, "the admin side can't accept connections");
        });
        Ok(Self { addr, listener, intake, failed })
    }

    /// The address.
    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The next connection. Once the intake has stopped, there is none.
    pub(super) async fn accept(&mut self) -> Accepted {
        while let Some(listener) = &self.listener {
            tokio::select! {
                (stream, peer) = sockets::accept(listener, &self.failed) => {
                    return Accepted { stream, peer, open: self.intake.connections.token() };
                }
                () = self.intake.stop.cancelled() => self.listener = None,
            }
        }
        // Those that were accepted go on as long as somebody waits here.
        std::future::pending().await
    }
}
