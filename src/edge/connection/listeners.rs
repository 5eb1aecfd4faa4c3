//! Listeners of the edge, with and without TLS, as one service of the server that shares its threads.
//!
//! The life of a listener: it binds its address at the start, so that a taken address is an error there → it
//! listens once everything that it depends on is ready → each connection is served by its own task → it
//! closes when the server stops, and then the open connections are told.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use parking_lot::Mutex;
use pingora_core::server::{ListenFds, ShutdownWatch};
use pingora_core::services::Service;
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::{Instant, sleep};

use crate::edge::connection::service::EdgeService;
use crate::edge::connection::tls::handshakes::Handshakes;
use crate::edge::error::EdgeError;

/// Maximum number of connections that wait to be accepted, if the system allows as many.
const BACKLOG: u32 = 65_535;

/// Pause after the system had no room for another connection.
const PAUSE: Duration = Duration::from_millis(100);

/// Minimum time between two log lines about that.
const SAID_EVERY: Duration = Duration::from_secs(10);

/// Bound address that does not listen yet; the server's service starts it.
#[derive(Debug)]
pub struct Listener {
    addr: SocketAddr,
    socket: TcpSocket,
    tls: Option<Handshakes>,
}

impl Listener {
    /// Binds an address; with `tls`, for connections with TLS.
    ///
    /// # Errors
    /// The address is taken, or does not belong to this machine.
    pub fn bind(addr: SocketAddr, tls: Option<Handshakes>) -> Result<Self, EdgeError> {
        let bind = || {
            let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            // Old connections of a previous process may still be on the address.
            socket.set_reuseaddr(true)?;
            socket.bind(addr)?;
            Ok((socket.local_addr()?, socket))
        };
        let (addr, socket) = bind().map_err(|source| EdgeError::Listen { addr, source })?;
        Ok(Self { addr, socket, tls })
    }

    /// The address, with the port that the system has picked for port 0.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Accepts connections until the server stops.
    async fn run(self, edge: Arc<EdgeService>, mut shutdown: ShutdownWatch) {
        let Self { addr, socket, tls } = self;
        let listener = match socket.listen(BACKLOG) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(%addr, %error, "can't listen"),
        };
        let mut accepting = pin!(accept(listener, addr, edge, tls));
        tokio::select! {
            // An error means that the server has ended, which is a stop too.
            _ = shutdown.wait_for(|stop| *stop) => {}
            () = &mut accepting => {}
        }
    }
}

/// Accepts connections, for ever.
async fn accept(listener: TcpListener, addr: SocketAddr, edge: Arc<EdgeService>, tls: Option<Handshakes>) {
    let mut said: Option<Instant> = None;
    loop {
        let (stream, client) = match listener.accept().await {
            Ok(accepted) => accepted,
            // Only this connection failed, so there is no reason to wait.
            Err(error) if is_of_connection(&error) => continue,
            Err(error) => {
                if said.is_none_or(|said| said.elapsed() >= SAID_EVERY) {
                    tracing::error!(%addr, %error, "can't accept connections");
                    said = Some(Instant::now());
                }
                sleep(PAUSE).await;
                continue;
            }
        };
        // No Nagle delay: all writes are complete. If the connection is already gone, reading shows it.
        let _ = stream.set_nodelay(true);
        edge.accepted(stream, client, tls.clone());
    }
}

/// Whether the accepted connection failed, and not the listener.
fn is_of_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused
    )
}

/// Service of the listeners.
pub struct Listeners {
    edge: Arc<EdgeService>,
    listeners: Vec<Listener>,
    ended: Mutex<Option<BoxFuture<'static, ()>>>,
}

impl Listeners {
    /// A service for these listeners. `ended` runs when the server stops and the last connection has ended.
    pub fn new(
        edge: Arc<EdgeService>,
        listeners: Vec<Listener>,
        ended: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        Self { edge, listeners, ended: Mutex::new(Some(ended.boxed())) }
    }
}

#[async_trait]
impl Service for Listeners {
    async fn start_service(&mut self, _: Option<ListenFds>, shutdown: ShutdownWatch, _: usize) {
        let listeners = std::mem::take(&mut self.listeners);
        let running = listeners
            .into_iter()
            .map(|listener| tokio::spawn(listener.run(Arc::clone(&self.edge), shutdown.clone())));
        join_all(running).await;
        if !*shutdown.borrow() {
            return tracing::error!("no listener is left");
        }
        self.edge.close().await;
        let ended = self.ended.get_mut().take();
        if let Some(ended) = ended {
            ended.await;
        }
    }

    fn name(&self) -> &str {
        "edge"
    }
}
