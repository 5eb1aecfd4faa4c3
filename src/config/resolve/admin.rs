//! Resolver of `[admin]`.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::ListenAddresses;
use super::edge::CertificateFiles;
use super::edge::certificate;
use crate::config::document::ValueSource;
use crate::config::table::{ConfigTable, Item, distinct};
use crate::config::{address, scalar};

/// Settings of the admin listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminSettings {
    /// The address. Default: `127.0.0.1:9090`. It is a loopback address unless `tls` is set.
    pub listen: SocketAddr,
    /// File of bearer tokens, mode 0600. Default: `data/admin.tokens`.
    pub token_file: PathBuf,
    /// Names that a request's `Host` may have, lower case, without a port; an IPv6 address has its brackets.
    /// Default: `localhost`, `127.0.0.1`.
    pub hosts: Vec<String>,
    /// Mutual TLS. Default: none.
    pub tls: Option<AdminTls>,
    /// The address of a listener for probes and scrapes alone (`[admin.probe]`). Default: none.
    pub probe: Option<SocketAddr>,
}

/// Mutual TLS of the admin listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminTls {
    /// The listener's own certificate.
    pub certificate: CertificateFiles,
    /// Authorities that client certificates must come from, a PEM file.
    pub client_ca: PathBuf,
}

const LISTEN: ([u8; 4], u16) = ([127, 0, 0, 1], 9090);

pub(super) fn read<'d>(table: &ConfigTable<'d>, listeners: &mut ListenAddresses<'d>) -> AdminSettings {
    let item = table.item("listen");
    let spot = item.as_ref().map_or(&ValueSource::Nowhere, Item::spot);
    let default = SocketAddr::from(LISTEN);
    let address = item.map_or(Some(default), |item| item.text(address::address));
    if let Some(address) = address {
        listeners.claim(table.document(), address, spot);
        guard(table, address, spot);
    }
    AdminSettings {
        listen: address.unwrap_or(default),
        token_file: table.or("token_file", |item| item.text(scalar::path), "data/admin.tokens".into()),
        hosts: hosts(table),
        tls: table.item("tls").and_then(|item| item.table(tls).flatten()),
        probe: table.item("probe").and_then(|item| item.table(|table| probe(table, listeners)).flatten()),
    }
}

/// Checks that an admin listener beyond loopback has mutual TLS: a token alone is not enough there.
fn guard(table: &ConfigTable<'_>, listen: SocketAddr, spot: &ValueSource) {
    if listen.ip().is_loopback() {
        return;
    }
    if !table.has("tls") {
        table.fault(
            spot,
            format!(
                "admin.listen: {listen} is not a loopback address, so it needs mutual TLS; write 127.0.0.1:{} or add \
                 tls = {{ cert = \"...\", key = \"...\", client_ca = \"...\" }} in [admin]",
                listen.port()
            ),
        );
    } else if !table.has("hosts") {
        table.document().warn(
            spot,
            "admin.hosts is not set, so only calls to localhost are accepted; add this host's name to it",
        );
    }
}

/// It may be beyond loopback without TLS, because it has nothing but health and metrics.
fn probe<'d>(table: &ConfigTable<'d>, listeners: &mut ListenAddresses<'d>) -> Option<SocketAddr> {
    let item = table.required("listen", "\"0.0.0.0:9091\"")?;
    let spot = item.spot();
    let address = item.text(address::address)?;
    listeners.claim(table.document(), address, spot);
    Some(address)
}

fn tls(table: &ConfigTable<'_>) -> Option<AdminTls> {
    let certificate = certificate(table);
    let client_ca =
        table.required("client_ca", "\"tls/clients.pem\"").and_then(|item| item.text(scalar::path));
    Some(AdminTls { certificate: certificate?, client_ca: client_ca? })
}

fn hosts(table: &ConfigTable<'_>) -> Vec<String> {
    let Some(item) = table.item("hosts") else { return vec!["localhost".into(), "127.0.0.1".into()] };
    let hosts = item.some_texts("[\"localhost\", \"127.0.0.1\"]", address::host).unwrap_or_default();
    distinct(table.document(), hosts)
}
