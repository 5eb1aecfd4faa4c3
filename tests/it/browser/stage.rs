//! Where the tests here play: an edge under its own name over TLS, customers' sites under theirs.

use serde_json::{Value, json};

use crate::support::browser::{Browser, BrowserOptions};
use crate::support::edge::{Edge, EdgeSpec};
use crate::support::eventually;
use crate::support::sites::Sites;
use crate::support::tls::EdgeTls;

/// Where browsers see the edge.
pub const EDGE: &str = "https://widgets.example";
/// A site that the widget `listed` lists.
pub const SITE: &str = "https://site.example";
/// One that no widget lists.
pub const STRANGER: &str = "https://stranger.example";

/// An edge and the sites around it.
pub struct Stage {
    pub edge: Edge,
    pub sites: Sites,
    name: &'static str,
    tls: EdgeTls,
}

impl Stage {
    /// Starts the edge as `spec` says, over TLS beside, and sites under these names.
    pub async fn start(spec: EdgeSpec, hosts: &[&str]) -> Self {
        Self::named("widgets.example", spec, hosts).await
    }

    /// The same, with the edge under this name.
    pub async fn named(name: &'static str, mut spec: EdgeSpec, hosts: &[&str]) -> Self {
        let tls = EdgeTls::of(name);
        tls.add_to(&mut spec);
        spec.public_origins.get_or_insert_with(|| format!("[\"{EDGE}\"]"));
        let edge = Edge::start(spec).await;
        let sites = Sites::start(&tls.authority, hosts).await;
        Self { edge, sites, name, tls }
    }

    /// The demo, rules written through the control plane, every decision logged; [`SITE`] and [`STRANGER`].
    pub async fn of_demo(widgets: &Value) -> Self {
        let spec = EdgeSpec { more: "[log]\ndecisions = \"all\"\n".to_owned(), ..EdgeSpec::stored(widgets) };
        Self::start(spec, &["site.example", "stranger.example"]).await
    }

    /// A browser for these names. The edge without TLS is at its name's port 80 and at `localhost:8080`.
    pub fn options(&self) -> BrowserOptions {
        let plain = self.edge.http;
        let (secure, bare) = (format!("{}:443", self.name), format!("{}:80", self.name));
        let edge = [(&*secure, self.tls.addr), (&*bare, plain), ("localhost:8080", plain)];
        self.sites.browser(&edge, &self.tls.certificate)
    }

    /// That browser.
    pub async fn browser(&self) -> Browser {
        Browser::start(self.options()).await.unwrap()
    }

    /// The first logged decision of which this is true, once it is there.
    pub async fn decision(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut found = None;
        eventually("the decision is logged", async || {
            found = self.edge.decisions().into_iter().find(|decision| wanted(decision));
            found.is_some()
        })
        .await;
        found.unwrap()
    }

    /// Saves a document, which has to be taken.
    pub async fn save(&self, document: &Value) {
        let (status, answer) = self.edge.put(document).await;
        assert!(status == 200 || status == 201, "{status} {answer}");
    }
}

/// A widget with these entries alone.
pub fn widget(id: &str, entries: Value) -> Value {
    json!({ "id": id, "access": "enforce", "allowed_domains": entries })
}

/// The widget that [`SITE`] may embed.
pub fn listed() -> Value {
    widget("listed", json!(["site.example"]))
}
