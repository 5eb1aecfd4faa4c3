//! Sessions that count as open while they are elsewhere.

use serde_json::{Value, json};

use super::{A, B, MediaServer, begin, call, remembers, save, spec};
use crate::life::upgrade::{ended, upgrade};
use crate::support::edge::{Edge, EdgeSpec, usual_routes};
use crate::support::eventually;

/// A widget that may have two sessions, whose calls for a token are opens.
fn limited(media: &MediaServer) -> EdgeSpec {
    let mut spec = spec(media, None);
    spec.rules = json!({ "widgets": [document(&json!(["a.example", "b.example"]))] }).to_string();
    let token = "[[routes]]\npath = \"/w/{widget}/session/token\"\nclass = \"session\"\nopens = true\nupstream = \"app\"\n";
    spec.routes = Some(usual_routes("app") + token);
    spec
}

fn document(domains: &Value) -> Value {
    json!({ "id": "w", "allowed_domains": domains, "limits": { "widget": { "sessions": 2 } } })
}

/// The status of a call for a token on a page, whose answer says these lines.
async fn status(edge: &Edge, page: &str, lines: &[&str]) -> u16 {
    call(edge, "w", page, lines).await.status
}

#[tokio::test]
async fn they_count_until_they_end() {
    let media = MediaServer::start().await;
    let edge = Edge::start(limited(&media)).await;
    begin(&edge, "w", A, &["uncounted"]).await;
    begin(&edge, "w", A, &["a1;max-age=3600"]).await;
    begin(&edge, "w", A, &["a1;max-age=3600"]).await;
    begin(&edge, "w", B, &["b1;max-age=3600"]).await;
    let refused = call(&edge, "w", B, &["begun=b2"]).await;
    assert_eq!(refused.status, 429, "{refused:?}");
    assert!(refused.body.contains("limit_sessions"), "{refused:?}");
    // On a route that opens nothing.
    let path = "/w/w/session/hang-up?ended=a1";
    let fields = [("Origin", B), ("Connection", "close")];
    assert_eq!(crate::support::raw::get(edge.http, path, &fields).await.status, 200);
    // Long enough for a slow machine to ask meanwhile.
    begin(&edge, "w", B, &["short;max-age=4"]).await;
    assert_eq!(status(&edge, B, &[]).await, 429);
    eventually("its time is over", async || status(&edge, B, &[]).await == 200).await;
    begin(&edge, "w", A, &["a2;max-age=3600"]).await;
    assert_eq!(status(&edge, B, &[]).await, 429);
    save(&edge, &document(&json!(["b.example"]))).await;
    eventually("what is revoked counts no more", async || status(&edge, B, &[]).await == 200).await;
}

#[tokio::test]
async fn they_count_after_a_kill() {
    let media = MediaServer::start().await;
    let mut edge = Edge::start(limited(&media)).await;
    begin(&edge, "w", A, &["a1;max-age=3600,a2;max-age=3600"]).await;
    edge.signal("KILL");
    assert_eq!(edge.exit_code().await, None);
    edge.restart().await;
    remembers(&edge, 2).await;
    assert_eq!(status(&edge, B, &[]).await, 429);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_count_after_an_upgrade() {
    let media = MediaServer::start().await;
    let edge = Edge::start(limited(&media)).await;
    begin(&edge, "w", A, &["a1;max-age=3600,a2;max-age=3600"]).await;
    let successor = upgrade(&edge).await;
    remembers(&edge, 2).await;
    assert_eq!(status(&edge, B, &[]).await, 429);
    let path = "/w/w/session/hang-up?ended=a1";
    let fields = [("Origin", B), ("Connection", "close")];
    assert_eq!(crate::support::raw::get(edge.http, path, &fields).await.status, 200);
    eventually("one less", async || status(&edge, B, &[]).await == 200).await;
    successor.signal("TERM");
    ended(&successor).await;
}
