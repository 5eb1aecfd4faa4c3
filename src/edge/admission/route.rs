//! Route table: the class of a request by its host and path, the widget that it names, and its upstream.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use percent_encoding::percent_decode;

use super::request::{RequestRefusal, host};
use crate::config::{self, PathPattern, RouteHost, Settings, WidgetPlace};
use crate::edge::error::EdgeError;
use crate::edge::forward::upstream::{Upstream, Upstreams};
use crate::edge::http::limits::MAX_TARGET_BYTES;
use crate::edge::http::message::RequestHead;
use embedgate_policy::compiled::WidgetRules;
use embedgate_policy::headers::{CacheRule, OwnProfile, Profile};
use embedgate_policy::verdict::Class;
use embedgate_policy::widget::Environment;

mod hosts;
mod query;
mod rewrite;

use hosts::{FoundPath, HostRouters};
pub use rewrite::PathMapping;

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
    /// The requests are opens, which limits count.
    pub opens: bool,
    /// Maximum length of a request's body, in bytes.
    pub max_body: u64,
    /// The rule for the upstream's `Cache-Control`.
    pub cache: CacheRule,
    /// The profile of the edge's own answers on this route.
    pub own: Arc<OwnProfile>,
    /// The mapping of paths, if the upstream knows others.
    pub mapping: Option<PathMapping>,
    /// Where the widget's id stands.
    place: WidgetPlace,
    /// The number of slashes before a rest that may have encoded slashes.
    slashes_before_rest: Option<usize>,
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
            opens: route.opens,
            max_body: route.max_body,
            cache: route.cache_rule(),
            own: Arc::new(route.own_profile()),
            mapping: route.rewrite.as_ref().map(|rewrite| PathMapping::new(&route.path, rewrite)),
            place: route.widget.clone(),
            slashes_before_rest: route
                .path
                .without_rest()
                .filter(|_| route.encoded_slashes)
                .map(|path| path.matches('/').count()),
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

    /// Whether the route takes encoded slashes, the first of which is at this place of the path.
    pub fn takes_encoded_slashes(&self, path: &str, first: usize) -> bool {
        let before = path.as_bytes().get(..first).unwrap_or_default();
        self.slashes_before_rest
            .is_some_and(|least| before.iter().filter(|byte| **byte == b'/').count() >= least)
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
    routers: HostRouters,
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
    /// Calls to the edge itself, about this widget where its id is not in the place of `{widget}`.
    Call(EdgeCall, Option<Box<str>>),
}

impl PathTarget {
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Route(one), Self::Route(other)) => Arc::ptr_eq(one, other),
            (Self::Call(one, _), Self::Call(other, _)) => one == other,
            _ => false,
        }
    }
}

/// Call to the edge itself, which no upstream gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EdgeCall {
    /// For a ticket.
    Ticket,
    /// With a browser's report of the pages around a frame.
    Report,
}

impl EdgeCall {
    /// The calls that are served, with their paths.
    fn served(settings: &Settings) -> impl Iterator<Item = (Self, &PathPattern)> {
        let reports = settings.reports.path.as_ref().map(|path| (Self::Report, path));
        [(Self::Ticket, &settings.tickets.path)].into_iter().chain(reports)
    }
}

/// Target of a request.
#[derive(Debug)]
pub enum Target<'t> {
    /// A route and the widget that the request names.
    Route {
        /// The route.
        route: &'t Arc<Route>,
        /// The text in the place of the id, which may not be an id.
        widget: &'t str,
    },
    /// A route, and a request that names no widget, or could name several.
    Unnamed {
        /// The route.
        route: &'t Arc<Route>,
        /// The refusal.
        refusal: RequestRefusal,
    },
    /// A call to the edge itself.
    Call {
        /// Which call.
        call: EdgeCall,
        /// The text in the place of `{widget}`.
        widget: &'t str,
    },
    /// A page of the [`HostPages`].
    Page(String),
    /// No target.
    None,
}

impl<'t> Target<'t> {
    /// The text in the place of the widget's id, which may not be an id.
    pub fn widget(&self) -> Option<&'t str> {
        match self {
            Self::Route { widget, .. } | Self::Call { widget, .. } => Some(widget),
            Self::Unnamed { .. } | Self::Page(_) | Self::None => None,
        }
    }
}

impl RouteTable {
    /// Builds the table of these settings. `pages`: the pages at `/`.
    ///
    /// # Errors
    ///
    /// Two routes match the same path, or a route names an unknown upstream.
    pub fn prepare(
        settings: &Settings,
        upstreams: &Upstreams,
        pages: Option<Arc<dyn HostPages>>,
    ) -> Result<Self, EdgeError> {
        let routes = settings.routes.as_slice();
        let mut routers = HostRouters::default();
        for settings in routes {
            let route = Arc::new(Route::prepare(settings, upstreams)?);
            let (host, path) = (&settings.host, &settings.path);
            routers.insert(host, path.as_str(), PathTarget::Route(Arc::clone(&route)))?;
            // `{*rest}` also stands for nothing; a route of that very path goes before it.
            let is_taken =
                |path: &str| routes.iter().any(|route| route.host == *host && route.path.as_str() == path);
            if let Some(path) = path.without_rest().filter(|path| !is_taken(path)) {
                routers.insert(host, path, PathTarget::Route(route))?;
            }
        }
        for (call, calls) in EdgeCall::served(settings) {
            routers.insert_everywhere(calls.as_str(), || PathTarget::Call(call, None))?;
            // Routes that name a widget where calls have `{widget}` are narrower than those calls.
            let narrowed =
                routes.iter().filter_map(|route| Some((&route.host, calls.narrowed(&route.path)?)));
            let narrowed: BTreeSet<(&RouteHost, (String, &str))> = narrowed.collect();
            for (host, (path, widget)) in narrowed {
                routers.insert(host, &path, PathTarget::Call(call, Some(widget.into())))?;
            }
        }
        Ok(Self { routers, pages, own: Arc::new(config::routeless_profile(routes)) })
    }

    /// The profile of the edge's own answers to a request for this target.
    pub fn own<'t>(&'t self, target: &Target<'t>) -> &'t Arc<OwnProfile> {
        match target {
            Target::Route { route, .. } | Target::Unnamed { route, .. } => &route.own,
            Target::Call { .. } | Target::Page(_) | Target::None => &self.own,
        }
    }

    /// Whether the path of a request, decoded as many servers do before they route, has another target: what is judged
    /// as one route must not be served as another. Only for paths with escapes.
    pub fn has_another_reading(&self, request: &RequestHead) -> bool {
        let find = |path| self.routers.find(|| host(request), path).map(|found| found.target);
        let Some(target) = find(request.uri.path()) else { return false };
        let mut decoded = [0; MAX_TARGET_BYTES];
        // Literals of routes are ASCII, so any other byte is like the next.
        let path = request.uri.path().as_bytes();
        let bytes = percent_decode(path).map(|byte| if byte.is_ascii() { byte } else { 1 });
        let length = decoded.iter_mut().zip(bytes).map(|(place, byte)| *place = byte).count();
        let decoded = decoded.get(..length).and_then(|decoded| str::from_utf8(decoded).ok());
        !decoded.and_then(find).is_some_and(|other| other.is(target))
    }

    /// Finds the target of a request.
    pub fn find<'t>(&'t self, request: &'t RequestHead) -> Target<'t> {
        let path = request.uri.path();
        let Some(found) = self.routers.find(|| host(request), path) else {
            let pages = self.pages.as_ref().filter(|_| path == "/");
            return pages.and_then(|pages| pages.page(host(request))).map_or(Target::None, Target::Page);
        };
        let FoundPath { target, in_path, in_host } = found;
        let route = match target {
            PathTarget::Route(route) => route,
            PathTarget::Call(call, widget) => {
                let widget = widget.as_deref().or(in_path);
                return widget.map_or(Target::None, |widget| Target::Call { call: *call, widget });
            }
        };
        let widget = match &route.place {
            WidgetPlace::Path => in_path,
            WidgetPlace::Host => in_host,
            WidgetPlace::Fixed(id) => Some(id.as_str()),
            WidgetPlace::Query(name) => match query::id(request.uri.query(), name) {
                Ok(id) => Some(id),
                Err(refusal) => return Target::Unnamed { route, refusal },
            },
        };
        // A place in the path or the host is there, because the route matched.
        widget.map_or(Target::None, |widget| Target::Route { route, widget })
    }
}

#[cfg(test)]
mod tests;
