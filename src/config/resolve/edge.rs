//! Resolver of `[edge]` and `[[edge.tls]]`.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::Serialize;

use super::ListenAddresses;
use super::bounds::{self, BoundsSettings};
use crate::config::document::ValueSource;
use crate::config::table::{ConfigTable, Item, distinct};
use crate::config::{address, scalar};
use embedgate_policy::origin::{OriginBuf, OwnOrigin, OwnOrigins, Scheme, WIDGET_LABEL, WidgetOrigins};

/// Settings of the data listeners.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EdgeSettings {
    /// Plain HTTP listeners. Default: `127.0.0.1:8080`. May be empty when there are TLS listeners.
    pub listen: Vec<SocketAddr>,
    /// TLS listeners. Default: none.
    pub tls: Vec<TlsListenerSettings>,
    /// Where browsers see this edge, also with the widget in the host; at least one; first those of all widgets, in the order
    /// written. Default:
    /// `http://localhost:8080`.
    pub public_origins: OwnOrigins,
    /// Proxies whose `X-Forwarded-*` is trusted. Default: none.
    pub trusted_proxies: Vec<IpNet>,
    /// Answer plain HTTP with a redirect to https. Default: off. When on, there is a TLS listener, and an https
    /// origin among `public_origins`.
    pub redirect_http: bool,
    /// Worker threads; `None` (written `0`, the default) is one for each core.
    pub workers: Option<NonZeroUsize>,
    /// Time limit for the whole head of a request. Default: 10 s.
    pub header_timeout: Duration,
    /// Time for open requests to finish after a stop signal. Default: 30 s.
    pub grace_period: Duration,
    /// Time between a stop signal and the moment at which the listeners close, for load balancers. Default: 0 s.
    pub drain_delay: Duration,
    /// Time for which the old process keeps its open sessions after an upgrade. Default: 1 h.
    pub upgrade_drain: Duration,
    /// Socket on which the edge is asked for an upgrade and hands over. Default: `data/upgrade.sock`.
    pub upgrade_socket: PathBuf,
    /// Maximum idle time of a WebSocket or stream. A WebSocket may be closed up to a 32nd of it later. `None`
    /// (written `0s`) means no limit. Default: 1 h.
    pub tunnel_idle_timeout: Option<Duration>,
    /// Maximum total lifetime of a WebSocket. `None` (written `0s`) means no limit. Default: 24 h.
    pub tunnel_lifetime: Option<Duration>,
    /// Listeners whose connections begin with the PROXY protocol's header. Default: none.
    pub proxy_protocol: Vec<SocketAddr>,
    /// `[edge.bounds]`: bounds on what clients may take.
    pub bounds: BoundsSettings,
}

/// One `[[edge.tls]]` table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TlsListenerSettings {
    /// The address.
    pub listen: SocketAddr,
    /// At least one pair, picked by the server name that the client asks for; the first if none matches.
    pub certificates: Vec<CertificateFiles>,
    /// The oldest version that is spoken. Default: TLS 1.2.
    pub min_version: TlsVersion,
}

/// Version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3 (RFC 8446).
    #[serde(rename = "1.3")]
    Tls13,
}

/// Certificate chain and its private key, both PEM files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CertificateFiles {
    /// The chain, leaf first.
    pub cert: PathBuf,
    /// The leaf's private key.
    pub key: PathBuf,
}

const LISTEN: ([u8; 4], u16) = ([127, 0, 0, 1], 8080);
const PUBLIC_ORIGIN: &str = "http://localhost:8080";
const TLS_VERSIONS: [(&str, TlsVersion); 2] = [("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)];

pub(super) fn read<'d>(table: &ConfigTable<'d>, listeners: &mut ListenAddresses<'d>) -> EdgeSettings {
    let edge = EdgeSettings {
        listen: listen(table, listeners),
        tls: tls(table, listeners),
        public_origins: public_origins(table),
        trusted_proxies: trusted_proxies(table),
        redirect_http: false,
        workers: table.or("workers", |item| item.count(0, 1024), 0).try_into().ok(),
        header_timeout: table.or(
            "header_timeout",
            |item| item.quantity(scalar::positive_duration),
            Duration::from_secs(10),
        ),
        grace_period: table.or(
            "grace_period",
            |item| item.quantity(scalar::duration),
            Duration::from_secs(30),
        ),
        drain_delay: table.or("drain_delay", |item| item.quantity(scalar::duration), Duration::ZERO),
        upgrade_drain: table.or(
            "upgrade_drain",
            |item| item.quantity(scalar::duration),
            Duration::from_secs(60 * 60),
        ),
        upgrade_socket: table.or(
            "upgrade_socket",
            |item| item.text(scalar::path),
            "data/upgrade.sock".into(),
        ),
        tunnel_idle_timeout: limit(table, "tunnel_idle_timeout", Duration::from_secs(60 * 60)),
        tunnel_lifetime: limit(table, "tunnel_lifetime", Duration::from_secs(24 * 60 * 60)),
        proxy_protocol: Vec::new(),
        bounds: table.table("bounds", bounds::read),
    };
    let proxy_protocol = proxy_protocol(table, &edge);
    let redirect_http = redirect_http(table, &edge);
    warn(table, &edge);
    EdgeSettings { redirect_http, proxy_protocol, ..edge }
}

/// A time limit; `0s` means none.
fn limit(table: &ConfigTable<'_>, name: &'static str, default: Duration) -> Option<Duration> {
    let time = table.or(name, |item| item.quantity(scalar::duration), default);
    (time > Duration::ZERO).then_some(time)
}

fn listen<'d>(table: &ConfigTable<'d>, listeners: &mut ListenAddresses<'d>) -> Vec<SocketAddr> {
    let Some(item) = table.item("listen") else {
        let address = SocketAddr::from(LISTEN);
        listeners.claim(table.document(), address, &ValueSource::Nowhere);
        return vec![address];
    };
    let example = "[\"127.0.0.1:8080\"]";
    let addresses = if table.has("tls") {
        item.texts(example, address::address)
    } else {
        item.some_texts(example, address::address)
    }
    .unwrap_or_default();
    for (address, spot) in &addresses {
        listeners.claim(table.document(), *address, spot);
    }
    addresses.into_iter().map(|(address, _)| address).collect()
}

fn tls<'d>(table: &ConfigTable<'d>, listeners: &mut ListenAddresses<'d>) -> Vec<TlsListenerSettings> {
    let Some(item) = table.item("tls") else { return Vec::new() };
    let Some(items) = item.list("[{ listen = \"0.0.0.0:8443\", certificates = [...] }]") else {
        return Vec::new();
    };
    items
        .into_iter()
        .filter_map(|item| item.table(|table| tls_listener(table, listeners)).flatten())
        .collect()
}

fn tls_listener<'d>(
    table: &ConfigTable<'d>,
    listeners: &mut ListenAddresses<'d>,
) -> Option<TlsListenerSettings> {
    let item = table.required("listen", "\"0.0.0.0:8443\"");
    let spot = item.as_ref().map(Item::spot);
    let listen = item.and_then(|item| item.text(address::address));
    if let (Some(address), Some(spot)) = (listen, spot) {
        listeners.claim(table.document(), address, spot);
    }
    let min_version = table.or("min_version", |item| item.choice(&TLS_VERSIONS), TlsVersion::Tls12);
    let example = "[{ cert = \"tls/site.pem\", key = \"tls/site.key\" }]";
    let item = table.required("certificates", example)?;
    let spot = item.spot();
    let items = item.list(example)?;
    if items.is_empty() {
        table.fault(spot, format!("edge.tls.certificates: needs at least one, such as {example}"));
    }
    let certificates = items.into_iter().filter_map(|item| item.table(certificate).flatten()).collect();
    Some(TlsListenerSettings { listen: listen?, certificates, min_version })
}

/// The keys `cert` and `key` of any table.
pub(super) fn certificate(table: &ConfigTable<'_>) -> Option<CertificateFiles> {
    let cert = table.required("cert", "\"tls/site.pem\"").and_then(|item| item.text(scalar::path));
    let key = table.required("key", "\"tls/site.key\"").and_then(|item| item.text(scalar::path));
    Some(CertificateFiles { cert: cert?, key: key? })
}

fn public_origins(table: &ConfigTable<'_>) -> OwnOrigins {
    let Some(item) = table.item("public_origins") else {
        return OriginBuf::parse(PUBLIC_ORIGIN).into_iter().collect();
    };
    let origins = item.some_texts("[\"https://widgets.example.com\"]", own_origin).unwrap_or_default();
    distinct(table.document(), origins).into_iter().collect()
}

fn own_origin(text: &str) -> Result<OwnOrigin, String> {
    match text.contains(WIDGET_LABEL) {
        true => WidgetOrigins::parse(text).map(OwnOrigin::ByWidget),
        false => web_origin(text).map(OwnOrigin::Shared),
    }
}

fn web_origin(text: &str) -> Result<OriginBuf, String> {
    let origin = scalar::origin(text)?;
    match origin.as_origin().scheme() {
        Scheme::Http | Scheme::Https => Ok(origin),
        Scheme::Other(_) => Err(format!("'{text}' is not an http or https origin")),
    }
}

fn trusted_proxies(table: &ConfigTable<'_>) -> Vec<ipnet::IpNet> {
    let Some(item) = table.item("trusted_proxies") else { return Vec::new() };
    let networks = item.texts("[\"10.0.0.0/8\"]", address::network).unwrap_or_default();
    for (network, spot) in networks.iter().filter(|(network, _)| network.prefix_len() == 0) {
        table
            .document()
            .warn(spot, format!("edge.trusted_proxies: {network} lets anyone claim any address and scheme"));
    }
    distinct(table.document(), networks)
}

fn redirect_http(table: &ConfigTable<'_>, edge: &EdgeSettings) -> bool {
    let Some(item) = table.item("redirect_http") else { return false };
    let spot = item.spot();
    if item.boolean() != Some(true) {
        return false;
    }
    if !table.has("tls") {
        table.fault(spot, "edge.redirect_http: nothing to redirect to; add an [[edge.tls]] listener");
    }
    if !edge.public_origins.is_empty() && !has_https(edge) {
        table.fault(spot, "edge.redirect_http: needs an https origin in edge.public_origins to redirect to");
    }
    true
}

fn proxy_protocol(table: &ConfigTable<'_>, edge: &EdgeSettings) -> Vec<SocketAddr> {
    let Some(item) = table.item("proxy_protocol") else { return Vec::new() };
    let spot = item.spot();
    let addresses = item.texts("[\"0.0.0.0:8443\"]", address::address).unwrap_or_default();
    let tls = edge.tls.iter().map(|tls| tls.listen);
    let listeners: Vec<SocketAddr> = edge.listen.iter().copied().chain(tls).collect();
    for (address, spot) in addresses.iter().filter(|(address, _)| !listeners.contains(address)) {
        table.fault(
            spot,
            format!("edge.proxy_protocol: {address} is not the address of a listener in [edge]"),
        );
    }
    if !addresses.is_empty() && edge.trusted_proxies.is_empty() {
        table.fault(
            spot,
            "edge.proxy_protocol: only trusted proxies may speak it; name them in edge.trusted_proxies",
        );
    }
    distinct(table.document(), addresses)
}

fn warn(table: &ConfigTable<'_>, edge: &EdgeSettings) {
    let document = table.document();
    if table.has("listen") && !table.has("public_origins") {
        document.warn(
            table.spot(),
            format!("edge.public_origins is not set, so it is {PUBLIC_ORIGIN}; set it to where browsers see this edge"),
        );
    }
    let has_tls = table.has("tls");
    if has_tls && !edge.public_origins.is_empty() && !has_https(edge) {
        document.warn(
            table.spot(),
            "edge.public_origins has no https origin, but there is an [[edge.tls]] listener",
        );
    }
    if !has_tls && edge.trusted_proxies.is_empty() && has_https(edge) {
        document.warn(
            table.spot(),
            "edge.public_origins has an https origin, but there is neither an [[edge.tls]] listener nor a proxy in \
            edge.trusted_proxies that could report https in X-Forwarded-Proto",
        );
    }
}

fn has_https(edge: &EdgeSettings) -> bool {
    edge.public_origins.iter().any(|origin| origin.is_https())
}
