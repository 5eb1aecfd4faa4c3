//! `[[routes]]`.

use std::sync::Arc;

use http::HeaderName;

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
        let expose = expose(table, class, credentials);
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
            expose,
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
    if is_on {
        fits(table, (key, spot), class, classes);
    }
    is_on
}

/// Notes a fault where the class has no use for a key.
fn fits(table: &Table<'_>, (key, spot): (&str, &Spot), class: Option<Class>, classes: &[Class]) {
    let Some(class) = class.filter(|class| !classes.contains(class)) else { return };
    let fitting: Vec<&str> = classes.iter().map(|class| class.as_str()).collect();
    let detail = format!("has no meaning for class {}, only for {}", class.as_str(), fitting.join(" and "));
    table.fault(spot, format!("routes.{key}: {detail}; leave it out"));
}

/// The names of the response headers that pages may read.
fn expose(table: &Table<'_>, class: Option<Class>, credentials: bool) -> Option<Vec<Box<str>>> {
    let item = table.item("expose")?;
    fits(table, ("expose", item.spot()), class, &[Class::Asset, Class::Session]);
    let mut kept: Vec<(HeaderName, Box<str>)> = Vec::new();
    for ((name, text), spot) in item.texts("[\"Mcp-Session-Id\"]", |text| exposed(text, credentials))? {
        if kept.iter().any(|(other, _)| *other == name) {
            table.fault(spot, format!("routes.expose: '{text}' is listed twice; leave one out"));
        } else {
            kept.push((name, text));
        }
    }
    if let [_, _, ..] = kept.as_slice()
        && let Some(spot) = table.place_of("expose")
        && kept.iter().any(|(_, text)| **text == *"*")
    {
        table.fault(spot, "routes.expose: '*' exposes every header; write [\"*\"], or the names without it");
    }
    Some(kept.into_iter().map(|(_, text)| text).collect())
}

fn exposed(text: &str, credentials: bool) -> Result<(HeaderName, Box<str>), String> {
    const LONGEST: usize = 128;
    let name = HeaderName::from_bytes(text.as_bytes()).ok().filter(|_| text.len() <= LONGEST);
    let name =
        name.ok_or_else(|| format!("'{text}' is no header name; write it such as \"Mcp-Session-Id\""))?;
    match name.as_str() {
        "set-cookie" | "set-cookie2" => {
            Err(format!("browsers show '{text}' to no page, whoever exposes it; leave it out"))
        }
        "*" if credentials => {
            Err("with credentials = true browsers take '*' for a name of its own; name the headers"
                .to_owned())
        }
        _ => Ok((name, text.into())),
    }
}
