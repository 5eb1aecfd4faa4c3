//! The way to the upstreams: TLS, timeouts, health, turns, reuse, WebSockets and streams.

mod connections;
mod failures;
mod once;
mod servers;
mod sick;
mod tls;
mod transports;
mod websockets;

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::support::edge::{Edge, EdgeSpec};
use crate::support::raw::Answer;
use crate::support::upstream::Scripted;
use crate::support::{eventually, raw};

const LISTED: &str = "https://example.com";
const STRANGER: &str = "https://stranger.example";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn one_widget() -> Value {
    json!([{ "id": "w", "allowed_domains": ["example.com"] }])
}

/// The usual routes on an upstream `app` of these servers, with these keys more.
fn spec_on(servers: &[SocketAddr], keys: &str) -> EdgeSpec {
    let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
    let more = format!("[upstreams.app]\nservers = {servers:?}\n{keys}\n");
    EdgeSpec { more, ..EdgeSpec::on(SocketAddr::from(([127, 0, 0, 1], 1)), &one_widget()) }
}

async fn ask(edge: &Edge) -> Answer {
    raw::get(edge.http, "/w/w/session", &[("Origin", LISTED)]).await
}

/// An upstream whose answers say who it is.
async fn named(name: &'static str) -> Scripted {
    Scripted::start(move |mut connection, _| async move {
        while connection.request().await.is_some() {
            connection.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len())).await;
        }
    })
    .await
}

/// The answer to a request that the upstream failed: the page that asked can read it.
fn assert_failed(answer: &Answer, status: u16) {
    assert_eq!(
        (answer.status, answer.field("content-type")),
        (status, "application/problem+json"),
        "{answer:?}"
    );
    for (name, value) in [
        ("access-control-allow-origin", LISTED),
        ("cache-control", "no-store"),
        ("cross-origin-resource-policy", "cross-origin"),
        ("vary", "Origin, Referer, Sec-Fetch-Dest"),
        ("connection", "close"),
    ] {
        assert_eq!(answer.field(name), value, "{name}");
    }
    let problem: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(
        (problem["status"].as_u64(), problem["decision_id"].as_str().map(str::len)),
        (Some(status.into()), Some(36))
    );
}

/// Waits for the count of failures of the upstream `app`.
async fn failures(edge: &Edge, kind: &str, count: f64) {
    let line = format!("embedgate_upstream_errors_total{{kind=\"{kind}\",upstream=\"app\"}}");
    eventually(&format!("{count} {kind}"), async || edge.metric(&line).await == count).await;
}

/// Checks that two servers of the upstream `app` that refuse connections were tried, and were soon left out.
async fn assert_few_refused(edge: &Edge) {
    let line = "embedgate_upstream_errors_total{kind=\"connect_refused\",upstream=\"app\"}";
    let refused = edge.metric(line).await;
    assert!((1.0..=6.0).contains(&refused), "{refused} tries");
}
