//! What is kept of embedders, on real disks: over restarts, `kill -9` and upgrades, and where the disk is in trouble.

use embedgate::activity::keeper::ActivityKeeper;
use embedgate::activity::reader::ActivityReader;
use embedgate::activity::seen::WidgetActivity;
use embedgate::rules::live::LiveRules;
use embedgate::telemetry::metrics::Metrics;
use serde_json::json;

use crate::support::edge::{Edge, EdgeSpec};
use crate::support::raw;

mod flood;
mod kept;
mod trouble;
mod ways;

const SITE: &str = "https://example.com";
const STRANGER: &str = "https://stranger.example";

/// Where an edge keeps it.
const FILE: &str = "data/activity.redb";

/// An edge with its rules in a store, and a widget `w` for one site.
fn spec() -> EdgeSpec {
    EdgeSpec::stored(&json!([{ "id": "w", "allowed_domains": ["example.com"] }]))
}

/// Loads the widget on a page. Returns the status.
async fn load(edge: &Edge, origin: &str) -> u16 {
    raw::get(edge.http, "/w/w/loader.js", &[("Origin", origin), ("Connection", "close")]).await.status
}

/// What is kept of a widget, read by another process than the edge, which must have ended.
fn kept(edge: &Edge) -> WidgetActivity {
    let metrics = Metrics::new().unwrap();
    let path = edge.folder().join(FILE);
    let keeper = ActivityKeeper::open(&path, 16 << 20, LiveRules::new(), metrics.activity.clone());
    keeper.widget("w").unwrap()
}

/// How often an origin is kept, in the list of those that were let in, and of those that were refused.
fn counts(seen: &WidgetActivity, origin: &str) -> [u64; 2] {
    [&seen.admitted, &seen.refused].map(|list| {
        let found = list.embedders.iter().find(|embedder| *embedder.origin == *origin);
        assert!(found.is_none_or(|embedder| embedder.error == 0));
        found.map_or(0, |embedder| embedder.count)
    })
}
