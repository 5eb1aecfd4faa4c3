//! Listener that can be told to accept no more connections, while those that it has accepted go on.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener as StdListener};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::telemetry::tally::Tally;

/// Time until it is tried again to accept a connection, after the system has refused to, as it does where the process has
/// no descriptor left.
const PAUSE: Duration = Duration::from_millis(100);

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
    refused: Tally,
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
        let refused = Tally::new(|tries, last| {
            tracing::error!(tries, error = last, "the admin side can't accept connections");
        });
        Ok(Self { addr, listener, intake, refused })
    }

    /// The address.
    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The next connection. Once the intake has stopped, there is none.
    pub(super) async fn accept(&mut self) -> Accepted {
        while let Some(listener) = &self.listener {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => return Accepted { stream, peer, open: self.intake.connections.token() },
                    Err(error) if is_of_one_connection(&error) => {}
                    Err(error) => {
                        self.refused.count(error.to_string());
                        sleep(PAUSE).await;
                    }
                },
                () = self.intake.stop.cancelled() => self.listener = None,
            }
        }
        // Those that were accepted go on as long as somebody waits here.
        std::future::pending().await
    }
}

/// Whether only the connection was at fault.
fn is_of_one_connection(error: &io::Error) -> bool {
    let kinds = [ErrorKind::ConnectionAborted, ErrorKind::ConnectionReset, ErrorKind::ConnectionRefused];
    kinds.contains(&error.kind())
}
