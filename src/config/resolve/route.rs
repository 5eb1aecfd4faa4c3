//! Resolver of `[[routes]]`.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use super::calls::CallPaths;
use super::headers;
use super::upstream::KnownUpstreams;
use crate::config::document::ValueSource;
use crate::config::pattern::{PathPattern, RewritePattern, RouteHost};
use crate::config::scalar;
use crate::config::table::{ConfigTable, Item, closest};
use embedgate_policy::headers::{CacheRule, OwnProfile, Profile};
use embedgate_policy::origin::{OwnOrigin, OwnOrigins};
use embedgate_policy::verdict::Class;
use embedgate_policy::widget::Environment;

mod classes;
mod expose;
mod place;

pub use place::WidgetPlace;

use classes::only_for;

/// Settings of one route.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteSettings {
    /// The hosts. Default: any.
    pub host: RouteHost,
    /// The path.
    pub path: PathPattern,
    /// Where the widget's id stands. Default: where `{widget}` is.
    pub widget: WidgetPlace,
    /// The path toward the upstream. Default: that of the request.
    pub rewrite: Option<RewritePattern>,
    /// An encoded slash (`%2F`) in the rest is a character of its segment (`encoded_slashes = "pass"`). Default: such a
    /// request is refused.
    pub encoded_slashes: bool,
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
    /// Requests open something that the widget's limits count, such as the call that hands out a room token. Default: only
    /// WebSocket handshakes do. Class `session` only.
    pub opens: bool,
    /// Maximum length of a request's body, in bytes; 0: none may come. Default: 10 MiB.
    pub max_body: u64,
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

/// Default of `max_body`, in bytes.
const MAX_BODY: u64 = 10 * 1024 * 1024;

const EXAMPLE: &str = "[{ path = \"/w/{widget}/loader.js\", class = \"asset\", upstream = \"app\" }]";
const MISSING: [(&str, bool); 2] = [("allow", false), ("deny", true)];
const ENCODED_SLASHES: [(&str, bool); 2] = [("refuse", false), ("pass", true)];

pub(super) fn read(
    root: &ConfigTable<'_>,
    upstreams: &KnownUpstreams<'_>,
    calls: CallPaths<'_>,
    own: &OwnOrigins,
) -> Vec<RouteSettings> {
    let mut reading = RouteReading { upstreams, calls, own, places: Vec::new(), used: Vec::new() };
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
    calls: CallPaths<'r>,
    own: &'r OwnOrigins,
    places: Vec<(RouteHost, PathPattern)>,
    used: Vec<Arc<str>>,
}

impl RouteReading<'_, '_> {
    fn route(&mut self, table: &ConfigTable<'_>) -> Option<RouteSettings> {
        let host = self.host(table);
        let path = self.path(table, &host);
        let widget = place::read(table, path.as_ref(), &host);
        let path = path.map(|(path, _)| path);
        let rewrite = rewrite(table, path.as_ref());
        let encoded_slashes = encoded_slashes(table, path.as_ref());
        let class = class(table);
        let upstream = self.upstream(table);
        let missing =
            only_for(table, "missing", class, &[Class::Asset, Class::Frame], |item| item.choice(&MISSING));
        let credentials =
            only_for(table, "credentials", class, &[Class::Asset, Class::Session], Item::boolean);
        let shared_cache = only_for(table, "shared_cache", class, &[Class::Asset], Item::boolean);
        let stream = only_for(table, "stream", class, &[Class::Session], Item::boolean);
        let opens = only_for(table, "opens", class, &[Class::Session], Item::boolean);
        let max_body = table.or("max_body", |item| item.quantity(scalar::bytes), MAX_BODY);
        let expose = expose::read(table, class, credentials);
        let headers = table.table("headers", |table| headers::read(table, class, shared_cache));
        Some(RouteSettings {
            host,
            path: path?,
            widget: widget?,
            rewrite,
            encoded_slashes,
            class: class?,
            upstream: upstream?,
            missing_denied: missing,
            headers,
            credentials,
            shared_cache,
            stream,
            opens,
            max_body,
            expose,
        })
    }

    fn host(&self, table: &ConfigTable<'_>) -> RouteHost {
        let Some(item) = table.item("host") else { return RouteHost::Any };
        let spot = item.spot();
        let host = item.text(RouteHost::parse).unwrap_or_default();
        if !self.own.iter().any(|own| is_of_host(&own, &host)) {
            table.document().warn(
                spot,
                format!(
                    "routes.host: no origin of edge.public_origins has the host '{host}', so sessions of iframes on it \
                     are judged as a stranger's"
                ),
            );
        }
        host
    }

    fn path<'d>(
        &mut self,
        table: &ConfigTable<'d>,
        host: &RouteHost,
    ) -> Option<(PathPattern, &'d ValueSource)> {
        let item = table.required("path", "\"/w/{widget}/loader.js\"")?;
        let spot = item.spot();
        let path = item.text(PathPattern::parse)?;
        if self.places.iter().any(|(other, before)| other == host && *before == path) {
            let on = if *host == RouteHost::Any { String::new() } else { format!(" on {host}") };
            table.fault(spot, format!("routes.path: '{path}' already has a route{on}; leave one out"));
        }
        if let Some(fault) = self.calls.fault(&path) {
            table.fault(spot, format!("routes.path: {fault}"));
        }
        let mut others = self.places.iter().filter(|(other, _)| other == host).map(|(_, path)| path);
        if let Some(other) = others.find(|other| path.competes(other)) {
            let detail = "could both match a path, and neither is narrower; write one of them longer";
            table.fault(spot, format!("routes.path: '{path}' and '{other}' {detail}"));
        }
        self.places.push((host.clone(), path.clone()));
        Some((path, spot))
    }

    fn upstream(&mut self, table: &ConfigTable<'_>) -> Option<RouteUpstreams> {
        // An example that could be written as it is.
        let known = self.upstreams.names.keys().next().copied().unwrap_or("app");
        let item = table.required("upstream", &format!("\"{known}\""))?;
        if !item.is_table() {
            let name = self.name(item)?;
            return Some(RouteUpstreams { production: name.clone(), staging: name });
        }
        let both = item.table(|table| {
            let [production, staging] =
                ["production", "staging"].map(|key| table.item(key).and_then(|item| self.name(item)));
            for (key, other) in [("production", &staging), ("staging", &production)] {
                table.required(key, &format!("\"{}\"", other.as_deref().unwrap_or(known)));
            }
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

/// Whether an origin of the edge has the host of a route.
fn is_of_host(own: &OwnOrigin, host: &RouteHost) -> bool {
    match host {
        RouteHost::Any => true,
        RouteHost::Exact(name) => own.at_host(name).is_some(),
        // The place of the id stands for any.
        RouteHost::ByWidget(parent) => {
            matches!(own, OwnOrigin::ByWidget(_)) && own.at_host(&format!("w{parent}")).is_some()
        }
    }
}

fn rewrite(table: &ConfigTable<'_>, path: Option<&PathPattern>) -> Option<RewritePattern> {
    let item = table.item("rewrite")?;
    let spot = item.spot();
    let rewrite = item.text(RewritePattern::parse)?;
    let fitting = rewrite.fits(path?);
    fitting.map_err(|detail| table.fault(spot, format!("routes.rewrite: {detail}"))).ok()
}

fn encoded_slashes(table: &ConfigTable<'_>, path: Option<&PathPattern>) -> bool {
    let Some(item) = table.item("encoded_slashes") else { return false };
    let spot = item.spot();
    let pass = item.choice(&ENCODED_SLASHES).unwrap_or(false);
    if pass && path.is_some_and(|path| !path.has_rest()) {
        let detail =
            "routes.encoded_slashes: only {*rest} can have any, and routes.path has none; leave it out";
        table.fault(spot, detail);
    }
    pass
}

fn class(table: &ConfigTable<'_>) -> Option<Class> {
    let words = Class::ALL.map(|class| (class.as_str(), class));
    table.required("class", "\"asset\"")?.choice(&words)
}
