//! `[[routes]]`: which paths exist, what class they are and where they lead.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use crate::config::pattern::PathPattern;
use crate::policy::decision::Class;
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
