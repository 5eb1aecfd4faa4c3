//! The route table: which class a path is, which widget it names and where its requests go.

use std::fmt;
use std::sync::Arc;

use super::error::EdgeError;
use super::upstream::{Upstream, Upstreams};
use crate::config::{self, PathPattern};
use crate::policy::decision::{Class, WidgetRules};
use crate::policy::headers::{CacheRule, OwnProfile, Profile};
use crate::policy::widget::Environment;

/// One route, ready for use.
#[derive(Debug)]
pub struct Route {
    /// How it is judged.
    pub class: Class,
    /// Deny a request that names no embedder.
    pub missing_denied: bool,
    /// Send `Access-Control-Allow-Credentials` to listed embedders.
    pub credentials: bool,
    /// Its answers are streams.
    pub stream: bool,
    /// What becomes of the upstream's `Cache-Control`.
    pub cache: CacheRule,
    /// What the edge's own answers on this route carry.
    pub own: Arc<OwnProfile>,
    silent: Profile,
    voice: Profile,
    production: Arc<Upstream>,
    staging: Arc<Upstream>,
}

impl Route {
    fn prepare(route: &config::Route, upstreams: &Upstreams) -> Result<Self, EdgeError> {
        let upstream = |environment: Environment| {
            let name = route.upstream.of(environment);
            upstreams.get(name).cloned().ok_or_else(|| EdgeError::Route {
                path: route.path.as_str().to_owned(),
                detail: format!("there is no upstream {name}"),
            })
        };
        Ok(Self {
            class: route.class,
            missing_denied: route.missing_denied,
            credentials: route.credentials,
            stream: route.stream,
            cache: route.cache_rule(),
            own: Arc::new(route.own_profile()),
            silent: route.profile(false),
            voice: route.profile(true),
            production: upstream(Environment::Production)?,
            staging: upstream(Environment::Staging)?,
        })
    }

    /// The fixed response headers, by whether the widget may use the microphone.
    pub fn profile(&self, voice: bool) -> &Profile {
        if voice { &self.voice } else { &self.silent }
    }

    /// Where requests for this widget go.
    pub fn upstream(&self, widget: WidgetRules<'_>) -> &Arc<Upstream> {
        match widget.environment {
            Environment::Production => &self.production,
            Environment::Staging => &self.staging,
        }
    }
}

/// All routes of this edge.
#[derive(Debug)]
pub struct RouteTable {
    router: matchit::Router<Place>,
    pages: Option<Arc<dyn HostPages>>,
    own: Arc<OwnProfile>,
}

/// Pages at `/` of names of their own. They are no widget's, and not judged.
pub trait HostPages: fmt::Debug + Send + Sync {
    /// The HTML page for the name that a browser asks for, its port included; `None` where it has none.
    fn page(&self, authority: &str) -> Option<String>;
}

/// What a path pattern leads to.
#[derive(Debug)]
enum Place {
    Route(Arc<Route>),
    Tickets,
}

/// Where a request goes.
#[derive(Debug)]
pub enum Target<'t> {
    /// A route, and the widget its path names, as written there.
    Route {
        /// The route.
        route: &'t Arc<Route>,
        /// What stands in the place of `{widget}`; not necessarily a possible id.
        widget: &'t str,
    },
    /// The edge itself, for a ticket.
    Tickets {
        /// What stands in the place of `{widget}`.
        widget: &'t str,
    },
    /// One of the [`HostPages`].
    Page(String),
    /// Nowhere.
    None,
}

impl RouteTable {
    /// Builds the table. `tickets`: where tickets are asked for. `pages`: what is served at `/`.
    pub fn prepare(
        routes: &[config::Route],
        tickets: &PathPattern,
        upstreams: &Upstreams,
        pages: Option<Arc<dyn HostPages>>,
    ) -> Result<Self, EdgeError> {
        let mut router = matchit::Router::new();
        let mut insert = |path: &PathPattern, place| {
            router.insert(path.as_str(), place).map_err(|error| EdgeError::Route {
                path: path.as_str().to_owned(),
                detail: error.to_string(),
            })
        };
        for route in routes {
            insert(&route.path, Place::Route(Arc::new(Route::prepare(route, upstreams)?)))?;
        }
        insert(tickets, Place::Tickets)?;
        Ok(Self { router, pages, own: Arc::new(config::routeless_profile(routes)) })
    }

    /// What the edge's own answers to a request for this target carry.
    pub fn own<'t>(&'t self, target: &Target<'t>) -> &'t Arc<OwnProfile> {
        match target {
            Target::Route { route, .. } => &route.own,
            Target::Tickets { .. } | Target::Page(_) | Target::None => &self.own,
        }
    }

    /// Finds the target of a path. `host` tells the request's `Host`, its port included.
    pub fn find<'t>(&'t self, host: impl FnOnce() -> &'t str, path: &'t str) -> Target<'t> {
        if let Ok(found) = self.router.at(path)
            && let Some(widget) = found.params.get("widget")
        {
            return match found.value {
                Place::Route(route) => Target::Route { route, widget },
                Place::Tickets => Target::Tickets { widget },
            };
        }
        let pages = self.pages.as_ref().filter(|_| path == "/");
        pages.and_then(|pages| pages.page(host())).map_or(Target::None, Target::Page)
    }
}
