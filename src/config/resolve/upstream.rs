//! `[upstreams.NAME]`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use crate::config::document::Spot;
use crate::config::settings::{HealthCheck, Server, Servers, Upstream, UpstreamTls};
use crate::config::table::{Item, Table, distinct};
use crate::config::{address, scalar};

/// The upstreams that can be used, and the names of all, so that a faulty one isn't called unknown too.
pub(super) struct Upstreams<'d> {
    pub settings: BTreeMap<Arc<str>, Upstream>,
    pub names: BTreeMap<&'d str, &'d Spot>,
}

pub(super) fn read<'d>(table: &Table<'d>) -> Upstreams<'d> {
    let mut upstreams = Upstreams { settings: BTreeMap::new(), names: BTreeMap::new() };
    for (name, spot, item) in table.named() {
        if !is_name(name) {
            table.fault(
                spot,
                format!("'{name}' is no upstream name; 1 to 64 letters, digits, '-' and '_' make one"),
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

fn upstream(table: &Table<'_>) -> Option<Upstream> {
    let builtin = table.or("builtin", Item::boolean, false);
    if !builtin {
        return servers(table).map(|servers| Upstream::Servers(Box::new(servers)));
    }
    // Asked for all the same: these keys are out of place, not unknown.
    for item in KEYS.into_iter().filter_map(|key| table.item(key)) {
        item.fault("can't stand beside builtin = true; leave one of the two out");
    }
    Some(Upstream::Builtin)
}

const KEYS: [&str; 13] = [
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
    "health_check",
];

fn servers(table: &Table<'_>) -> Option<Servers> {
    let servers = addresses(table);
    let tls = tls(table, servers.as_deref().unwrap_or_default());
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
        health_check: table.item("health_check").and_then(|item| item.table(health_check)),
    };
    Some(Servers { servers: servers?, ..upstream })
}

fn addresses(table: &Table<'_>) -> Option<Vec<Server>> {
    let example = "[\"127.0.0.1:7001\"]";
    let Some(item) = table.item("servers") else {
        table.fault(
            table.spot(),
            format!("{} leads nowhere; write servers = {example} or builtin = true", table.name()),
        );
        return None;
    };
    let servers = item.some_texts(example, address::server)?;
    Some(distinct(table.document(), servers))
}

fn tls(table: &Table<'_>, servers: &[Server]) -> Option<UpstreamTls> {
    let tls = table.or("tls", Item::boolean, false);
    let items = ["sni", "ca", "verify"].map(|key| (key, table.item(key)));
    if !tls {
        for (key, item) in items.iter().filter_map(|(key, item)| Some((key, item.as_ref()?))) {
            item.fault(format!("needs tls = true beside it; without TLS, leave {key} out"));
        }
        return None;
    }
    let [sni, ca, verify] = items.map(|(_, item)| item);
    let verify_spot = verify.as_ref().map_or(&Spot::Nowhere, Item::spot);
    let settings = UpstreamTls {
        sni: sni.and_then(|item| item.text(server_name)),
        ca: ca.and_then(|item| item.text(scalar::path)),
        verify: verify.and_then(Item::boolean).unwrap_or(true),
    };
    if !settings.verify {
        table.document().warn(
            verify_spot,
            format!(
                "{}.verify: anyone on the way can pose as this upstream; name its authority with ca",
                table.name()
            ),
        );
    } else if !table.has("sni")
        && let Some(server) = servers.iter().find(|server| server.name().is_none())
    {
        table.fault(
            table.place_of("tls").unwrap_or(table.spot()),
            format!(
                "{}: {server} has no name that a certificate could prove; add sni = \"...\"",
                table.name()
            ),
        );
    }
    Some(settings)
}

fn server_name(text: &str) -> Result<String, String> {
    if address::is_host_name(text) {
        return Ok(text.to_ascii_lowercase());
    }
    Err(format!("'{text}' is no server name; write a host name without a port, such as \"app.internal\""))
}

/// `Host` toward the servers: a name or an address, with a port perhaps.
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
        format!("'{text}' is no host; write it such as \"app.internal\" or \"app.internal:8443\"")
    })
}

fn http2(table: &Table<'_>) -> bool {
    let Some(item) = table.item("http2") else { return false };
    let spot = item.spot();
    let http2 = item.boolean().unwrap_or(false);
    if http2 && !table.has("tls") {
        table.fault(
            spot,
            format!("{}.http2: is agreed on in the TLS handshake; add tls = true", table.name()),
        );
    }
    http2
}

fn health_check(table: &Table<'_>) -> HealthCheck {
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
    Err(format!("'{text}' is no path; write it such as \"/healthz\""))
}
