//! `[[routes]]`: which paths exist, what class they are and where they lead.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use crate::config::pattern::PathPattern;
use crate::policy::decision::Class;
use crate::policy::headers::{CacheRule, OwnProfile, Profile};
use crate::policy::widget::Environment;

/// One route.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// The path it answers; always with `{widget}`.
    pub path: PathPattern,
    /// What it serves, and so how it is judged.
    pub class: Class,
    /// Where its requests go.
    pub upstream: RouteUpstreams,
    /// Deny a request that names no embedder (`missing = "deny"`). Default: off. Classes `asset` and `frame`
    /// only.
    pub missing_denied: bool,
    /// Response headers set or removed in place of the class's own, in the order of their names.
    pub headers: Vec<HeaderOverride>,
    /// Send `Access-Control-Allow-Credentials`. Default: off. Classes `asset` and `session` only.
    pub credentials: bool,
    /// Leave `Cache-Control` open to shared caches. Default: off. Class `asset` only.
    pub shared_cache: bool,
    /// Its answers are streams, which may be silent for as long as a WebSocket (`edge.tunnel_idle_timeout`) and take a
    /// ticket that is over. Default: off, but for a `GET` whose `Accept` names `text/event-stream`. Class `session`
    /// only.
    pub stream: bool,
    /// Response headers that pages may read (`Access-Control-Expose-Headers`), in place of those that the upstream
    /// names; as they are written, none twice. Default: the upstream's. Classes `asset` and `session` only.
    pub expose: Option<Vec<Box<str>>>,
}

impl Route {
    /// What allowed answers carry, by whether the widget may use the microphone.
    pub fn profile(&self, voice: bool) -> Profile {
        let profile = Profile::new(self.class, voice, overrides(&self.headers));
        match &self.expose {
            Some(names) => profile.exposing(names),
            None => profile,
        }
    }

    /// What the edge's own answers carry.
    pub fn own_profile(&self) -> OwnProfile {
        OwnProfile::new(overrides(&self.headers))
    }

    /// What becomes of the upstream's `Cache-Control`.
    pub fn cache_rule(&self) -> CacheRule {
        CacheRule { class: self.class, fixed_path: !self.path.has_rest(), shared_cache: self.shared_cache }
    }
}

/// What the edge's own answers carry where no route is found. Headers that every route sets or removes alike are meant
/// for the whole host, as `Strict-Transport-Security` is (RFC 6797 §5.3), so they hold there, too.
pub fn routeless_profile(routes: &[Route]) -> OwnProfile {
    let Some((first, others)) = routes.split_first() else { return OwnProfile::new([]) };
    let shared = |header: &&HeaderOverride| others.iter().all(|other| other.headers.contains(header));
    OwnProfile::new(overrides(first.headers.iter().filter(shared)))
}

fn overrides<'h>(
    headers: impl IntoIterator<Item = &'h HeaderOverride>,
) -> impl Iterator<Item = (&'h HeaderName, Option<&'h HeaderValue>)> {
    headers.into_iter().map(|header| (&header.name, header.value.as_ref()))
}

/// The upstream of each environment: keys of [`Settings::upstreams`](super::Settings::upstreams).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteUpstreams {
    /// For widgets in production.
    pub production: Arc<str>,
    /// For widgets in staging; the same one when the route names only one.
    pub staging: Arc<str>,
}

impl RouteUpstreams {
    /// The upstream's name for widgets of this environment.
    pub fn of(&self, environment: Environment) -> &Arc<str> {
        match environment {
            Environment::Production => &self.production,
            Environment::Staging => &self.staging,
        }
    }
}

/// One response header of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderOverride {
    /// Its name; never one that the verdict computes or that frames the message.
    pub name: HeaderName,
    /// What it is set to; `None` (written `""`) removes it.
    pub value: Option<HeaderValue>,
}
