//! The demo, and what a person who starts the edge for the first time wants to know.

use std::io;
use std::net::TcpListener;

use super::AppError;
use crate::config::{Route, Settings, Upstream};
use crate::edge::demo::{Demo, HOSTS};
use crate::policy::widget::Environment;

/// The widget that the demo's host pages embed, in the shipped rules.
const DEMO_WIDGET: &str = "wgt_demo";

/// A loopback listener for the demo, where an upstream is built in.
pub(super) fn demo_listener(settings: &Settings) -> Result<Option<TcpListener>, AppError> {
    let builtin = settings.upstreams.values().any(|upstream| *upstream == Upstream::Builtin);
    let listen = || -> io::Result<TcpListener> { TcpListener::bind("127.0.0.1:0") };
    builtin.then(listen).transpose().map_err(AppError::Demo)
}

/// The demo behind this edge, where it is an upstream.
pub(super) fn host_pages(settings: &Settings) -> Option<Demo> {
    let is_upstream = settings.upstreams.values().any(|upstream| *upstream == Upstream::Builtin);
    is_upstream.then(|| demo(settings))
}

/// The demo behind this edge.
pub(super) fn demo(settings: &Settings) -> Demo {
    Demo { public_origin: public_origin(settings), widget: DEMO_WIDGET.to_owned() }
}

fn public_origin(settings: &Settings) -> String {
    // The configuration refuses an empty list.
    settings.edge.public_origins.iter().next().map(|origin| origin.as_str().to_owned()).unwrap_or_default()
}

fn leads_to_demo(route: &Route, settings: &Settings) -> bool {
    let upstream = |environment| settings.upstreams.get(route.upstream.of(environment));
    Environment::ALL.into_iter().any(|environment| upstream(environment) == Some(&Upstream::Builtin))
}

/// The lines to say.
pub(super) struct Welcome(Vec<String>);

impl Welcome {
    pub(super) fn new(settings: &Settings) -> Self {
        let listeners = settings.edge.listen.iter().map(|addr| format!("http://{addr}"));
        let listeners =
            listeners.chain(settings.edge.tls.iter().map(|tls| format!("https://{}", tls.listen)));
        let mut lines = vec![
            format!("edge ready on {}", listeners.collect::<Vec<_>>().join(", ")),
            format!("admin on http://{}: /readyz /metrics /v1/status", settings.admin.listen),
        ];
        let origin = public_origin(settings);
        if settings.routes.iter().any(|route| leads_to_demo(route, settings))
            && let Some((scheme, host)) = origin.split_once("://")
        {
            let port = host.rsplit_once(':').map(|(_, port)| format!(":{port}")).unwrap_or_default();
            let [site, stranger] = HOSTS.map(|name| format!("{scheme}://{name}{port}"));
            let loader = format!("{origin}/w/{DEMO_WIDGET}/loader.js");
            lines.extend([
                format!("a site on the widget's list: {site}/   one that is not: {stranger}/"),
                format!("passes:  curl -i -H 'Origin: https://example.com' {loader}"),
                format!("refused: curl -i -H 'Origin: https://stranger.example' {loader}"),
            ]);
        }
        Self(lines)
    }

    pub(super) fn say(&self) {
        for line in &self.0 {
            tracing::info!("{line}");
        }
    }
}
