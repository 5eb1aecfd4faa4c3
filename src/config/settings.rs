//! The resolved settings: what every other floor reads.
//!
//! Plain types, checked once, never read from or written to a file directly: durations are [`Duration`], sizes are
//! bytes, addresses are socket addresses, origins are canonical. No part of a [`Settings`] contradicts another.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::fault::Fault;
use super::pattern::PathPattern;
use crate::policy::origin::OriginSet;

mod route;
mod upstream;

pub use route::{HeaderOverride, Route, RouteUpstreams, routeless_profile};
pub use upstream::{HealthCheck, Server, Servers, Upstream, UpstreamTls};

/// Everything the configuration says, defaults filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `[edge]` and `[[edge.tls]]`: the data listeners.
    pub edge: EdgeSettings,
    /// `[admin]`: the admin listener.
    pub admin: AdminSettings,
    /// `[rules]`: where rules come from.
    pub rules: RulesSettings,
    /// `[policy]`: what holds for all widgets of this edge.
    pub policy: PolicySettings,
    /// `[tickets]`: signed statements for iframe sessions.
    pub tickets: TicketSettings,
    /// `[log]`: operational log, decision log and audit log.
    pub log: LogSettings,
    /// `[cache]`: asset answers kept in memory.
    pub cache: CacheSettings,
    /// `[upstreams.NAME]`, by name. Every name that a route uses is here.
    pub upstreams: BTreeMap<Arc<str>, Upstream>,
    /// `[[routes]]`, in the order of the file; at least one, no two with the same path.
    pub routes: Vec<Route>,
    /// What is allowed but probably not meant, each with its place.
    pub warnings: Vec<Fault>,
    /// Dotted names of the keys that the file or the environment states (`"cache.bytes"`); the rest are
    /// defaults.
    pub stated: BTreeSet<String>,
}

/// The data listeners.
#[derive(Clone, Debug, PartialEq)]
pub struct EdgeSettings {
    /// Plain HTTP listeners. Default: `127.0.0.1:8080`. May be empty when there are TLS listeners.
    pub listen: Vec<SocketAddr>,
    /// TLS listeners. Default: none.
    pub tls: Vec<TlsListener>,
    /// Where browsers see this edge; at least one, in the order written. Default: `http://localhost:8080`.
    pub public_origins: OriginSet,
    /// Peers whose `X-Forwarded-*` is believed. Default: none.
    pub trusted_proxies: Vec<IpNet>,
    /// Answer plain HTTP with a redirect to https. Default: off. When on, there is a TLS listener, and an https
    /// origin among `public_origins`.
    pub redirect_http: bool,
    /// Worker threads; `None` (written `0`, the default) is one for each core.
    pub workers: Option<NonZeroUsize>,
    /// How long a request's head may take as a whole. Default: 10 s.
    pub header_timeout: Duration,
    /// How long open requests may go on after a stop was asked for. Default: 30 s.
    pub grace_period: Duration,
    /// How long a WebSocket may stay open without a byte either way, and a 32nd of that more at most; `None` (written
    /// `0s`) is without end. Default: 1 h.
    pub tunnel_idle_timeout: Option<Duration>,
    /// How long a WebSocket may stay open at all; `None` (written `0s`) is without end. Default: 24 h.
    pub tunnel_lifetime: Option<Duration>,
}

/// One `[[edge.tls]]` table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsListener {
    /// Where it listens.
    pub listen: SocketAddr,
    /// At least one pair; picked by the server name that the client asks for, the first when none fits.
    pub certificates: Vec<CertificateFiles>,
}

/// A certificate chain and its private key, both PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, leaf first.
    pub cert: PathBuf,
    /// The leaf's private key.
    pub key: PathBuf,
}

/// The admin listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminSettings {
    /// Default: `127.0.0.1:9090`. Not a loopback address only when `tls` is set.
    pub listen: SocketAddr,
    /// Bearer tokens, mode 0600. Default: `data/admin.tokens`.
    pub token_file: PathBuf,
    /// Names that a request's `Host` may carry, lower case, without a port; an IPv6 address has its brackets.
    /// Default: `localhost`, `127.0.0.1`.
    pub hosts: Vec<String>,
    /// Mutual TLS. Default: none.
    pub tls: Option<AdminTls>,
}

/// Mutual TLS of the admin listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminTls {
    /// The listener's own certificate.
    pub certificate: CertificateFiles,
    /// Authorities that client certificates must come from, a PEM file.
    pub client_ca: PathBuf,
}

/// Where rules come from. The tables of the other sources may stand beside the one in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulesSettings {
    /// The source in use.
    pub source: RuleSource,
    /// `rules.store`.
    pub store: StoreSettings,
    /// `rules.file.path`: a file or a folder of `.json` files, watched. Default: `conf/widgets.json`.
    pub file: PathBuf,
    /// `rules.nats`.
    pub nats: NatsSettings,
}

/// The kinds of rule source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleSource {
    /// The embedded store, written through the admin listener.
    Store,
    /// A watched file or folder.
    File,
    /// A JetStream key-value bucket.
    Nats,
}

/// The embedded store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// Its file. Default: `data/rules.redb`.
    pub path: PathBuf,
    /// A rules file that fills an empty store at first start. Default: `conf/widgets.json`.
    pub seed: PathBuf,
}

/// The NATS source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatsSettings {
    /// Servers to try, as URLs. Default: `nats://127.0.0.1:4222`.
    pub servers: Vec<String>,
    /// The key-value bucket. Default: `embedgate-widgets`.
    pub bucket: String,
    /// The local store of what was applied. Default: `data/rules.redb`.
    pub cache: PathBuf,
}

/// What holds for all widgets.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicySettings {
    /// What an empty list may mean. Default: open.
    pub empty_allowlist: EmptyAllowlist,
    /// The vendor's own dashboards, where every enabled widget may be previewed. Default: none.
    pub system_origins: OriginSet,
    /// How old rules may get when their source is away before everything is denied; `None` (written `0s`, the
    /// default) keeps serving.
    pub max_staleness: Option<Duration>,
    /// A public suffix list in place of the one compiled in. Default: none.
    pub public_suffix_list: Option<PathBuf>,
}

/// What a widget without a list, or one that says `access: open`, may mean on this edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmptyAllowlist {
    /// Any embedder is admitted.
    Open,
    /// Nobody is: `open` is off for the whole edge.
    Deny,
}

/// Tickets for iframe sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TicketSettings {
    /// Where tickets are asked for. Default: `/w/{widget}/embed-ticket`.
    pub path: PathPattern,
    /// Signing keys. Default: `data/ticket.keys`.
    pub key_file: PathBuf,
    /// How long a ticket is good for. Default: 60 s.
    pub lifetime: Duration,
    /// How long after its expiry a ticket can be renewed. Default: 12 h.
    pub renewable_for: Duration,
}

/// The three logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// How much of the operational log is written. Default: info.
    pub level: LogLevel,
    /// Which decisions are logged. Default: those denied.
    pub decisions: DecisionLog,
    /// Where changes of rules are recorded. Default: `data/audit.jsonl`.
    pub audit: PathBuf,
}

/// How much of the operational log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// Errors.
    Error,
    /// Warnings, too.
    Warn,
    /// What an operator wants to know.
    Info,
    /// What a developer wants to know.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// As the configuration writes it: `"info"`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// Which decisions are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecisionLog {
    /// Each one.
    All,
    /// Denials, and what a monitored widget would have denied.
    Denied,
    /// None.
    Off,
}

/// Asset answers kept in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheSettings {
    /// The most that is kept, in bytes. Default: 256 MiB.
    pub bytes: u64,
}
