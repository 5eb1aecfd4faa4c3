//! Log lines of a ready edge: its addresses, and how to try the demo.

use std::fmt;

use super::control::page_address;
use super::demo::{self, HOSTS, WIDGET};
use crate::config::{RouteSettings, Settings, UpstreamSettings};
use embedgate_policy::widget::Environment;

fn leads_to_demo(route: &RouteSettings, settings: &Settings) -> bool {
    let upstream = |environment| settings.upstreams.get(route.upstream.of(environment));
    Environment::ALL.into_iter().any(|environment| upstream(environment) == Some(&UpstreamSettings::Builtin))
}

/// Lines that tell a person where to look.
pub(super) struct Welcome(Vec<String>);

impl Welcome {
    pub(super) fn new(settings: &Settings) -> Self {
        let listeners = settings.edge.listen.iter().map(|addr| format!("http://{addr}"));
        let listeners =
            listeners.chain(settings.edge.tls.iter().map(|tls| format!("https://{}", tls.listen)));
        let admin_scheme = if settings.admin.tls.is_some() { "https" } else { "http" };
        let mut lines = vec![
            format!("edge ready on {}", listeners.collect::<Vec<_>>().join(", ")),
            format!("admin on {admin_scheme}://{}: /readyz /metrics /v1/status", settings.admin.listen),
            format!(
                "page: {} (sign in with a token of {})",
                page_address(settings),
                settings.admin.token_file.display()
            ),
        ];
        if let Some(probe) = settings.admin.probe {
            lines.push(format!("probes on http://{probe}: /livez /readyz /metrics"));
        }
        let origin = demo::public_origin(settings);
        if settings.routes.iter().any(|route| leads_to_demo(route, settings))
            && let Some((scheme, host)) = origin.split_once("://")
        {
            let port = host.rsplit_once(':').map(|(_, port)| format!(":{port}")).unwrap_or_default();
            let [site, stranger] = HOSTS.map(|name| format!("{scheme}://{name}{port}"));
            let loader = format!("{origin}/w/{WIDGET}/loader.js");
            lines.extend([
                format!("demo: a site on the widget's list: {site}/   a site that is not: {stranger}/"),
                format!("allowed: curl -i -H 'Origin: https://example.com' {loader}"),
                format!("denied:  curl -i -H 'Origin: https://stranger.example' {loader}"),
            ]);
        }
        Self(lines)
    }

    pub(super) fn log(&self) {
        for line in &self.0 {
            tracing::info!("{line}");
        }
    }
}

impl fmt::Display for Welcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::config;

    fn lines(admin: &str) -> Vec<String> {
        let text = format!(
            "[edge]\npublic_origins = [\"http://localhost:8080\"]\n[admin]\n{admin}\n[rules]\n[policy]\n\
             [upstreams.demo]\nbuiltin = true\n[[routes]]\npath = \"/w/{{widget}}/loader.js\"\nclass = \"asset\"\n\
             upstream = \"demo\"\n"
        );
        Welcome::new(&config::parse("embedgate.toml", &text, []).unwrap()).0
    }

    #[test]
    fn the_admin_listener_has_its_scheme() {
        let plain = lines("");
        assert!(plain.iter().any(|line| line.starts_with("admin on http://127.0.0.1:9090: ")), "{plain:?}");
        let page = "page: http://localhost:9090/ (sign in with a token of data/admin.tokens)";
        assert!(plain.iter().any(|line| line == page), "{plain:?}");
        let tls =
            lines("hosts = [\"edge\"]\ntls = { cert = \"a.pem\", key = \"a.key\", client_ca = \"ca.pem\" }");
        assert!(tls.iter().any(|line| line.starts_with("admin on https://127.0.0.1:9090: ")), "{tls:?}");
        assert!(tls.iter().any(|line| line.starts_with("page: https://edge:9090/ ")), "{tls:?}");
    }
}
