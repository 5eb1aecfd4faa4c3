//! `[[routes]]`.

use std::sync::Arc;

use super::headers;
use super::upstream::Upstreams;
use crate::config::document::Spot;
use crate::config::pattern::PathPattern;
use crate::config::settings::{Route, RouteUpstreams};
use crate::config::table::{Item, Table, closest};
use crate::policy::decision::Class;

const EXAMPLE: &str = "[{ path = \"/w/{widget}/loader.js\", class = \"asset\", upstream = \"demo\" }]";
const MISSING: [(&str, bool); 2] = [("allow", false), ("deny", true)];

pub(super) fn read(root: &Table<'_>, upstreams: &Upstreams<'_>, ticket_path: &PathPattern) -> Vec<Route> {
    let mut reading = Reading { upstreams, ticket_path, paths: Vec::new(), used: Vec::new() };
    let Some(item) = root.item("routes") else {
        root.fault(&Spot::Nowhere, format!("there is no route; add a [[routes]] table with {}", fields()));
        return Vec::new();
    };
    let spot = item.spot();
    let Some(items) = item.list(EXAMPLE) else { return Vec::new() };
    if items.is_empty() {
        root.fault(spot, format!("routes: at least one is needed, a [[routes]] table with {}", fields()));
    }
    let routes =
        items.into_iter().filter_map(|item| item.table(|table| reading.route(table)).flatten()).collect();
    for (name, spot) in &upstreams.names {
        if !reading.used.iter().any(|used| **used == **name) {
            root.document().warn(spot, format!("no route leads to the upstream '{name}'"));
        }
    }
    routes
}

fn fields() -> &'static str {
    EXAMPLE.trim_matches(['[', ']', '{', '}', ' '])
}

struct Reading<'r, 'd> {
    upstreams: &'r Upstreams<'d>,
    ticket_path: &'r PathPattern,
    paths: Vec<PathPattern>,
    used: Vec<Arc<str>>,
}

impl Reading<'_, '_> {
    fn route(&mut self, table: &Table<'_>) -> Option<Route> {
        let path = self.path(table);
        let class = class(table);
        let upstream = self.upstream(table);
        let missing =
            only_for(table, "missing", class, &[Class::Asset, Class::Frame], |item| item.choice(&MISSING));
        let credentials =
            only_for(table, "credentials", class, &[Class::Asset, Class::Session], Item::boolean);
        let shared_cache = only_for(table, "shared_cache", class, &[Class::Asset], Item::boolean);
        let stream = only_for(table, "stream", class, &[Class::Session], Item::boolean);
        let headers = table.table("headers", |table| headers::read(table, class, shared_cache));
        Some(Route {
            path: path?,
            class: class?,
            upstream: upstream?,
            missing_denied: missing,
            headers,
            credentials,
            shared_cache,
            stream,
        })
    }

    fn path(&mut self, table: &Table<'_>) -> Option<PathPattern> {
        let item = table.required("path", "\"/w/{widget}/loader.js\"")?;
        let spot = item.spot();
        let path = item.text(PathPattern::parse)?;
        if self.paths.contains(&path) {
            table.fault(spot, format!("routes.path: '{path}' has a route already; leave one of the two out"));
        }
        if path == *self.ticket_path {
            table
                .fault(spot, format!("routes.path: '{path}' is tickets.path, which the edge answers itself"));
        }
        self.paths.push(path.clone());
        Some(path)
    }

    fn upstream(&mut self, table: &Table<'_>) -> Option<RouteUpstreams> {
        let item = table.required("upstream", "\"demo\"")?;
        if !item.is_table() {
            let name = self.name(item)?;
            return Some(RouteUpstreams { production: name.clone(), staging: name });
        }
        let both = item.table(|table| {
            let production = table.required("production", "\"app\"").and_then(|item| self.name(item));
            let staging = table.required("staging", "\"demo\"").and_then(|item| self.name(item));
            Some(RouteUpstreams { production: production?, staging: staging? })
        });
        both.flatten()
    }

    fn name(&mut self, item: Item<'_>) -> Option<Arc<str>> {
        let known: Vec<&str> = self.upstreams.names.keys().copied().collect();
        let name: Arc<str> = item.text(|text| {
            if known.contains(&text) {
                return Ok(text.into());
            }
            let right = match (closest(text, &known), known.as_slice()) {
                (Some(near), _) => format!("did you mean '{near}'?"),
                (None, []) => format!("add a table [upstreams.{text}]"),
                (None, known) => format!("known are {}; or add a table [upstreams.{text}]", known.join(", ")),
            };
            Err(format!("there is no upstream '{text}'; {right}"))
        })?;
        self.used.push(name.clone());
        Some(name)
    }
}

fn class(table: &Table<'_>) -> Option<Class> {
    let words = Class::ALL.map(|class| (class.as_str(), class));
    table.required("class", "\"asset\"")?.choice(&words)
}

/// A switch that some classes have no use for; turning it on there is a fault, not a silent nothing.
fn only_for<'d>(
    table: &Table<'d>,
    key: &'static str,
    class: Option<Class>,
    classes: &[Class],
    read: impl FnOnce(Item<'d>) -> Option<bool>,
) -> bool {
    let Some(item) = table.item(key) else { return false };
    let spot = item.spot();
    let is_on = read(item).unwrap_or(false);
    if let Some(class) = class
        && is_on
        && !classes.contains(&class)
    {
        let fitting: Vec<&str> = classes.iter().map(|class| class.as_str()).collect();
        let detail =
            format!("has no meaning for class {}, only for {}", class.as_str(), fitting.join(" and "));
        table.fault(spot, format!("routes.{key}: {detail}; leave it out"));
    }
    is_on
}
