//! `[admin]`.

use std::net::SocketAddr;

use super::Listeners;
use super::edge::certificate;
use crate::config::document::Spot;
use crate::config::settings::{AdminSettings, AdminTls};
use crate::config::table::{Item, Table, distinct};
use crate::config::{address, scalar};

const LISTEN: ([u8; 4], u16) = ([127, 0, 0, 1], 9090);

pub(super) fn read<'d>(table: &Table<'d>, listeners: &mut Listeners<'d>) -> AdminSettings {
    let item = table.item("listen");
    let spot = item.as_ref().map_or(&Spot::Nowhere, Item::spot);
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
    }
}

/// An admin listener that others can reach needs more than a token.
fn guard(table: &Table<'_>, listen: SocketAddr, spot: &Spot) {
    if listen.ip().is_loopback() {
        return;
    }
    if !table.has("tls") {
        table.fault(
            spot,
            format!(
                "admin.listen: {listen} is not loopback, so it needs mutual TLS; write 127.0.0.1:{} or add \
                 tls = {{ cert = \"...\", key = \"...\", client_ca = \"...\" }} in [admin]",
                listen.port()
            ),
        );
    } else if !table.has("hosts") {
        table.document().warn(
            spot,
            "admin.hosts is left at localhost, so calls under another name are refused; name this host in it",
        );
    }
}

fn tls(table: &Table<'_>) -> Option<AdminTls> {
    let certificate = certificate(table);
    let client_ca =
        table.required("client_ca", "\"tls/clients.pem\"").and_then(|item| item.text(scalar::path));
    Some(AdminTls { certificate: certificate?, client_ca: client_ca? })
}

fn hosts(table: &Table<'_>) -> Vec<String> {
    let Some(item) = table.item("hosts") else { return vec!["localhost".into(), "127.0.0.1".into()] };
    let hosts = item.some_texts("[\"localhost\", \"127.0.0.1\"]", address::host).unwrap_or_default();
    distinct(table.document(), hosts)
}
