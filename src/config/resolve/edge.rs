//! `[edge]` and `[[edge.tls]]`.

use std::net::SocketAddr;
use std::time::Duration;

use super::Listeners;
use crate::config::document::Spot;
use crate::config::settings::{CertificateFiles, EdgeSettings, TlsListener};
use crate::config::table::{Item, Table, distinct};
use crate::config::{address, scalar};
use crate::policy::origin::{OriginBuf, OriginSet, Scheme};

const LISTEN: ([u8; 4], u16) = ([127, 0, 0, 1], 8080);
const PUBLIC_ORIGIN: &str = "http://localhost:8080";

pub(super) fn read<'d>(table: &Table<'d>, listeners: &mut Listeners<'d>) -> EdgeSettings {
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
        tunnel_idle_timeout: limit(table, "tunnel_idle_timeout", Duration::from_secs(60 * 60)),
        tunnel_lifetime: limit(table, "tunnel_lifetime", Duration::from_secs(24 * 60 * 60)),
    };
    let redirect_http = redirect_http(table, &edge);
    warn(table, &edge);
    EdgeSettings { redirect_http, ..edge }
}

/// A time that may be left without bound by `0s`.
fn limit(table: &Table<'_>, name: &'static str, default: Duration) -> Option<Duration> {
    let time = table.or(name, |item| item.quantity(scalar::duration), default);
    (time > Duration::ZERO).then_some(time)
}

fn listen<'d>(table: &Table<'d>, listeners: &mut Listeners<'d>) -> Vec<SocketAddr> {
    let Some(item) = table.item("listen") else {
        let address = SocketAddr::from(LISTEN);
        listeners.claim(table.document(), address, &Spot::Nowhere);
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

fn tls<'d>(table: &Table<'d>, listeners: &mut Listeners<'d>) -> Vec<TlsListener> {
    let Some(item) = table.item("tls") else { return Vec::new() };
    let Some(items) = item.list("[{ listen = \"0.0.0.0:8443\", certificates = [...] }]") else {
        return Vec::new();
    };
    items
        .into_iter()
        .filter_map(|item| item.table(|table| tls_listener(table, listeners)).flatten())
        .collect()
}

fn tls_listener<'d>(table: &Table<'d>, listeners: &mut Listeners<'d>) -> Option<TlsListener> {
    let item = table.required("listen", "\"0.0.0.0:8443\"");
    let spot = item.as_ref().map(Item::spot);
    let listen = item.and_then(|item| item.text(address::address));
    if let (Some(address), Some(spot)) = (listen, spot) {
        listeners.claim(table.document(), address, spot);
    }
    let example = "[{ cert = \"tls/site.pem\", key = \"tls/site.key\" }]";
    let item = table.required("certificates", example)?;
    let spot = item.spot();
    let items = item.list(example)?;
    if items.is_empty() {
        table.fault(spot, format!("edge.tls.certificates: at least one is needed, such as {example}"));
    }
    let certificates = items.into_iter().filter_map(|item| item.table(certificate).flatten()).collect();
    Some(TlsListener { listen: listen?, certificates })
}

/// `cert` and `key` of any table.
pub(super) fn certificate(table: &Table<'_>) -> Option<CertificateFiles> {
    let cert = table.required("cert", "\"tls/site.pem\"").and_then(|item| item.text(scalar::path));
    let key = table.required("key", "\"tls/site.key\"").and_then(|item| item.text(scalar::path));
    Some(CertificateFiles { cert: cert?, key: key? })
}

fn public_origins(table: &Table<'_>) -> OriginSet {
    let Some(item) = table.item("public_origins") else {
        return OriginSet::new(OriginBuf::parse(PUBLIC_ORIGIN));
    };
    let origins = item.some_texts("[\"https://widgets.example.com\"]", web_origin).unwrap_or_default();
    OriginSet::new(distinct(table.document(), origins))
}

fn web_origin(text: &str) -> Result<OriginBuf, String> {
    let origin = scalar::origin(text)?;
    match origin.as_origin().scheme() {
        Scheme::Http | Scheme::Https => Ok(origin),
        Scheme::Other(_) => Err(format!("'{text}' is not reached over http or https")),
    }
}

fn trusted_proxies(table: &Table<'_>) -> Vec<ipnet::IpNet> {
    let Some(item) = table.item("trusted_proxies") else { return Vec::new() };
    let networks = item.texts("[\"10.0.0.0/8\"]", address::network).unwrap_or_default();
    for (network, spot) in networks.iter().filter(|(network, _)| network.prefix_len() == 0) {
        table
            .document()
            .warn(spot, format!("edge.trusted_proxies: {network} lets anyone claim any address and scheme"));
    }
    distinct(table.document(), networks)
}

fn redirect_http(table: &Table<'_>, edge: &EdgeSettings) -> bool {
    let Some(item) = table.item("redirect_http") else { return false };
    let spot = item.spot();
    if item.boolean() != Some(true) {
        return false;
    }
    if !table.has("tls") {
        table.fault(spot, "edge.redirect_http: there is nothing to lead to; add an [[edge.tls]] listener");
    }
    if !edge.public_origins.is_empty() && !has_https(edge) {
        table.fault(spot, "edge.redirect_http: needs an https origin in edge.public_origins to lead to");
    }
    true
}

fn warn(table: &Table<'_>, edge: &EdgeSettings) {
    let document = table.document();
    if table.has("listen") && !table.has("public_origins") {
        document.warn(
            table.spot(),
            format!("edge.public_origins is left at {PUBLIC_ORIGIN}; write where browsers see this edge"),
        );
    }
    let has_tls = table.has("tls");
    if has_tls && !edge.public_origins.is_empty() && !has_https(edge) {
        document
            .warn(table.spot(), "edge.public_origins names no https origin, though there is an [[edge.tls]]");
    }
    if !has_tls && edge.trusted_proxies.is_empty() && has_https(edge) {
        document.warn(
            table.spot(),
            "edge.public_origins names an https origin, but there is neither an [[edge.tls]] nor a proxy in \
             edge.trusted_proxies whose X-Forwarded-Proto could tell that browsers came over https",
        );
    }
}

fn has_https(edge: &EdgeSettings) -> bool {
    edge.public_origins.iter().any(|origin| origin.scheme() == Scheme::Https)
}
