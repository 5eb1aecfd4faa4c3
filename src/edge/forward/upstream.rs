//! Upstreams: groups of equal servers with round robin and health checks.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::join_all;
use http::HeaderValue;
use pingora_core::ErrorType;
use pingora_core::protocols::tls::CaType;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::upstreams::peer::{ALPN, PeerOptions};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio_util::task::AbortOnDropHandle;

use super::failure;
use crate::config::{self, Servers};
use crate::edge::error::EdgeError;
use crate::telemetry::metrics::{AnswerDuration, UpstreamMetrics};
use crate::telemetry::upstream_servers::UpstreamServer;

mod checks;
mod connector;
mod health;
mod idle;
mod lookup;
mod servers;
mod shared;

pub use connector::Connector;
pub use servers::{Server, ServerChoice, ServerTurn};
pub use shared::StreamSlot;

use checks::HealthChecks;
use health::ServerHealth;
use lookup::{FoundServers, NameLookup};
use servers::RoundRobin;

/// Error type: no server of the upstream is healthy.
pub const NO_SERVER: ErrorType = ErrorType::Custom("NoHealthyServer");

/// Upstreams of this edge, by name.
#[derive(Debug, Default)]
pub struct Upstreams(BTreeMap<Arc<str>, Arc<Upstream>>);

impl Upstreams {
    /// Prepares every upstream of the configuration. `builtin` is the address of the demo, if there is one. An upstream
    /// that is the same as a `running` one is that one, with its connections.
    ///
    /// # Errors
    ///
    /// A file of authorities or the path of a health check can't be used.
    pub fn prepare(
        configured: &BTreeMap<Arc<str>, config::UpstreamSettings>,
        builtin: Option<SocketAddr>,
        running: Option<&Self>,
    ) -> Result<Self, EdgeError> {
        let mut upstreams = BTreeMap::new();
        for (name, upstream) in configured {
            let servers = match (upstream, builtin) {
                (config::UpstreamSettings::Servers(servers), _) => servers.as_ref().clone(),
                (config::UpstreamSettings::Builtin, Some(addr)) => {
                    Servers::plain(vec![config::ServerAddress::Ip(addr)])
                }
                (config::UpstreamSettings::Builtin, None) => continue,
            };
            let same = running.and_then(|running| running.get(name)).filter(|known| known.is_as(&servers));
            let upstream = match same {
                Some(same) => Arc::clone(same),
                None => Arc::new(Upstream::prepare(name.clone(), servers)?),
            };
            upstreams.insert(name.clone(), upstream);
        }
        Ok(Self(upstreams))
    }

    /// Looks up the servers of every upstream that has not begun to, and goes on to look them up and check them for as
    /// long as the upstream exists.
    pub async fn start(&self, metrics: &UpstreamMetrics) {
        join_all(self.0.values().map(|upstream| upstream.start(metrics))).await;
    }

    /// The servers of all upstreams, by upstream and address.
    pub fn servers(&self) -> Vec<UpstreamServer> {
        let of_upstream = |upstream: &Arc<Upstream>| {
            let server = |server: &Arc<Server>| UpstreamServer {
                upstream: upstream.name.to_string(),
                server: server.health().server().to_owned(),
                healthy: server.health().is_healthy(),
            };
            let mut servers: Vec<_> = upstream.group.rotation.servers().iter().map(server).collect();
            servers.sort_by(|a, b| a.server.cmp(&b.server));
            servers
        };
        self.0.values().flat_map(of_upstream).collect()
    }

    /// The upstream with this name.
    pub fn get(&self, name: &str) -> Option<&Arc<Upstream>> {
        self.0.get(name)
    }
}

/// Upstream: a group of equal servers.
pub struct Upstream {
    name: Arc<str>,
    /// The settings that it was made from.
    settings: Servers,
    group: Arc<ServerGroup>,
    /// What the upstream has from its start to its end.
    running: OnceLock<RunningUpstream>,
    host: Option<HeaderValue>,
}

/// Servers of an upstream, and how they are found and checked.
struct ServerGroup {
    lookup: NameLookup,
    checks: Option<HealthChecks>,
    rotation: RoundRobin,
    template: ServerTemplate,
}

/// What the servers of an upstream have in common.
struct ServerTemplate {
    upstream: Arc<str>,
    /// Id that separates the connections of upstreams, because each was opened under its upstream's own
    /// authorities.
    pool: u64,
    tls: Option<Tls>,
    options: PeerOptions,
    /// Maximum number of idle connections per server.
    keepalive: usize,
}

struct RunningUpstream {
    /// The task that looks up and checks the servers; it ends with the upstream.
    _task: AbortOnDropHandle<()>,
    metrics: UpstreamMetrics,
    duration: AnswerDuration,
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstream").field("name", &self.name).finish_non_exhaustive()
    }
}

#[derive(Clone, Debug)]
struct Tls {
    /// The name to ask for; `None`: each server's own name.
    sni: Option<String>,
}

impl Upstream {
    fn prepare(name: Arc<str>, settings: Servers) -> Result<Self, EdgeError> {
        static POOLS: AtomicU64 = AtomicU64::new(0);
        let options = peer_options(&settings)?;
        let template = ServerTemplate {
            upstream: Arc::clone(&name),
            pool: POOLS.fetch_add(1, Ordering::Relaxed),
            tls: settings.tls.as_ref().map(|tls| Tls { sni: tls.sni.clone() }),
            options,
            keepalive: settings.keepalive,
        };
        let checks = settings.health_check.as_ref().map(|check| {
            let names = settings.servers.iter().map(|server| template.sni(server.name(), server.ip()));
            HealthChecks::new(&settings, check, &template.options, names.collect())
        });
        let checks = checks.transpose()?;
        let lookup = NameLookup::new(settings.servers.clone(), settings.dns_interval);
        let group = Arc::new(ServerGroup { lookup, checks, rotation: RoundRobin::default(), template });
        let host = settings.host.clone();
        Ok(Self { name, settings, group, running: OnceLock::new(), host })
    }

    /// Whether these settings would make the same upstream. A file of authorities may have changed.
    fn is_as(&self, settings: &Servers) -> bool {
        self.settings == *settings && settings.tls.as_ref().is_none_or(|tls| tls.ca.is_none())
    }

    async fn start(&self, metrics: &UpstreamMetrics) {
        if self.running.get().is_some() {
            return;
        }
        self.group.found(self.group.lookup.find().await, metrics);
        let task = AbortOnDropHandle::new(tokio::spawn(Arc::clone(&self.group).run(metrics.clone())));
        metrics.start_counting(&self.name, &failure::KINDS);
        let duration = metrics.duration(&self.name);
        // One that was started meanwhile goes on, and this one ends.
        let _ = self.running.set(RunningUpstream { _task: task, metrics: metrics.clone(), duration });
    }

    /// The name in the configuration, for logs and metrics.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same, to keep.
    pub fn shared_name(&self) -> &Arc<str> {
        &self.name
    }

    /// The `Host` for the servers; `None`: the browser's.
    pub fn host(&self) -> Option<&HeaderValue> {
        self.host.as_ref()
    }

    /// The next server for a request; `None` if there is none.
    pub fn next_server(&self, choice: ServerChoice<'_>) -> Option<ServerTurn> {
        self.group.rotation.next(choice)
    }

    /// Looks up the names of the servers soon, because one of them can't be reached.
    pub fn look_up_again(&self) {
        self.group.lookup.hurry();
    }

    /// Counts a failed try that another one follows.
    pub fn count_failure(&self, kind: &str) {
        if let Some(running) = self.running.get() {
            running.metrics.failed(&self.name, kind);
        }
    }

    /// Counts an answer whose head came so long after the first try.
    pub fn count_answer(&self, took: Duration) {
        if let Some(running) = self.running.get() {
            running.duration.observe(took.as_secs_f64());
        }
    }
}

impl ServerGroup {
    /// Looks up and checks the servers again and again.
    async fn run(self: Arc<Self>, metrics: UpstreamMetrics) {
        let names = self.lookup.follow(|found| self.found(found, &metrics));
        match &self.checks {
            Some(checks) => drop(tokio::join!(names, checks.run(&self.rotation))),
            None => names.await,
        }
    }

    /// Takes over the servers of a lookup. Those that are known stay, with their connections and their health.
    fn found(&self, found: FoundServers, metrics: &UpstreamMetrics) {
        let known = self.rotation.servers();
        let server = |(addr, name): (SocketAddr, Option<Arc<str>>)| {
            let peer = self.template.peer(addr, name.as_deref());
            let same = known.iter().find(|known| known.is_as(&peer));
            same.cloned().unwrap_or_else(|| Arc::new(self.template.server(peer, addr, metrics)))
        };
        self.rotation.replace(found.into_iter().map(server).collect());
    }
}

impl ServerTemplate {
    fn server(&self, peer: HttpPeer, addr: SocketAddr, metrics: &UpstreamMetrics) -> Server {
        let addr = addr.to_string();
        let gauge = metrics.server(&self.upstream, &addr);
        Server::new(peer, self.keepalive, ServerHealth::new(Arc::clone(&self.upstream), addr, gauge))
    }

    /// The name to ask a server for and to verify, for requests and checks alike; empty without TLS. `name`, `ip`: what
    /// there is of the server's own.
    fn sni(&self, name: Option<&str>, ip: Option<IpAddr>) -> String {
        match &self.tls {
            None => String::new(),
            Some(Tls { sni: Some(name) }) => name.clone(),
            // Never empty, because pingora does not verify an empty name.
            Some(Tls { sni: None }) => {
                name.map(str::to_owned).or_else(|| ip.map(|ip| ip.to_string())).unwrap_or_default()
            }
        }
    }

    fn peer(&self, addr: SocketAddr, name: Option<&str>) -> HttpPeer {
        let mut peer = HttpPeer::new(addr, self.tls.is_some(), self.sni(name, Some(addr.ip())));
        peer.group_key = self.pool;
        peer.options = self.options.clone();
        peer
    }
}

fn peer_options(servers: &Servers) -> Result<PeerOptions, EdgeError> {
    let mut options = PeerOptions::new();
    options.connection_timeout = Some(servers.connect_timeout);
    options.total_connection_timeout = Some(servers.connect_timeout);
    options.read_timeout = Some(servers.read_timeout);
    options.write_timeout = Some(servers.write_timeout);
    options.idle_timeout = Some(servers.idle_timeout);
    options.alpn = if servers.http2 { ALPN::H2H1 } else { ALPN::H1 };
    if let Some(tls) = &servers.tls {
        options.verify_cert = tls.verify;
        options.verify_hostname = tls.verify;
        options.ca = tls.ca.as_deref().map(read_authorities).transpose()?;
    }
    Ok(options)
}

fn read_authorities(path: &std::path::Path) -> Result<Arc<CaType>, EdgeError> {
    let fault = |detail: String| EdgeError::Authorities { path: path.to_owned(), detail };
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| fault(error.to_string()))?;
    if certificates.is_empty() {
        return Err(fault("the file has no certificate".to_owned()));
    }
    let mut wrapped = Vec::with_capacity(certificates.len());
    for certificate in certificates {
        // Pingora panics on an invalid certificate.
        if let Err(error) = x509_parser::parse_x509_certificate(&certificate) {
            return Err(fault(error.to_string()));
        }
        wrapped.push(pingora_core::utils::tls::WrappedX509::new(
            certificate.to_vec(),
            pingora_core::utils::tls::parse_x509,
        ));
    }
    Ok(wrapped.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::telemetry::metrics::Metrics;

    /// A name that moves takes nothing from the servers that stay.
    #[tokio::test]
    async fn servers_that_are_found_again_stay_as_they_are() {
        let metrics = Metrics::new().unwrap();
        let upstream = Upstream::prepare("app".into(), Servers::plain(Vec::new())).unwrap();
        let find = |all: &[&str]| {
            let found = all.iter().map(|addr| (addr.parse().unwrap(), Some("app.internal".into())));
            upstream.group.found(found.collect(), &metrics.upstreams);
            upstream.group.rotation.servers()
        };
        let told = |server: &str| {
            let text = metrics.render().unwrap();
            let line = format!("embedgate_upstream_healthy{{server=\"{server}\",upstream=\"app\"}} ");
            text.lines().find_map(|told| Some(told.strip_prefix(&line)?.to_owned()))
        };
        let before = find(&["10.0.0.1:80", "10.0.0.2:80"]);
        for _ in 0..3 {
            before[1].health().failed(false, "closed");
        }
        let after = find(&["10.0.0.2:80", "10.0.0.3:80"]);
        assert!(Arc::ptr_eq(&before[1], &after[0]) && !after[0].health().is_in());
        drop(before);
        assert_eq!(
            ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"].map(told),
            [None, Some("0".to_owned()), Some("1".to_owned())]
        );
    }
}
