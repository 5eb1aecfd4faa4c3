//! The servers of an upstream, taken in turn. What a connection to one needs is made once, not for each request:
//! the proxy library's peer is a large thing to build, and to hash.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use pingora::lb::selection::RoundRobin;
use pingora::lb::{Backend, LoadBalancer};
use pingora::prelude::HttpPeer;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::upstreams::peer::{Peer, PeerOptions};

use super::idle::Idle;

/// One server, ready to be connected to.
#[derive(Clone, Debug)]
pub struct Server {
    peer: HttpPeer,
    reuse_hash: u64,
    idle: Arc<Idle>,
}

impl Server {
    fn new(peer: HttpPeer, keepalive: usize) -> Self {
        let idle = Arc::new(Idle::new(keepalive, peer.options.idle_timeout));
        Self { reuse_hash: peer.reuse_hash(), peer, idle }
    }

    /// Its connections on the direct path that wait for their next request.
    pub fn idle(&self) -> &Arc<Idle> {
        &self.idle
    }

    /// As the proxy library's own path wants it.
    pub fn peer(&self) -> &HttpPeer {
        &self.peer
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
