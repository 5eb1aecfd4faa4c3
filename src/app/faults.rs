//! What is wrong or doubtful in the settings, before the edge starts.

use std::net::SocketAddr;

use jiff::Timestamp;

use super::demo::Demo;
use super::suffixes::public_suffixes;
use super::tls::certificate_concerns;
use super::{AppError, control};
use crate::config::{self, Settings};
use crate::edge::admission::route::RouteTable;
use crate::edge::admission::tickets::key_file::KeyFile;
use crate::edge::connection::tls::Certificates;
use crate::edge::error::EdgeError;
use crate::edge::forward::upstream::Upstreams;

/// Every error that would keep the edge from starting, except those of the rules. Addresses are not tried.
pub fn faults(settings: &Settings) -> Vec<AppError> {
    let somewhere = SocketAddr::from(([127, 0, 0, 1], 1));
    let routes = Upstreams::prepare(&settings.upstreams, Some(somewhere), None).and_then(|upstreams| {
        RouteTable::prepare(&settings.routes, &settings.tickets.path, &upstreams, None)
    });
    let certificates = settings.edge.tls.iter().map(|tls| Certificates::load(tls.certificates.clone()).err());
    let certificates = certificates.flatten().map(EdgeError::from).chain(control::mutual_tls(settings).err());
    let edge = certificates.chain(routes.err()).map(AppError::from).chain(Demo::fault(settings));
    let keys = &settings.tickets.key_file;
    // A start makes a missing key file.
    let keys = keys.exists().then(|| KeyFile::open(keys.clone()).err()).flatten();
    edge.chain(keys.map(AppError::from)).chain(public_suffixes(settings).err()).collect()
}

/// Logs the settings that are allowed but probably unintended, and those without effect in this version.
pub(super) fn say_what_to_know(settings: &Settings, now: Timestamp) {
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    for notice in config::notices(settings) {
        tracing::warn!("{notice}");
    }
    for concern in certificate_concerns(settings, now) {
        tracing::warn!("{concern}");
    }
}
