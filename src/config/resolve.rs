//! From the parsed tree to [`Settings`]: defaults, checks of each section, and checks between them.

use std::net::SocketAddr;

use super::document::{Document, Entries, Spot, stated};
use super::settings::Settings;
use super::table::Table;

mod admin;
mod edge;
mod headers;
mod policy;
mod route;
mod rules;
mod upstream;

/// Everything in the tree, defaults filled in. It can be used when the document has no faults afterwards.
pub(super) fn resolve(document: &Document<'_>, entries: &Entries) -> Settings {
    Table::root(document, entries, |root| {
        let mut listeners = Listeners::default();
        let edge = root.table("edge", |table| edge::read(table, &mut listeners));
        let admin = root.table("admin", |table| admin::read(table, &mut listeners));
        let rules = root.table("rules", rules::read);
        let policy = root.table("policy", |table| policy::read(table, &edge.public_origins));
        let tickets = root.table("tickets", policy::tickets);
        let log = root.table("log", policy::log);
        let cache = root.table("cache", policy::cache);
        let upstreams = root.table("upstreams", upstream::read);
        let routes = route::read(root, &upstreams, &tickets.path);
        Settings {
            edge,
            admin,
            rules,
            policy,
            tickets,
            log,
            cache,
            upstreams: upstreams.settings,
            routes,
            warnings: Vec::new(),
            stated: stated(entries),
        }
    })
}

/// The addresses that are taken, each with the place that takes it.
#[derive(Default)]
struct Listeners<'d>(Vec<(SocketAddr, &'d Spot)>);

impl<'d> Listeners<'d> {
    /// Takes an address; a fault when another listener has it already.
    fn claim(&mut self, document: &Document<'_>, address: SocketAddr, spot: &'d Spot) {
        if let Some((other, first)) = self.0.iter().find(|(other, _)| overlap(*other, address)) {
            // A default has no place of its own to point at.
            let blamed = if matches!(spot, Spot::Nowhere) { first } else { spot };
            let detail = if *other == address {
                format!("two listeners want {address}; give each its own address or port")
            } else {
                format!("{address} and {other} can't both be listened on; give each its own port")
            };
            document.fault(blamed, detail);
        }
        self.0.push((address, spot));
    }
}

/// An unspecified address takes the port on every address of its family, and `[::]` on IPv4 too.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let covers = |a: SocketAddr, b: SocketAddr| {
        a.ip() == b.ip() || (a.ip().is_unspecified() && (a.is_ipv6() || b.is_ipv4()))
    };
    a.port() == b.port() && (covers(a, b) || covers(b, a))
}
