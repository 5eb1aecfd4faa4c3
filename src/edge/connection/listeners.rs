//! Listeners of the edge, as one service of the server: what listens with TLS and what listens without share its threads.
//!
//! The life of a listener: it takes its address at the start, so that one which is taken already is an error there → it
//! listens once all that it depends on is ready → each connection is served by a task of its own → it closes when the
//! server stops, and then the connections that are open are told.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use pingora::server::{ListenFds, ShutdownWatch};
use pingora::services::Service;
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::{Instant, sleep};

use crate::edge::error::EdgeError;
use crate::edge::service::EdgeService;
use crate::edge::tls::handshakes::Handshakes;

/// The most connections that wait to be accepted, where the system allows as many.
const BACKLOG: u32 = 65_535;

/// How long nothing is accepted after the system had no room for another connection.
const PAUSE: Duration = Duration::from_millis(100);

/// How often it is said that the system has no room.
const SAID_EVERY: Duration = Duration::from_secs(10);

/// A place to listen at. Nobody is let in before the server starts its service.
#[derive(Debug)]
pub struct Listener {
    addr: SocketAddr,
    socket: TcpSocket,
    tls: Option<Handshakes>,
}

impl Listener {
    /// Takes this address, for connections with TLS where there are handshakes.
    ///
    /// # Errors
    /// It is taken, or not this machine's.
    pub fn bind(addr: SocketAddr, tls: Option<Handshakes>) -> Result<Self, EdgeError> {
        let bind = || {
            let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            // Connections of an edge before this one may linger on the address.
            socket.set_reuseaddr(true)?;
            socket.bind(addr)?;
            Ok((socket.local_addr()?, socket))
        };
        let (addr, socket) = bind().map_err(|source| EdgeError::Listen { addr, source })?;
        Ok(Self { addr, socket, tls })
    }

    /// Its address; the system has picked the port where it was to.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Lets connections in until the server stops.
    async fn run(self, edge: Arc<EdgeService>, mut shutdown: ShutdownWatch) {
        let Self { addr, socket, tls } = self;
        let listener = match socket.listen(BACKLOG) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(%addr, %error, "cannot listen"),
        };
        let mut accepting = pin!(accept(listener, addr, edge, tls));
        tokio::select! {
            // The end of the server itself counts as a stop.
            _ = shutdown.wait_for(|stop| *stop) => {}
            () = &mut accepting => {}
        }
    }
}

/// Lets connections in, for ever.
async fn accept(listener: TcpListener, addr: SocketAddr, edge: Arc<EdgeService>, tls: Option<Handshakes>) {
    let mut said: Option<Instant> = None;
    loop {
        let (stream, client) = match listener.accept().await {
            Ok(accepted) => accepted,
            // The connection's own end, and no reason to wait.
            Err(error) if is_of_connection(&error) => continue,
            Err(error) => {
                if said.is_none_or(|said| said.elapsed() >= SAID_EVERY) {
                    tracing::error!(%addr, %error, "no connection can be accepted");
                    said = Some(Instant::now());
                }
                sleep(PAUSE).await;
                continue;
            }
        };
        // What is written is written whole. A connection that is gone already shows it when it is read.
        let _ = stream.set_nodelay(true);
        tokio::spawn(Arc::clone(&edge).serve(stream, client, tls.clone()));
    }
}

/// Whether what failed is the connection that was to be accepted, and not the listener.
fn is_of_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused
    )
}

/// The service of the listeners.
pub struct Listeners {
    edge: Arc<EdgeService>,
    listeners: Vec<Listener>,
}

impl Listeners {
    /// Serves what comes in at these.
    pub fn new(edge: EdgeService, listeners: Vec<Listener>) -> Self {
        Self { edge: Arc::new(edge), listeners }
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
        self.edge.close();
    }

    fn name(&self) -> &str {
        "edge"
    }
}
