//! Listeners of the edge, with and without TLS.
//!
//! The life of a listener: it binds its address at the start, so that a taken address is an error there, or takes over
//! a socket that is open already → it listens once everything that it depends on is ready → each connection is served
//! by its own task → it closes when the process stops or another one takes over, and then the open connections are told.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;

use crate::edge::connection::service::EdgeService;
use crate::edge::error::EdgeError;
use crate::sockets;
use crate::telemetry::tally::Tally;

/// Maximum number of connections that wait to be accepted, if the system allows as many.
const BACKLOG: u32 = 65_535;

/// Maximum number of unsent bytes that the system takes for a client. It tells that a client has read something once half
/// of them are sent.
const MOST_UNSENT: u32 = 64 * 1024;

/// Listener that does not accept yet.
#[derive(Debug)]
pub struct Listener {
    addr: SocketAddr,
    socket: Socket,
    kind: ListenerKind,
}

/// What connections of a listener begin with.
#[derive(Clone, Copy, Debug)]
pub struct ListenerKind {
    /// The place among the listeners with TLS; `None`: without TLS.
    pub tls: Option<usize>,
    /// A header of the PROXY protocol comes first.
    pub proxy_protocol: bool,
}

impl ListenerKind {
    /// The key of the configuration that names such a listener.
    pub fn key(self) -> &'static str {
        if self.tls.is_some() { "edge.tls.listen" } else { "edge.listen" }
    }
}

/// Socket of a listener.
#[derive(Debug)]
enum Socket {
    /// It has its address, and does not listen yet.
    Bound(TcpSocket),
    /// It was opened by another process, and listens.
    Open(StdListener),
}

impl Listener {
    /// Binds an address.
    ///
    /// # Errors
    /// The address is taken, or does not belong to this machine.
    pub fn bind(addr: SocketAddr, kind: ListenerKind) -> Result<Self, EdgeError> {
        let bind = || {
            let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            // Old connections of a previous process may still be on the address.
            socket.set_reuseaddr(true)?;
            socket.bind(addr)?;
            Ok((socket.local_addr()?, socket))
        };
        let key = kind.key();
        let (addr, socket) = bind().map_err(|source| EdgeError::Listen { key, addr, source })?;
        Ok(Self { addr, socket: Socket::Bound(socket), kind })
    }

    /// Takes over a socket that another process has opened.
    pub fn inherit(addr: SocketAddr, socket: StdListener, kind: ListenerKind) -> Self {
        Self { addr, socket: Socket::Open(socket), kind }
    }

    /// The address, with the port that the system has picked for port 0.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Accepts connections from now on.
    ///
    /// # Errors
    /// The system refuses.
    pub fn accept(self, edge: &Arc<EdgeService>) -> Result<Accepting, EdgeError> {
        let Self { addr, socket, kind } = self;
        let listen = || match socket {
            Socket::Bound(socket) => socket.listen(BACKLOG),
            Socket::Open(socket) => {
                socket.set_nonblocking(true)?;
                TcpListener::from_std(socket)
            }
        };
        let key = kind.key();
        let listener = Arc::new(listen().map_err(|source| EdgeError::Listen { key, addr, source })?);
        // Accepted connections inherit it. Without it, the system keeps megabytes for a client that does not read. An error
        // changes nothing else.
        let _ = SockRef::from(&*listener).set_tcp_notsent_lowat(MOST_UNSENT);
        let task = tokio::spawn(accept(Arc::clone(&listener), addr, Arc::clone(edge), kind));
        Ok(Accepting { addr, listener, task })
    }
}

/// Listener that accepts connections.
#[derive(Debug)]
pub struct Accepting {
    addr: SocketAddr,
    listener: Arc<TcpListener>,
    task: JoinHandle<()>,
}

impl Accepting {
    /// The address.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The listening socket.
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    /// Accepts no more connections. Those that nobody has accepted are left to a process that has the socket, too.
    pub async fn stop(self) {
        self.task.abort();
        // An error means that it was aborted, as asked.
        let _ = self.task.await;
    }
}

/// Accepts connections, for ever.
async fn accept(listener: Arc<TcpListener>, addr: SocketAddr, edge: Arc<EdgeService>, kind: ListenerKind) {
    let gauge = edge.gauge(addr);
    let failed = Tally::new(|times, last| tracing::error!(times, last, "can't accept connections"));
    let refused = Tally::new(|times, last| tracing::warn!(times, "connections are refused: {last}"));
    loop {
        let (stream, client) = sockets::accept(&listener, &failed).await;
        // No Nagle delay: all writes are complete. If the connection is already gone, reading shows it.
        let _ = stream.set_nodelay(true);
        if let Err(reason) = edge.accepted(stream, client, kind, gauge.opened())
            && let Some(bound) = reason.of_process()
        {
            refused.count(bound.to_owned());
        }
    }
}
