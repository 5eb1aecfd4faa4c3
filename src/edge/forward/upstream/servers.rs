//! Round robin over the healthy servers of an upstream. Pingora's peer is expensive to build and to hash, so
//! it is made once per server and not for each request.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::upstreams::peer::{ALPN, Peer, PeerOptions};
use pingora_load_balancing::selection;
use pingora_load_balancing::{Backend, LoadBalancer};

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
}

impl Server {
    fn new(peer: HttpPeer, keepalive: usize) -> Self {
        let idle = Arc::new(Idle::new(keepalive, peer.options.idle_timeout));
        let shared = Arc::new(SharedConnections::new(peer.options.idle_timeout));
        let mut http1 = peer.clone();
        http1.options.alpn = ALPN::H1;
        Self { reuse_hash: peer.reuse_hash(), peer, http1, idle, shared }
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
pub struct RoundRobin {
    balancer: Arc<LoadBalancer<selection::RoundRobin>>,
    /// Whether there are health checks, so that servers may be skipped.
    checked: bool,
    /// Maximum number of idle connections per server.
    keepalive: usize,
    known: ArcSwap<ResolvedServers>,
    next: AtomicUsize,
}

/// Servers of one lookup.
#[derive(Default)]
struct ResolvedServers {
    found: Arc<BTreeSet<Backend>>,
    servers: Vec<(Backend, Arc<Server>)>,
}

impl RoundRobin {
    /// Round robin over the servers that `balancer` looks up and, with `checked`, checks.
    pub fn new(balancer: Arc<LoadBalancer<selection::RoundRobin>>, checked: bool, keepalive: usize) -> Self {
        Self { balancer, checked, keepalive, known: ArcSwap::default(), next: AtomicUsize::new(0) }
    }

    /// The next server; `None` while none is healthy. `peer` builds the peer of a new server.
    pub fn next(&self, peer: impl Fn(&Backend) -> Option<HttpPeer>) -> Option<Arc<Server>> {
        let backends = self.balancer.backends();
        let found = backends.get_backend();
        let mut known = self.known.load();
        if !Arc::ptr_eq(&known.found, &found) {
            let server = |backend: &Backend| {
                let server = Server::new(peer(backend)?, self.keepalive);
                Some((backend.clone(), Arc::new(server)))
            };
            let servers = found.iter().filter_map(server).collect();
            self.known.store(Arc::new(ResolvedServers { found, servers }));
            known = self.known.load();
        }
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let (later, sooner) = known.servers.split_at(turn.checked_rem(known.servers.len())?);
        let mut in_turn = sooner.iter().chain(later);
        let (_, server) = in_turn.find(|(backend, _)| !self.checked || backends.ready(backend))?;
        Some(Arc::clone(server))
    }
}
