//! Resolver of the parsed tree into [`Settings`]: defaults, checks of each section, and checks between
//! sections.

use std::net::SocketAddr;

use super::document::{ConfigDocument, Entries, ValueSource, stated};
use super::settings::Settings;
use super::table::ConfigTable;
use calls::CallPaths;

pub mod activity;
pub mod admin;
pub mod bounds;
pub mod cache;
mod calls;
pub mod edge;
mod headers;
pub mod limits;
pub mod log;
pub mod notify;
pub mod policy;
pub mod reports;
pub mod route;
pub mod rules;
pub mod tickets;
pub mod upstream;

/// The settings of the tree, with defaults. They are valid only if the document has no faults afterwards.
pub(super) fn resolve(document: &ConfigDocument<'_>, entries: &Entries) -> Settings {
    ConfigTable::root(document, entries, |root| {
        let mut listeners = ListenAddresses::default();
        let edge = root.table("edge", |table| edge::read(table, &mut listeners));
        let admin = root.table("admin", |table| admin::read(table, &mut listeners));
        let rules = root.table("rules", rules::read);
        let policy = root.table("policy", |table| policy::read(table, &edge.public_origins));
        let tickets = root.table("tickets", tickets::read);
        let taken = (&tickets.path, root.place_of("tickets"));
        let reports = root.table("reports", |table| reports::read(table, taken));
        let activity = root.table("activity", activity::read);
        let limits = root.table("limits", limits::read);
        let notify = root.table("notify", self::notify::read);
        let log = root.table("log", log::read);
        let cache = root.table("cache", cache::read);
        let upstreams = root.table("upstreams", upstream::read);
        let calls = CallPaths::new(&tickets.path, reports.path.as_ref());
        let routes = route::read(root, &upstreams, calls, &edge.public_origins);
        Settings {
            edge,
            admin,
            rules,
            policy,
            tickets,
            reports,
            activity,
            limits,
            notify,
            log,
            cache,
            upstreams: upstreams.settings,
            routes,
            warnings: Vec::new(),
            stated: stated(document, entries),
        }
    })
}

/// Addresses of listeners, each with the place of its setting.
#[derive(Default)]
struct ListenAddresses<'d>(Vec<(SocketAddr, &'d ValueSource)>);

impl<'d> ListenAddresses<'d> {
    /// Takes an address; a fault if another listener already has it.
    fn claim(&mut self, document: &ConfigDocument<'_>, address: SocketAddr, spot: &'d ValueSource) {
        if let Some((other, first)) = self.0.iter().find(|(other, _)| overlap(*other, address)) {
            // A default has no place, so the other setting is blamed.
            let blamed = if matches!(spot, ValueSource::Nowhere) { first } else { spot };
            let detail = if *other == address {
                format!("two listeners have {address}; give each its own address or port")
            } else {
                format!("can't listen on both {address} and {other}; give each its own port")
            };
            document.fault(blamed, detail);
        }
        self.0.push((address, spot));
    }
}

/// Whether two addresses overlap. An unspecified address takes the port on every address of its family, and
/// `[::]` on IPv4 too.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let covers = |a: SocketAddr, b: SocketAddr| {
        a.ip() == b.ip() || (a.ip().is_unspecified() && (a.is_ipv6() || b.is_ipv4()))
    };
    a.port() == b.port() && (covers(a, b) || covers(b, a))
}
