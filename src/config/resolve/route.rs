//! Resolver of `[[routes]]`.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use super::headers;
use super::upstream::KnownUpstreams;
use crate::config::document::ValueSource;
use crate::config::pattern::PathPattern;
use crate::config::table::{ConfigTable, Item, closest};
use embedgate_policy::headers::{CacheRule, OwnProfile, Profile};
use embedgate_policy::verdict::Class;
use embedgate_policy::widget::Environment;

/// Settings of one route.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteSettings {
    /// The path, always with `{widget}`.
    pub path: PathPattern,
    /// The class: what the route serves, and so how it is judged.
    pub class: Class,
    /// The upstream of each environment.
    pub upstream: RouteUpstreams,
    /// Deny a request that names no embedder (`missing = "deny"`). Default: off. Classes `asset` and `frame`
    /// only.
    pub missing_denied: bool,
    /// Response headers that are set or removed, overriding those of the class, in the order of their names.
    pub headers: Vec<HeaderOverride>,
    /// Send `Access-Control-Allow-Credentials`. Default: off. Classes `asset` and `session` only.
    pub credentials: bool,
    /// Leave `Cache-Control` open to shared caches. Default: off. Class `asset` only.
    pub shared_cache: bool,
    /// The answers are streams: they may be silent for as long as a WebSocket (`edge.tunnel_idle_timeout`), and an
    /// expired ticket is accepted. Default: only for a `GET` whose `Accept` names `text/event-stream`. Class
    /// `session` only.
    pub stream: bool,
    /// Response headers that pages may read (`Access-Control-Expose-Headers`), instead of those that the upstream
    /// names. The names are as written, none twice. Default: the upstream's. Classes `asset` and `session` only.
    pub expose: Option<Vec<Box<str>>>,
}

impl RouteSettings {
    /// The header profile of allowed answers. `voice`: the widget may use the microphone.
    pub fn profile(&self, voice: bool) -> Profile {
        let profile = Profile::new(self.class, voice, overrides(&self.headers));
        match &self.expose {
            Some(names) => profile.exposing(names),
            None => profile,
        }
    }

    /// The header profile of the edge's own answers.
    pub fn own_profile(&self) -> OwnProfile {
        OwnProfile::of_class(self.class, overrides(&self.headers))
    }

    /// The rule for the upstream's `Cache-Control`.
    pub fn cache_rule(&self) -> CacheRule {
        CacheRule { class: self.class, fixed_path: !self.path.has_rest(), shared_cache: self.shared_cache }
    }
}

/// The header profile of the edge's own answers without a route. Headers that every route sets or removes in the same
/// way are meant for the whole host, like `Strict-Transport-Security` (RFC 6797 §5.3), so they apply here too.
pub fn routeless_profile(routes: &[RouteSettings]) -> OwnProfile {
    let Some((first, others)) = routes.split_first() else { return OwnProfile::new([]) };
    let shared = |header: &&HeaderOverride| others.iter().all(|other| other.headers.contains(header));
    OwnProfile::new(overrides(first.headers.iter().filter(shared)))
}

fn overrides<'h>(
    headers: impl IntoIterator<Item = &'h HeaderOverride>,
) -> impl Iterator<Item = (&'h HeaderName, Option<&'h HeaderValue>)> {
    headers.into_iter().map(|header| (&header.name, header.value.as_ref()))
}

/// Upstream of each environment: keys of [`Settings::upstreams`](super::Settings::upstreams).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteUpstreams {
    /// The upstream of production widgets.
    pub production: Arc<str>,
    /// The upstream of staging widgets; the same if the route names only one.
    pub staging: Arc<str>,
}

impl RouteUpstreams {
    /// The name of the upstream of this environment.
    pub fn of(&self, environment: Environment) -> &Arc<str> {
        match environment {
            Environment::Production => &self.production,
            Environment::Staging => &self.staging,
        }
    }
}

/// Response header that a route sets or removes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderOverride {
    /// The name; never a header that the verdict computes or that frames the message.
    pub name: HeaderName,
    /// The value; `None` (written `""`) removes the header.
    pub value: Option<HeaderValue>,
}

const EXAMPLE: &str = "[{ path = \"/w/{widget}/loader.js\", class = \"asset\", upstream = \"demo\" }]";
const MISSING: [(&str, bool); 2] = [("allow", false), ("deny", true)];

pub(super) fn read(
    root: &ConfigTable<'_>,
    upstreams: &KnownUpstreams<'_>,
    ticket_path: &PathPattern,
) -> Vec<RouteSettings> {
    let mut reading = RouteReading { upstreams, ticket_path, paths: Vec::new(), used: Vec::new() };
    let Some(item) = root.item("routes") else {
        root.fault(
            &ValueSource::Nowhere,
            format!("there are no routes; add a [[routes]] table with {}", fields()),
        );
        return Vec::new();
    };
    let spot = item.spot();
    let Some(items) = item.list(EXAMPLE) else { return Vec::new() };
    if items.is_empty() {
        root.fault(spot, format!("routes: needs at least one [[routes]] table, with {}", fields()));
    }
    let routes =
        items.into_iter().filter_map(|item| item.table(|table| reading.route(table)).flatten()).collect();
    for (name, spot) in &upstreams.names {
        if !reading.used.iter().any(|used| **used == **name) {
            root.document().warn(spot, format!("no route uses the upstream '{name}'"));
        }
    }
    routes
}

fn fields() -> &'static str {
    EXAMPLE.trim_matches(['[', ']', '{', '}', ' '])
}

struct RouteReading<'r, 'd> {
    upstreams: &'r KnownUpstreams<'d>,
    ticket_path: &'r PathPattern,
    paths: Vec<PathPattern>,
    used: Vec<Arc<str>>,
}

impl RouteReading<'_, '_> {
    fn route(&mut self, table: &ConfigTable<'_>) -> Option<RouteSettings> {
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
        Some(RouteSettings {
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

    fn path(&mut self, table: &ConfigTable<'_>) -> Option<PathPattern> {
        let item = table.required("path", "\"/w/{widget}/loader.js\"")?;
        let spot = item.spot();
        let path = item.text(PathPattern::parse)?;
        if self.paths.contains(&path) {
            table.fault(spot, format!("routes.path: '{path}' already has a route; leave one out"));
        }
        if path == *self.ticket_path {
            table
                .fault(spot, format!("routes.path: '{path}' is tickets.path, which the edge answers itself"));
        }
        self.paths.push(path.clone());
        Some(path)
    }

    fn upstream(&mut self, table: &ConfigTable<'_>) -> Option<RouteUpstreams> {
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
                (None, known) => {
                    format!("known upstreams: {}; or add a table [upstreams.{text}]", known.join(", "))
                }
            };
            Err(format!("there is no upstream '{text}'; {right}"))
        })?;
        self.used.push(name.clone());
        Some(name)
    }
}

fn class(table: &ConfigTable<'_>) -> Option<Class> {
    let words = Class::ALL.map(|class| (class.as_str(), class));
    table.required("class", "\"asset\"")?.choice(&words)
}

/// A switch that only applies to some classes. For other classes, `true` is a fault and not silently ignored.
fn only_for<'d>(
    table: &ConfigTable<'d>,
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

/// Notes a fault if a key does not apply to the class.
fn fits(table: &ConfigTable<'_>, (key, spot): (&str, &ValueSource), class: Option<Class>, classes: &[Class]) {
    let Some(class) = class.filter(|class| !classes.contains(class)) else { return };
    let fitting: Vec<&str> = classes.iter().map(|class| class.as_str()).collect();
    let detail = format!("does not apply to class {}, only to {}", class.as_str(), fitting.join(" and "));
    table.fault(spot, format!("routes.{key}: {detail}; leave it out"));
}

/// The response headers that pages may read.
fn expose(table: &ConfigTable<'_>, class: Option<Class>, credentials: bool) -> Option<Vec<Box<str>>> {
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
        table.fault(
            spot,
            "routes.expose: '*' already exposes every header; write [\"*\"] alone, or only the names",
        );
    }
    Some(kept.into_iter().map(|(_, text)| text).collect())
}

fn exposed(text: &str, credentials: bool) -> Result<(HeaderName, Box<str>), String> {
    const LONGEST: usize = 128;
    let name = HeaderName::from_bytes(text.as_bytes()).ok().filter(|_| text.len() <= LONGEST);
    let name =
        name.ok_or_else(|| format!("'{text}' is not a header name; write it like \"Mcp-Session-Id\""))?;
    match name.as_str() {
        "set-cookie" | "set-cookie2" => Err(format!("browsers never expose '{text}'; leave it out")),
        "*" if credentials => {
            Err("with credentials = true browsers read '*' as a header of that name; list the headers"
                .to_owned())
        }
        _ => Ok((name, text.into())),
    }
}
