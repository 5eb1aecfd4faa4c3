//! What a person who starts the edge for the first time wants to know.

use super::demo::{self, HOSTS, WIDGET};
use crate::config::{Route, Settings, Upstream};
use crate::policy::widget::Environment;

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
        let origin = demo::public_origin(settings);
        if settings.routes.iter().any(|route| leads_to_demo(route, settings))
            && let Some((scheme, host)) = origin.split_once("://")
        {
            let port = host.rsplit_once(':').map(|(_, port)| format!(":{port}")).unwrap_or_default();
            let [site, stranger] = HOSTS.map(|name| format!("{scheme}://{name}{port}"));
            let loader = format!("{origin}/w/{WIDGET}/loader.js");
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
