//! `[upstreams.NAME]`: where requests go.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderValue;

/// One upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// The demo widget served by this binary (`builtin = true`).
    Builtin,
    /// Servers reached over the network.
    Servers(Box<Servers>),
}

/// A group of equal servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Servers {
    /// At least one, no two equal.
    pub servers: Vec<Server>,
    /// The `Host` that they are asked by. Default: the browser's.
    pub host: Option<HeaderValue>,
    /// Speak TLS to them (`tls = true`). Default: no.
    pub tls: Option<UpstreamTls>,
    /// Speak HTTP/2 where the server agrees to it by ALPN. Default: no. Only with `tls`.
    pub http2: bool,
    /// To open a connection, TLS handshake included. Default: 5 s.
    pub connect_timeout: Duration,
    /// Between two reads of an answer. Default: 60 s. It doesn't bound open WebSockets.
    pub read_timeout: Duration,
    /// Between two writes of a request. Default: 60 s.
    pub write_timeout: Duration,
    /// How long an unused connection is kept. Default: 60 s.
    pub idle_timeout: Duration,
    /// How many unused connections over HTTP/1.1 are kept for each server. Default: 128.
    pub keepalive: usize,
    /// Active health checks. Default: none.
    pub health_check: Option<HealthCheck>,
}

impl Servers {
    /// Servers over plain HTTP/1.1, with every default.
    pub fn plain(servers: Vec<Server>) -> Self {
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
            health_check: None,
        }
    }
}

/// One server's address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Server {
    /// An IP address and port.
    Ip(SocketAddr),
    /// A name to be looked up, lower case, and a port.
    Name {
        /// The name.
        host: Box<str>,
        /// The port.
        port: u16,
    },
}

impl Server {
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
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(addr) => addr.fmt(f),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

/// TLS toward the servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamTls {
    /// The name to ask for and to verify; `None` is each server's own name.
    pub sni: Option<String>,
    /// Authorities to trust in place of the system's, a PEM file.
    pub ca: Option<PathBuf>,
    /// Check the certificate and its name. Default: yes.
    pub verify: bool,
}

/// Active health checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// A path that must answer 200 to GET; `None` only opens a connection.
    pub path: Option<String>,
    /// Between two checks. Default: 5 s.
    pub interval: Duration,
    /// For one check. Default: 1 s. Shorter than `interval`.
    pub timeout: Duration,
    /// Good checks in a row that bring a server back. Default: 1.
    pub healthy_after: usize,
    /// Failed checks in a row that take a server out. Default: 3.
    pub unhealthy_after: usize,
}
