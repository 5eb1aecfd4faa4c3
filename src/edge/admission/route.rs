//! Route table: the class of a path, the widget that it names, and its upstream.

use std::fmt;
use std::sync::Arc;

use crate::config::{self, PathPattern};
use crate::edge::error::EdgeError;
use crate::edge::forward::upstream::{Upstream, Upstreams};
use embedgate_policy::compiled::WidgetRules;
use embedgate_policy::headers::{CacheRule, OwnProfile, Profile};
use embedgate_policy::verdict::Class;
use embedgate_policy::widget::Environment;

/// Route, prepared for requests.
#[derive(Debug)]
pub struct Route {
    /// The class, which decides how requests are judged.
    pub class: Class,
    /// Deny a request that names no embedder.
    pub missing_denied: bool,
    /// Send `Access-Control-Allow-Credentials` to listed embedders.
    pub credentials: bool,
    /// The answers are streams.
    pub stream: bool,
    /// The rule for the upstream's `Cache-Control`.
    pub cache: CacheRule,
    /// The profile of the edge's own answers on this route.
    pub own: Arc<OwnProfile>,
    silent: Profile,
    voice: Profile,
    production: Arc<Upstream>,
    staging: Arc<Upstream>,
}

impl Route {
    fn prepare(route: &config::RouteSettings, upstreams: &Upstreams) -> Result<Self, EdgeError> {
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

    /// The fixed response headers. `voice`: the widget may use the microphone.
    pub fn profile(&self, voice: bool) -> &Profile {
        if voice { &self.voice } else { &self.silent }
    }

    /// The upstream for requests of this widget.
    pub fn upstream(&self, widget: WidgetRules<'_>) -> &Arc<Upstream> {
        match widget.environment {
            Environment::Production => &self.production,
            Environment::Staging => &self.staging,
        }
    }
}

/// Route table of this edge.
#[derive(Debug)]
pub struct RouteTable {
    router: matchit::Router<PathTarget>,
    pages: Option<Arc<dyn HostPages>>,
    own: Arc<OwnProfile>,
}

/// Pages at `/` of their own host names. They belong to no widget and are not judged.
pub trait HostPages: fmt::Debug + Send + Sync {
    /// The HTML page for the authority that a browser asks for, including the port; `None` if there is none.
    fn page(&self, authority: &str) -> Option<String>;
}

/// Target of a path pattern.
#[derive(Debug)]
enum PathTarget {
    Route(Arc<Route>),
    Tickets,
}

/// Target of a request.
#[derive(Debug)]
pub enum Target<'t> {
    /// A route and the widget in the path.
    Route {
        /// The route.
        route: &'t Arc<Route>,
        /// The text in the place of `{widget}`, which may not be an id.
        widget: &'t str,
    },
    /// The edge's call for tickets.
    Tickets {
        /// The text in the place of `{widget}`.
        widget: &'t str,
    },
    /// A page of the [`HostPages`].
    Page(String),
    /// No target.
    None,
}

impl RouteTable {
    /// Builds the table. `tickets`: the path of calls for tickets. `pages`: the pages at `/`.
    ///
    /// # Errors
    ///
    /// Two routes match the same path, or a route names an unknown upstream.
    pub fn prepare(
        routes: &[config::RouteSettings],
        tickets: &PathPattern,
        upstreams: &Upstreams,
        pages: Option<Arc<dyn HostPages>>,
    ) -> Result<Self, EdgeError> {
        let mut router = matchit::Router::new();
        let mut insert = |path: &str, place| {
            router
                .insert(path, place)
                .map_err(|error| EdgeError::Route { path: path.to_owned(), detail: error.to_string() })
        };
        for settings in routes {
            let route = Arc::new(Route::prepare(settings, upstreams)?);
            insert(settings.path.as_str(), PathTarget::Route(Arc::clone(&route)))?;
            // `{*rest}` also stands for nothing; a route of that very path goes before it.
            let empty = settings
                .path
                .without_rest()
                .filter(|path| !routes.iter().any(|route| route.path.as_str() == *path));
            if let Some(path) = empty {
                insert(path, PathTarget::Route(route))?;
            }
        }
        insert(tickets.as_str(), PathTarget::Tickets)?;
        Ok(Self { router, pages, own: Arc::new(config::routeless_profile(routes)) })
    }

    /// The profile of the edge's own answers to a request for this target.
    pub fn own<'t>(&'t self, target: &Target<'t>) -> &'t Arc<OwnProfile> {
        match target {
            Target::Route { route, .. } => &route.own,
            Target::Tickets { .. } | Target::Page(_) | Target::None => &self.own,
        }
    }

    /// Finds the target of a path. `host` returns the request's `Host`, including the port.
    pub fn find<'t>(&'t self, host: impl FnOnce() -> &'t str, path: &'t str) -> Target<'t> {
        if let Ok(found) = self.router.at(path)
            && let Some(widget) = found.params.get("widget")
        {
            return match found.value {
                PathTarget::Route(route) => Target::Route { route, widget },
                PathTarget::Tickets => Target::Tickets { widget },
            };
        }
        let pages = self.pages.as_ref().filter(|_| path == "/");
        pages.and_then(|pages| pages.page(host())).map_or(Target::None, Target::Page)
    }
}
