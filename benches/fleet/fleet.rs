//! A fleet: servers, edges, the upstream behind them, and what can be told of all of them together.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use bench_support::ports;
use bench_support::upstream::{Answers, serve};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::Settings;
use crate::admin::{Member, Status};
use crate::edge::{Edge, Parts};
use crate::relay::Link;
use crate::servers::Servers;

/// The longest that an edge may take to start.
const START: Duration = Duration::from_secs(60);
/// Between two looks at the fleet.
const PAUSE: Duration = Duration::from_millis(20);
/// A key that only these edges have.
const TICKET_KEY: &str = "ZW1iZWRnYXRlLWJlbmNoLWZsZWV0LXRpY2tldC1rZXk=\n";

/// How a fleet is made.
#[derive(Clone, Copy, Default)]
pub struct Plan<'p> {
    pub edges: usize,
    pub servers: usize,
    /// Every edge has a link of its own, which can be cut.
    pub linked: bool,
    /// Over TLS with certificates on both sides.
    pub tls: bool,
    /// The folder of the servers' data, if not their own.
    pub store: Option<&'p Path>,
    /// The `policy.max_staleness` of the edges, if any.
    pub max_staleness: Option<&'p str>,
}

pub struct Fleet {
    // First, so that edges end while there are servers to sign off at.
    pub edges: Vec<Edge>,
    pub servers: Servers,
    upstream: JoinHandle<()>,
    addr: SocketAddr,
}

impl Fleet {
    /// All of it, running.
    pub async fn start(settings: &Settings, plan: Plan<'_>) -> Result<Self> {
        let servers = Servers::start(&settings.nats, plan.servers, plan.tls, plan.store).await?;
        let keys = servers.folder().join("ticket.keys");
        fs::write(&keys, TICKET_KEY)?;
        fs::set_permissions(&keys, fs::Permissions::from_mode(0o600))?;
        let addr = ports::free();
        let listener = TcpListener::bind(addr).await?;
        let answers: &'static Answers = Box::leak(Box::new(Answers::new("")));
        let upstream = tokio::spawn(async move { drop(serve(&listener, answers).await) });
        let mut this = Self { servers, edges: Vec::new(), upstream, addr };
        for _ in 0..plan.edges {
            this.add(settings, plan).await?.begin()?;
        }
        for edge in &mut this.edges {
            edge.ready(START).await?;
        }
        this.settled(START).await?;
        Ok(this)
    }

    /// One more edge, which is not started yet.
    pub async fn add(&mut self, settings: &Settings, plan: Plan<'_>) -> Result<&mut Edge> {
        let name = format!("edge-{}", self.edges.len() + 1);
        let mut addrs = self.servers.addrs();
        let link = if plan.linked { Some(Link::open(&addrs).await?) } else { None };
        if let Some(link) = &link {
            addrs.clone_from(&link.addrs);
        }
        let scheme = self.servers.scheme();
        let keys = self.servers.folder().join("ticket.keys");
        let edge = Edge::prepare(Parts {
            name,
            binary: &settings.binary,
            upstream: self.addr,
            servers: addrs.iter().map(|addr| format!("{scheme}://{addr}")).collect(),
            link,
            ticket_keys: &keys,
            max_staleness: plan.max_staleness,
            keys: if plan.tls {
                r#"tls = { ca = "ca.pem", cert = "nats.pem", key = "nats.key" }"#
            } else {
                ""
            },
        })?;
        if let Some(authority) = &self.servers.authority {
            authority.write(edge.ground.folder())?;
            authority.issue(edge.ground.folder(), "nats", START * 60)?;
        }
        self.edges.push(edge);
        Ok(self.edges.last_mut().expect("it was pushed"))
    }

    /// Waits until every edge enforces the same book, as the first edge is told by all; how long that took.
    pub async fn settled(&self, patience: Duration) -> Result<Duration> {
        let started = Instant::now();
        let mut admin = self.edges[0].admin();
        loop {
            let status = admin.fleet().await;
            let fault = match &status {
                Ok(status) => self.unsettled(status),
                Err(error) => Some(format!("{error:#}")),
            };
            let Some(fault) = fault else { return Ok(started.elapsed()) };
            if started.elapsed() > patience {
                bail!("not the same book on all edges after {patience:?}: {fault}");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// What is not as it should be.
    fn unsettled(&self, status: &Status) -> Option<String> {
        if let Some(fault) = &status.fault {
            return Some(format!("fault {}", fault.code));
        }
        let Some(first) = status.edges.first() else { return Some("no edge is known".to_owned()) };
        let is_as_first = |edge: &Member| {
            let is_current = edge.state == "current" && edge.digest.is_some();
            is_current && (&first.digest, first.sequence) == (&edge.digest, edge.sequence)
        };
        let is_settled = status.connected
            && status.edges.len() == self.edges.len()
            && status.edges.iter().all(is_as_first);
        let edges = || status.edges.iter().map(Member::to_string).collect::<Vec<_>>().join(", ");
        (!is_settled).then(edges)
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.upstream.abort();
    }
}
