//! The servers of an upstream, taken in turn. What a connection to one needs is made once, not for each request:
//! pingora's peer is a large thing to build, and to hash.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use pingora::lb::selection::RoundRobin;
use pingora::lb::{Backend, LoadBalancer};
use pingora::prelude::HttpPeer;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::upstreams::peer::{ALPN, Peer, PeerOptions};

use super::idle::Idle;
use super::shared::Shared;

/// One server, ready to be connected to.
#[derive(Clone, Debug)]
pub struct Server {
    peer: HttpPeer,
    /// The same for connections that speak HTTP/1.1 alone.
    http1: HttpPeer,
    reuse_hash: u64,
    idle: Arc<Idle>,
    shared: Arc<Shared>,
}

impl Server {
    fn new(peer: HttpPeer, keepalive: usize) -> Self {
        let idle = Arc::new(Idle::new(keepalive, peer.options.idle_timeout));
        let shared = Arc::new(Shared::new(peer.options.idle_timeout));
        let mut http1 = peer.clone();
        http1.options.alpn = ALPN::H1;
        Self { reuse_hash: peer.reuse_hash(), peer, http1, idle, shared }
    }

    /// Its connections over HTTP/1.1 that wait for their next request.
    pub fn idle(&self) -> &Arc<Idle> {
        &self.idle
    }

    /// Its connections over HTTP/2; `None` where it is only spoken to in HTTP/1.1.
    pub fn shared(&self) -> Option<&Arc<Shared>> {
        (self.peer.options.alpn != ALPN::H1).then_some(&self.shared)
    }

    /// The same server for a connection that has to speak HTTP/1.1.
    pub fn http1(&self) -> &HttpPeer {
        &self.http1
    }

    /// Timeouts and the like.
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

/// Whose turn it is.
pub struct Turns {
    balancer: Arc<LoadBalancer<RoundRobin>>,
    /// Whether some servers may be left out.
    checked: bool,
    /// How many idle connections are kept for each.
    keepalive: usize,
    known: ArcSwap<Known>,
    next: AtomicUsize,
}

/// The servers of one look-up.
#[derive(Default)]
struct Known {
    found: Arc<BTreeSet<Backend>>,
    servers: Vec<(Backend, Arc<Server>)>,
}

impl Turns {
    /// The servers that `balancer` looks up, and checks if it is told to.
    pub fn new(balancer: Arc<LoadBalancer<RoundRobin>>, checked: bool, keepalive: usize) -> Self {
        Self { balancer, checked, keepalive, known: ArcSwap::default(), next: AtomicUsize::new(0) }
    }

    /// The next server; `None` while none is healthy. `peer` makes one that is new.
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
            self.known.store(Arc::new(Known { found, servers }));
            known = self.known.load();
        }
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let (later, sooner) = known.servers.split_at(turn.checked_rem(known.servers.len())?);
        let mut in_turn = sooner.iter().chain(later);
        let (_, server) = in_turn.find(|(backend, _)| !self.checked || backends.ready(backend))?;
        Some(Arc::clone(server))
    }
}
