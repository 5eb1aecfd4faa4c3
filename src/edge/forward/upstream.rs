//! Upstreams: groups of equal servers with round robin and health checks.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use http::HeaderValue;
use parking_lot::Mutex;
use pingora_core::ErrorType;
use pingora_core::protocols::tls::CaType;
use pingora_core::services::ServiceReadyNotifier;
use pingora_core::services::background::BackgroundService as _;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::upstreams::peer::{ALPN, PeerOptions};
use pingora_load_balancing::discovery::ServiceDiscovery;
use pingora_load_balancing::health_check::{HealthCheck, HttpHealthCheck, TcpHealthCheck};
use pingora_load_balancing::selection;
use pingora_load_balancing::{Backend, Backends, Extensions, LoadBalancer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::config::{self, Servers};
use crate::edge::error::EdgeError;

mod connector;
mod idle;
mod servers;
mod shared;

pub use connector::Connector;
pub use servers::Server;
pub use shared::StreamSlot;

use servers::RoundRobin;

/// Time between two lookups of names.
const LOOKUP_INTERVAL: Duration = Duration::from_secs(30);

/// Maximum number of servers that are tried for one request if a connection can't be opened.
pub const MOST_ATTEMPTS: usize = 3;

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
    pub async fn start(&self) {
        join_all(self.0.values().map(|upstream| upstream.start())).await;
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
    servers: Servers,
    balancer: Arc<LoadBalancer<selection::RoundRobin>>,
    /// The task that looks up and checks the servers; it ends with the upstream.
    running: OnceLock<AbortOnDropHandle<()>>,
    /// Id that separates the connections of upstreams, because each was opened under its upstream's own
    /// authorities.
    pool: u64,
    rotation: RoundRobin,
    tls: Option<Tls>,
    options: PeerOptions,
    host: Option<HeaderValue>,
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
    fn prepare(name: Arc<str>, servers: Servers) -> Result<Self, EdgeError> {
        static POOLS: AtomicU64 = AtomicU64::new(0);
        let options = peer_options(&servers)?;
        let tls = servers.tls.as_ref().map(|tls| Tls { sni: tls.sni.clone() });
        let mut balancer =
            LoadBalancer::from_backends(Backends::new(Box::new(NameLookup::of(servers.servers.clone()))));
        let named = servers.servers.iter().any(|server| server.name().is_some());
        balancer.update_frequency = named.then_some(LOOKUP_INTERVAL);
        balancer.parallel_health_check = true;
        if let Some(check) = &servers.health_check {
            balancer.health_check_frequency = Some(check.interval);
            balancer.set_health_check(health_check(&servers, check, &options)?);
        }
        let balancer = Arc::new(balancer);
        let rotation =
            RoundRobin::new(Arc::clone(&balancer), servers.health_check.is_some(), servers.keepalive);
        let pool = POOLS.fetch_add(1, Ordering::Relaxed);
        let host = servers.host.clone();
        Ok(Self { name, servers, balancer, running: OnceLock::new(), pool, rotation, tls, options, host })
    }

    /// Whether these settings would make the same upstream. A file of authorities may have changed.
    fn is_as(&self, servers: &Servers) -> bool {
        self.servers == *servers && servers.tls.as_ref().is_none_or(|tls| tls.ca.is_none())
    }

    async fn start(&self) {
        if self.running.get().is_some() {
            return;
        }
        let (ready, mut is_ready) = watch::channel(false);
        let balancer = Arc::clone(&self.balancer);
        let run = async move {
            let (_never, shutdown) = watch::channel(false);
            balancer.start_with_ready_notifier(shutdown, ServiceReadyNotifier::new(ready)).await;
        };
        // One that was started meanwhile goes on, and this one ends.
        let _ = self.running.set(AbortOnDropHandle::new(tokio::spawn(run)));
        // An error means that the task has ended, and with it the lookups.
        let _ = is_ready.wait_for(|ready| *ready).await;
    }

    /// The name in the configuration, for logs and metrics.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The `Host` for the servers; `None`: the browser's.
    pub fn host(&self) -> Option<&HeaderValue> {
        self.host.as_ref()
    }

    /// The next server; `None` while none is healthy.
    pub fn next_server(&self) -> Option<Arc<Server>> {
        self.rotation.next(|backend| self.peer(backend))
    }

    fn peer(&self, backend: &Backend) -> Option<HttpPeer> {
        let sni = match &self.tls {
            None => String::new(),
            Some(Tls { sni: Some(name) }) => name.clone(),
            Some(Tls { sni: None }) => server_name(backend),
        };
        let mut peer = HttpPeer::new(*backend.addr.as_inet()?, self.tls.is_some(), sni);
        peer.group_key = self.pool;
        peer.options = self.options.clone();
        Some(peer)
    }
}

/// The name that a server's certificate must have. It is never empty, because pingora does not verify an
/// empty name.
fn server_name(backend: &Backend) -> String {
    match backend.ext.get::<ServerName>() {
        Some(ServerName(name)) => name.to_string(),
        None => backend.addr.as_inet().map(|addr| addr.ip().to_string()).unwrap_or_default(),
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

fn health_check(
    servers: &Servers,
    check: &config::HealthCheck,
    options: &PeerOptions,
) -> Result<Box<dyn HealthCheck + Send + Sync>, EdgeError> {
    let sni = servers.tls.as_ref().map(|tls| {
        let first = servers.servers.first().map(|server| match server {
            config::ServerAddress::Ip(addr) => addr.ip().to_string(),
            config::ServerAddress::Name { host, .. } => host.to_string(),
        });
        tls.sni.clone().or(first).unwrap_or_default()
    });
    let named = servers.host.as_ref().and_then(|host| host.to_str().ok()).map(str::to_owned);
    let host = named.or_else(|| sni.clone()).or_else(|| servers.servers.first().map(ToString::to_string));
    let host = host.unwrap_or_default();
    let mut options = options.clone();
    options.connection_timeout = Some(check.timeout);
    options.total_connection_timeout = Some(check.timeout);
    options.read_timeout = Some(check.timeout);
    let Some(path) = &check.path else {
        let mut tcp = TcpHealthCheck::new();
        tcp.peer_template.sni = sni.unwrap_or_default();
        tcp.peer_template.options = options;
        tcp.consecutive_success = check.healthy_after;
        tcp.consecutive_failure = check.unhealthy_after;
        return Ok(tcp);
    };
    let mut http = HttpHealthCheck::new(&host, sni.is_some());
    http.req
        .set_raw_path(path.as_bytes())
        .map_err(|error| EdgeError::HealthCheckPath { path: path.clone(), detail: error.to_string() })?;
    http.peer_template.options = options;
    http.consecutive_success = check.healthy_after;
    http.consecutive_failure = check.unhealthy_after;
    Ok(Box::new(http))
}

/// Name of a server, stored with its address.
#[derive(Clone)]
struct ServerName(Box<str>);

/// Lookup of server names; addresses are used as they are.
struct NameLookup {
    servers: Vec<config::ServerAddress>,
    /// The last results, which stay in use while a name server is unreachable.
    last: Mutex<HashMap<config::ServerAddress, Vec<SocketAddr>>>,
}

impl NameLookup {
    fn of(servers: Vec<config::ServerAddress>) -> Self {
        Self { servers, last: Mutex::default() }
    }

    async fn find(&self, server: &config::ServerAddress, host: &str, port: u16) -> Vec<SocketAddr> {
        let found = tokio::net::lookup_host((host, port)).await;
        let mut last = self.last.lock();
        match found {
            Ok(found) => {
                let found: Vec<SocketAddr> = found.collect();
                last.insert(server.clone(), found.clone());
                found
            }
            Err(error) => {
                let addresses = last.get(server).cloned().unwrap_or_default();
                tracing::warn!(host, %error, in_use = ?addresses, "can't look up the name of an upstream");
                addresses
            }
        }
    }
}

#[async_trait]
impl ServiceDiscovery for NameLookup {
    async fn discover(&self) -> pingora_core::Result<(BTreeSet<Backend>, HashMap<u64, bool>)> {
        let mut backends = BTreeSet::new();
        for server in &self.servers {
            match server {
                config::ServerAddress::Ip(addr) => {
                    backends.insert(backend(*addr, Extensions::new()));
                }
                config::ServerAddress::Name { host, port } => {
                    backends.extend(self.find(server, host, *port).await.into_iter().map(|addr| {
                        let mut ext = Extensions::new();
                        ext.insert(ServerName(host.clone()));
                        backend(addr, ext)
                    }));
                }
            }
        }
        Ok((backends, HashMap::new()))
    }
}

fn backend(addr: SocketAddr, ext: Extensions) -> Backend {
    Backend { addr: pingora_core::protocols::l4::socket::SocketAddr::Inet(addr), weight: 1, ext }
}
