//! What is measured: an edge, or one of its peers, before the same upstreams.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use bench_support::ground::Ground;
use bench_support::process::{self, Running};

use crate::Settings;
use crate::edge::{Edge, Spec};
use crate::load::Target;
use crate::peers::{Peer, PeerSpec};
use crate::proc;

/// Connections that a peer may have: of one process HAProxy counts both sides, and its limit on descriptors holds.
const CONNECTIONS: usize = 8192;

/// A running one, ended when dropped.
pub struct Subject {
    pub title: &'static str,
    pub target: Target,
    held: Held,
}

enum Held {
    Edge(Box<Edge>),
    Peer(Box<(Running, Ground)>),
}

/// How long a server is waited for, as embedgate and nginx ship.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// What a subject stands before.
pub struct Before {
    pub servers: Vec<SocketAddr>,
    /// How long a silent server is waited for.
    pub read_timeout: Duration,
}

impl Before {
    /// One server, that is waited for as long as usual.
    pub fn server(addr: SocketAddr) -> Self {
        Self { servers: vec![addr], read_timeout: READ_TIMEOUT }
    }
}

impl Subject {
    /// An edge as it ships.
    pub fn edge(settings: &Settings, before: &Before) -> Result<Self> {
        Self::edge_with(settings, before, Spec::default())
    }

    /// An edge that differs from one as it ships.
    pub fn edge_with(settings: &Settings, before: &Before, spec: Spec<'_>) -> Result<Self> {
        let (first, more_servers) = before.servers.split_first().context("servers")?;
        let upstream_keys = &format!("read_timeout = \"{}ms\"", before.read_timeout.as_millis());
        let spec = Spec { more_servers, upstream_keys, ..spec };
        let edge = Edge::start(&settings.binary, *first, spec)?;
        Ok(Self { title: "embedgate", target: edge.target(), held: Held::Edge(Box::new(edge)) })
    }

    /// A peer.
    pub fn peer(peer: Peer, before: &Before) -> Result<Self> {
        let first = before.servers.first().context("servers")?;
        let ground = Ground::new(env!("CARGO_TARGET_TMPDIR"), *first)?;
        let spec = PeerSpec {
            servers: before.servers.clone(),
            connections: CONNECTIONS,
            requests: None,
            read_timeout: before.read_timeout,
        };
        let (running, target) = peer.start(&ground, &spec)?;
        Ok(Self { title: peer.title(), target, held: Held::Peer(Box::new((running, ground))) })
    }

    /// All three, one after the other, each ended before the next.
    pub fn each(
        settings: &Settings,
        before: &Before,
        mut show: impl FnMut(&Self) -> Result<()>,
    ) -> Result<()> {
        show(&Self::edge(settings, before)?)?;
        Peer::ALL.into_iter().try_for_each(|peer| show(&Self::peer(peer, before)?))
    }

    /// The edge, if it is one.
    pub fn as_edge(&self) -> Option<&Edge> {
        match &self.held {
            Held::Edge(edge) => Some(edge),
            Held::Peer(_) => None,
        }
    }

    fn running(&self) -> &Running {
        match &self.held {
            Held::Edge(edge) => edge.running(),
            Held::Peer(peer) => &peer.0,
        }
    }

    /// Processor time so far.
    pub fn cpu(&self) -> Duration {
        self.running().cpu()
    }

    /// Resident bytes, those that processes share counted for each: it is the growth that counts.
    fn resident(&self) -> u64 {
        self.family().map(|id| proc::resident(id).unwrap_or(0)).sum()
    }

    /// Open descriptors of all its processes.
    pub fn descriptors(&self) -> usize {
        self.family().map(|id| proc::descriptors(id).unwrap_or(0)).sum()
    }

    /// Its processes; a peer has workers.
    fn family(&self) -> impl Iterator<Item = u32> {
        let id = self.running().id();
        std::iter::once(id).chain(process::children(id))
    }
}

/// Watches the most memory that it has had since.
pub struct Memory {
    before: u64,
    most: u64,
}

impl Memory {
    pub fn of(subject: &Subject) -> Self {
        let before = subject.resident();
        Self { before, most: before }
    }

    /// Looks again.
    pub fn look(&mut self, subject: &Subject) -> u64 {
        let now = subject.resident();
        self.most = self.most.max(now);
        now
    }

    /// By how much it has grown at most.
    pub fn growth(&self) -> u64 {
        self.most - self.before
    }

    /// By how much this is more than at first.
    pub fn left(&self, now: u64) -> u64 {
        now.saturating_sub(self.before)
    }
}

/// Bytes as people read them.
pub fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
