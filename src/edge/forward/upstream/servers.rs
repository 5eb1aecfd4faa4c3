//! Servers of an upstream, and round robin over the healthy ones. Pingora's peer is expensive to build and to hash, so
//! it is made once per server and not for each request.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::upstreams::peer::{ALPN, Peer, PeerOptions};

use super::health::{ServerAccess, ServerHealth};
use super::idle::Idle;
use super::shared::SharedConnections;

/// Server with everything that a connection needs.
#[derive(Clone, Debug)]
pub struct Server {
    peer: HttpPeer,
    /// The peer for connections that must use HTTP/1.1.
    http1: HttpPeer,
    reuse_hash: u64,
    idle: Arc<Idle>,
    shared: Arc<SharedConnections>,
    health: Arc<ServerHealth>,
}

impl Server {
    /// A server without connections.
    pub fn new(peer: HttpPeer, keepalive: usize, health: ServerHealth) -> Self {
        let idle = Arc::new(Idle::new(keepalive, peer.options.idle_timeout));
        let shared = Arc::new(SharedConnections::new(peer.options.idle_timeout));
        let mut http1 = peer.clone();
        http1.options.alpn = ALPN::H1;
        Self { reuse_hash: peer.reuse_hash(), peer, http1, idle, shared, health: Arc::new(health) }
    }

    /// Whether it is the server of this peer.
    pub fn is_as(&self, peer: &HttpPeer) -> bool {
        self.peer.address() == peer.address() && self.peer.sni() == peer.sni()
    }

    /// The idle connections over HTTP/1.1.
    pub fn idle(&self) -> &Arc<Idle> {
        &self.idle
    }

    /// The connections over HTTP/2; `None` if the server is used only over HTTP/1.1.
    pub fn shared(&self) -> Option<&Arc<SharedConnections>> {
        (self.peer.options.alpn != ALPN::H1).then_some(&self.shared)
    }

    /// The peer for a connection that must use HTTP/1.1.
    pub fn http1(&self) -> &HttpPeer {
        &self.http1
    }

    /// The health.
    pub fn health(&self) -> &ServerHealth {
        &self.health
    }

    /// The peer's options, such as timeouts.
    pub fn options(&self) -> &PeerOptions {
        &self.peer.options
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.peer.fmt(f)
    }
}

impl Peer for Server {
    fn address(&self) -> &SocketAddr {
        self.peer.address()
    }

    fn tls(&self) -> bool {
        self.peer.tls()
    }

    fn sni(&self) -> &str {
        self.peer.sni()
    }

    fn reuse_hash(&self) -> u64 {
        self.reuse_hash
    }

    fn get_peer_options(&self) -> Option<&PeerOptions> {
        self.peer.get_peer_options()
    }
}

/// Round robin over the healthy servers.
#[derive(Debug, Default)]
pub struct RoundRobin {
    servers: ArcSwap<Vec<Arc<Server>>>,
    next: AtomicUsize,
}

/// Servers that a request may be sent to.
#[derive(Clone, Copy, Debug)]
pub struct ServerChoice<'a> {
    /// Whether the request may be sent again if it fails.
    pub is_repeatable: bool,
    /// Servers that have failed the request.
    pub except: &'a [Option<Arc<Server>>],
    /// If no other server is left, one that is out because requests failed.
    pub even_out: bool,
}

impl RoundRobin {
    /// The servers, as they were last found.
    pub fn servers(&self) -> Arc<Vec<Arc<Server>>> {
        self.servers.load_full()
    }

    /// Replaces the servers.
    pub fn replace(&self, servers: Vec<Arc<Server>>) {
        self.servers.store(Arc::new(servers));
    }

    /// The next server; `None` if there is none for this request.
    pub fn next(&self, choice: ServerChoice<'_>) -> Option<ServerTurn> {
        let servers = self.servers.load();
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let (later, sooner) = servers.split_at(turn.checked_rem(servers.len())?);
        let in_turn = || {
            let may_be_asked =
                |server: &&Arc<Server>| server.health.passes_checks() && !choice.excludes(server);
            sooner.iter().chain(later).filter(may_be_asked)
        };
        let admitted = in_turn().find_map(|server| match server.health.admits(choice.is_repeatable) {
            ServerAccess::Open => Some(ServerTurn { server: Arc::clone(server), is_trial: false }),
            ServerAccess::Trial => Some(ServerTurn { server: Arc::clone(server), is_trial: true }),
            ServerAccess::Closed => None,
        });
        admitted.or_else(|| {
            let unwell = in_turn().find(|server| server.health.is_in());
            let any = unwell.or_else(|| in_turn().next().filter(|_| choice.even_out));
            any.map(|server| ServerTurn { server: Arc::clone(server), is_trial: false })
        })
    }
}

impl ServerChoice<'_> {
    fn excludes(&self, server: &Arc<Server>) -> bool {
        self.except.iter().flatten().any(|failed| Arc::ptr_eq(failed, server))
    }
}

/// Turn of a server: a request that is sent to it, and whose outcome tells its health.
#[derive(Debug)]
pub struct ServerTurn {
    server: Arc<Server>,
    /// The request tries a server that was out, and no other request does.
    is_trial: bool,
}

impl ServerTurn {
    /// The server.
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// Records that the server answered.
    pub fn answered(&mut self) {
        self.is_trial = false;
        self.server.health.answered();
    }

    /// Records that the server failed, in this way.
    pub fn failed(&mut self, kind: &str) {
        self.server.health.failed(std::mem::take(&mut self.is_trial), kind);
    }
}

impl Drop for ServerTurn {
    fn drop(&mut self) {
        if self.is_trial {
            self.server.health.given_up();
        }
    }
}
