//! Routes by host: an exact host goes before a pattern, and a pattern before none.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::PathTarget;
use crate::config::RouteHost;
use crate::edge::error::EdgeError;

/// Longest host that is compared, in bytes: the longest name of DNS.
const LONGEST_HOST: usize = 253;

type Router = matchit::Router<PathTarget>;

/// Routers of paths, by host.
#[derive(Debug, Default)]
pub struct HostRouters {
    any: Router,
    /// The key is the host in lower case.
    exact: HashMap<Box<str>, Router, FixedState>,
    /// The key is what follows the widget's label: `.chat.example.net`.
    by_widget: HashMap<Box<str>, Router, FixedState>,
}

/// Target of a path, with what the request has in the place of the id.
#[derive(Debug)]
pub struct FoundPath<'t> {
    pub target: &'t PathTarget,
    /// The text in the place of `{widget}` in the path.
    pub in_path: Option<&'t str>,
    /// The first label of the host.
    pub in_host: Option<&'t str>,
}

impl HostRouters {
    /// Adds a target.
    ///
    /// # Errors
    /// Another target matches the same paths of this host.
    pub fn insert(&mut self, host: &RouteHost, path: &str, target: PathTarget) -> Result<(), EdgeError> {
        let router = match host {
            RouteHost::Any => &mut self.any,
            RouteHost::Exact(host) => self.exact.entry(host.clone()).or_default(),
            RouteHost::ByWidget(parent) => self.by_widget.entry(parent.clone()).or_default(),
        };
        add(router, path, target)
    }

    /// Adds a target that goes before the routes of every host that has routes of its own.
    ///
    /// # Errors
    /// A route matches the same paths.
    pub fn insert_everywhere(
        &mut self,
        path: &str,
        target: impl Fn() -> PathTarget,
    ) -> Result<(), EdgeError> {
        let routers = self.exact.values_mut().chain(self.by_widget.values_mut()).chain([&mut self.any]);
        for router in routers {
            add(router, path, target())?;
        }
        Ok(())
    }

    /// Finds the target of a path. Most edges have no routes by host. `host` returns the request's `Host`, including
    /// the port.
    #[inline]
    pub fn find<'t>(&'t self, host: impl FnOnce() -> &'t str, path: &'t str) -> Option<FoundPath<'t>> {
        if !(self.exact.is_empty() && self.by_widget.is_empty())
            && let Some(found) = self.by_host(name(host()), path)
        {
            return Some(found);
        }
        at(&self.any, path, None)
    }

    fn by_host<'t>(&'t self, host: &'t str, path: &'t str) -> Option<FoundPath<'t>> {
        // Names of hosts are case-insensitive (RFC 9110 §4.2.3).
        let mut lower = [0; LONGEST_HOST];
        let lower = lower.get_mut(..host.len())?;
        lower.copy_from_slice(host.as_bytes());
        lower.make_ascii_lowercase();
        let name = str::from_utf8(lower).ok()?;
        if let Some(found) = self.exact.get(name).and_then(|router| at(router, path, None)) {
            return Some(found);
        }
        let dot = name.find('.')?;
        let (label, parent) = (host.get(..dot), name.get(dot..)?);
        self.by_widget.get(parent).and_then(|router| at(router, path, label))
    }
}

fn add(router: &mut Router, path: &str, target: PathTarget) -> Result<(), EdgeError> {
    let added = router.insert(path, target);
    added.map_err(|error| EdgeError::Route { path: path.to_owned(), detail: error.to_string() })
}

#[inline]
fn at<'t>(router: &'t Router, path: &'t str, in_host: Option<&'t str>) -> Option<FoundPath<'t>> {
    let found = router.at(path).ok()?;
    Some(FoundPath { target: found.value, in_path: found.params.get("widget"), in_host })
}

/// A host without its port, and without the dot of a fully qualified name, which means the same host.
fn name(host: &str) -> &str {
    let name = match host.rsplit_once(':') {
        // The colons of an IPv6 address are inside its brackets.
        Some((name, port)) if !port.contains(']') => name,
        _ => host,
    };
    name.strip_suffix('.').unwrap_or(name)
}
