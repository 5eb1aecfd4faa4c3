//! Requests that could be read in two ways, and connections that could be left in two states: what the edge refuses,
//! what it makes one, and that no upstream sees what was refused.

mod connections;
mod hosts;
mod left_over;
mod made_one;
mod refused;
mod waiting;

use serde_json::{Value, json};

use crate::support::edge::{Edge, EdgeSpec};
use crate::support::upstream::Upstream;

const LISTED: &str = "https://example.com";
const STRANGER: &str = "https://stranger.example";

fn one_widget() -> Value {
    json!([{ "id": "w", "allowed_domains": ["example.com"] }])
}

async fn edge_on(upstream: &Upstream) -> Edge {
    Edge::start(EdgeSpec::on(upstream.addr, &one_widget())).await
}

/// A request to a session, with these lines after its `Host` and `Origin`.
fn session(edge: &Edge, method: &str, lines: &str) -> String {
    format!("{method} /w/w/session HTTP/1.1\r\nHost: {}\r\nOrigin: {LISTED}\r\n{lines}\r\n", edge.http)
}
