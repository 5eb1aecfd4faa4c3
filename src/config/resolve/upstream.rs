//! Resolver of `[upstreams.NAME]`.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use crate::config::document::ValueSource;
use crate::config::table::{ConfigTable, Item, distinct};
use crate::config::{address, scalar};

/// Settings of one upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamSettings {
    /// The demo widget served by this binary (`builtin = true`).
    Builtin,
    /// Servers reached over the network.
    Servers(Box<Servers>),
}

/// Group of equal servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Servers {
    /// At least one, no two equal.
    pub servers: Vec<ServerAddress>,
    /// The `Host` of requests to them. Default: the browser's.
    pub host: Option<HeaderValue>,
    /// Speak TLS to them (`tls = true`). Default: no.
    pub tls: Option<UpstreamTls>,
    /// Speak HTTP/2 if the server agrees by ALPN. Default: no. Only with `tls`.
    pub http2: bool,
    /// Time limit to open a connection, including the TLS handshake. Default: 5 s.
    pub connect_timeout: Duration,
    /// Time limit between two reads of an answer. Default: 60 s. It does not apply to open WebSockets and
    /// streams.
    pub read_timeout: Duration,
    /// Time limit between two writes of a request. Default: 60 s.
    pub write_timeout: Duration,
    /// How long an unused connection is kept. Default: 60 s.
    pub idle_timeout: Duration,
    /// Maximum number of unused HTTP/1.1 connections to each server. Default: 128.
    pub keepalive: usize,
    /// Time between two lookups of names. Default: 30 s.
    pub dns_interval: Duration,
    /// Active health checks. Default: none.
    pub health_check: Option<HealthCheck>,
}

impl Servers {
    /// Servers over plain HTTP/1.1, with every default.
    pub fn plain(servers: Vec<ServerAddress>) -> Self {
        Self {
            servers,
            host: None,
            tls: None,
            http2: false,
            connect_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(60),
            keepalive: 128,
            dns_interval: Duration::from_secs(30),
            health_check: None,
        }
    }
}

/// Address of a server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ServerAddress {
    /// An IP address and port.
    Ip(SocketAddr),
    /// A name that is looked up, in lower case, and a port.
    Name {
        /// The name.
        host: Box<str>,
        /// The port.
        port: u16,
    },
}

impl ServerAddress {
    /// The host's name; `None` for an IP address.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Ip(_) => None,
            Self::Name { host, .. } => Some(host),
        }
    }

    /// The IP address; `None` for a name.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(addr) => Some(addr.ip()),
            Self::Name { .. } => None,
        }
    }

    /// The port.
    pub fn port(&self) -> u16 {
        match self {
            Self::Ip(addr) => addr.port(),
            Self::Name { port, .. } => *port,
        }
    }
}

/// `host:port`, as `ToSocketAddrs` reads it.
impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(addr) => addr.fmt(f),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

/// TLS settings toward the servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamTls {
    /// The name to ask for and to verify; `None`: each server's own name.
    pub sni: Option<String>,
    /// PEM file of authorities to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// Check the certificate and its name. Default: yes.
    pub verify: bool,
}

/// Settings of active health checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// The path that must answer 200 to GET; `None`: opening a connection is enough.
    pub path: Option<String>,
    /// Time between two checks. Default: 5 s.
    pub interval: Duration,
    /// Time limit of one check, shorter than `interval`. Default: 1 s.
    pub timeout: Duration,
    /// Number of successful checks in a row that bring a server back. Default: 1.
    pub healthy_after: usize,
    /// Number of failed checks in a row that take a server out. Default: 3.
    pub unhealthy_after: usize,
}

/// Valid upstreams, and the names of all, so that an invalid one isn't also reported as unknown.
pub(super) struct KnownUpstreams<'d> {
    pub settings: BTreeMap<Arc<str>, UpstreamSettings>,
    pub names: BTreeMap<&'d str, &'d ValueSource>,
}

pub(super) fn read<'d>(table: &ConfigTable<'d>) -> KnownUpstreams<'d> {
    let mut upstreams = KnownUpstreams { settings: BTreeMap::new(), names: BTreeMap::new() };
    for (name, spot, item) in table.named() {
        if !is_name(name) {
            table.fault(
                spot,
                format!("'{name}' is not an upstream name; use 1 to 64 letters, digits, '-' and '_'"),
            );
        }
        if let Some(upstream) = item.table(upstream).flatten() {
            upstreams.settings.insert(name.into(), upstream);
        }
        upstreams.names.insert(name, spot);
    }
    upstreams
}

fn is_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=64).contains(&name.len()) && name.bytes().all(is_allowed)
}

fn upstream(table: &ConfigTable<'_>) -> Option<UpstreamSettings> {
    let builtin = table.or("builtin", Item::boolean, false);
    if !builtin {
        return servers(table).map(|servers| UpstreamSettings::Servers(Box::new(servers)));
    }
    // The keys are read, so that they are reported as out of place and not as unknown.
    for item in KEYS.into_iter().filter_map(|key| table.item(key)) {
        item.fault("can't be combined with builtin = true; leave one out");
    }
    Some(UpstreamSettings::Builtin)
}

const KEYS: [&str; 14] = [
    "servers",
    "host",
    "tls",
    "sni",
    "ca",
    "verify",
    "http2",
    "connect_timeout",
    "read_timeout",
    "write_timeout",
    "idle_timeout",
    "keepalive",
    "dns_interval",
    "health_check",
];

fn servers(table: &ConfigTable<'_>) -> Option<Servers> {
    let servers = addresses(table);
    let known = servers.as_deref().unwrap_or_default();
    let tls = tls(table, known);
    let http2 = http2(table);
    let default = Servers::plain(Vec::new());
    let time = |key, default| table.or(key, |item| item.quantity(scalar::positive_duration), default);
    let upstream = Servers {
        servers: Vec::new(),
        host: table.item("host").and_then(|item| item.text(host)),
        tls,
        http2,
        connect_timeout: time("connect_timeout", default.connect_timeout),
        read_timeout: time("read_timeout", default.read_timeout),
        write_timeout: time("write_timeout", default.write_timeout),
        idle_timeout: time("idle_timeout", default.idle_timeout),
        keepalive: table.or("keepalive", |item| item.count(0, 1_000_000), default.keepalive),
        dns_interval: dns_interval(table, known).unwrap_or(default.dns_interval),
        health_check: table.item("health_check").and_then(|item| item.table(health_check)),
    };
    Some(Servers { servers: servers?, ..upstream })
}

fn addresses(table: &ConfigTable<'_>) -> Option<Vec<ServerAddress>> {
    let example = "[\"127.0.0.1:7001\"]";
    let Some(item) = table.item("servers") else {
        table.fault(
            table.spot(),
            format!("{} has no servers; write servers = {example} or builtin = true", table.name()),
        );
        return None;
    };
    let servers = item.some_texts(example, address::server)?;
    Some(distinct(table.document(), servers))
}

fn dns_interval(table: &ConfigTable<'_>, servers: &[ServerAddress]) -> Option<Duration> {
    let item = table.item("dns_interval")?;
    if !servers.is_empty() && servers.iter().all(|server| server.name().is_none()) {
        item.fault("needs a server with a name; addresses are not looked up, so leave it out");
    }
    item.quantity(scalar::interval)
}

fn tls(table: &ConfigTable<'_>, servers: &[ServerAddress]) -> Option<UpstreamTls> {
    let tls = table.or("tls", Item::boolean, false);
    let items = ["sni", "ca", "verify"].map(|key| (key, table.item(key)));
    if !tls {
        for (key, item) in items.iter().filter_map(|(key, item)| Some((key, item.as_ref()?))) {
            item.fault(format!("needs tls = true; without TLS, leave {key} out"));
        }
        return None;
    }
    let [sni, ca, verify] = items.map(|(_, item)| item);
    let verify_spot = verify.as_ref().map_or(&ValueSource::Nowhere, Item::spot);
    let settings = UpstreamTls {
        sni: sni.and_then(|item| item.text(server_name)),
        ca: ca.and_then(|item| item.text(scalar::path)),
        verify: verify.and_then(Item::boolean).unwrap_or(true),
    };
    if !settings.verify {
        table.document().warn(
            verify_spot,
            format!(
                "{}.verify: anyone on the network can pose as this upstream; set ca to its authority instead",
                table.name()
            ),
        );
    } else if !table.has("sni")
        && let Some(server) = servers.iter().find(|server| server.name().is_none())
    {
        table.fault(
            table.place_of("tls").unwrap_or(table.spot()),
            format!("{}: {server} has no name to check in a certificate; add sni = \"...\"", table.name()),
        );
    }
    Some(settings)
}

fn server_name(text: &str) -> Result<String, String> {
    if address::is_host_name(text) {
        return Ok(text.to_ascii_lowercase());
    }
    Err(format!("'{text}' is not a server name; write a host name without a port, such as \"app.internal\""))
}

/// Parses the `Host` toward the servers: a name or an address, with or without a port.
fn host(text: &str) -> Result<HeaderValue, String> {
    let lower = text.to_ascii_lowercase();
    let (name, port) = match lower.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (lower.as_str(), None),
    };
    let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    let is_name = address::is_host_name(name) || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    let value = HeaderValue::try_from(lower.as_str()).ok().filter(|_| is_port && is_name);
    value.ok_or_else(|| {
        format!("'{text}' is not a host; write it like \"app.internal\" or \"app.internal:8443\"")
    })
}

fn http2(table: &ConfigTable<'_>) -> bool {
    let Some(item) = table.item("http2") else { return false };
    let spot = item.spot();
    let http2 = item.boolean().unwrap_or(false);
    if http2 && !table.has("tls") {
        table.fault(
            spot,
            format!(
                "{}.http2: needs tls = true, because it is negotiated in the TLS handshake",
                table.name()
            ),
        );
    }
    http2
}

fn health_check(table: &ConfigTable<'_>) -> HealthCheck {
    let time = |key, default| {
        table.or(key, |item| item.quantity(scalar::positive_duration), Duration::from_secs(default))
    };
    let times = |key, default| table.or(key, |item| item.count(1, 1000), default);
    let check = HealthCheck {
        path: table.item("path").and_then(|item| item.text(request_path)),
        interval: time("interval", 5),
        timeout: time("timeout", 1),
        healthy_after: times("healthy_after", 1),
        unhealthy_after: times("unhealthy_after", 3),
    };
    if check.timeout >= check.interval {
        let (timeout, interval) = (check.timeout, check.interval);
        table.fault(
            table.spot(),
            format!("{}: timeout ({timeout:?}) must be shorter than interval ({interval:?})", table.name()),
        );
    }
    check
}

fn request_path(text: &str) -> Result<String, String> {
    let is_allowed = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
    if text.starts_with('/') && text.bytes().all(is_allowed) {
        return Ok(text.into());
    }
    Err(format!("'{text}' is not a path; write it like \"/healthz\""))
}
