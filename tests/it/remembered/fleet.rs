//! Sessions that leave the edges of a fleet: what is over is over everywhere, and rules that are not there yet revoke nobody.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::{A, B, MediaServer, Receiver, begin, call, remembered, remembers, save, widget};
use crate::support::edge::{Edge, EdgeSpec, usual_routes, write_tokens};
use crate::support::nats::NatsServer;
use crate::support::{LONG, in_time};

fn spec(name: &str, nats: &NatsServer, media: &MediaServer, receiver: &Receiver) -> EdgeSpec {
    // All edges have the same keys, in the folder of the server.
    let tickets = nats.store().with_extension("keys");
    write_tokens(&tickets, &STANDARD.encode([7; 32]));
    let more = format!(
        "[rules]\nsource = \"nats\"\n[rules.nats]\nservers = [\"{}\"]\nbucket = \"shared\"\nedge = \"{name}\"\n\
         [tickets]\nkey_file = {tickets:?}\n[upstreams.app]\nservers = [\"{}\"]\n[notify]\nurl = \"{}\"\n",
        nats.url(),
        media.addr,
        receiver.url()
    );
    let rules = json!({ "widgets": [] }).to_string();
    EdgeSpec { more, rules, in_memory: true, routes: Some(usual_routes("app")), ..EdgeSpec::default() }
}

/// Saves a widget, and waits until another edge lets this page in.
async fn save_for(edge: &Edge, other: &Edge, page: &str) {
    let (status, answer) = edge.put(&widget("w", &json!(["a.example", "b.example"]))).await;
    assert!(matches!(status, 200 | 201), "{answer}");
    in_time("the other edge has it", LONG, async || call(other, "w", page, &[]).await.status == 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_edge_hears_is_over_the_others_forget() {
    let (nats, media) = (NatsServer::start().await, MediaServer::start().await);
    let receiver = Receiver::start().await;
    let first = Edge::start(spec("edge-1", &nats, &media, &receiver)).await;
    let second = Edge::start(spec("edge-2", &nats, &media, &receiver)).await;
    save_for(&first, &second, A).await;
    begin(&first, "w", A, &["a1", "a2"]).await;
    begin(&second, "w", B, &["b1"]).await;
    assert_eq!((remembered(&first).await, remembered(&second).await), (2, 1));
    assert_eq!(call(&second, "w", B, &["ended=a1"]).await.status, 200);
    remembers(&first, 1).await;
    assert_eq!(remembered(&second).await, 1, "its own goes on");
    // Each tells of what it has seen itself.
    save(&first, &widget("w", &json!(["c.example"]))).await;
    receiver.hears(&["a2", "b1"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_that_starts_without_rules_revokes_nobody() {
    let (mut nats, media) = (NatsServer::start().await, MediaServer::start().await);
    let receiver = Receiver::start().await;
    let mut edge = Edge::start(spec("edge-1", &nats, &media, &receiver)).await;
    save_for(&edge, &edge, A).await;
    begin(&edge, "w", A, &["a1"]).await;
    edge.signal("TERM");
    assert_eq!(edge.exit_code().await, Some(0));
    std::fs::remove_file(edge.folder().join("data/fleet.redb")).unwrap();
    nats.stop().await;
    edge.respawn();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(receiver.sessions(), Vec::<String>::new());
    nats.run().await;
    edge.ready().await;
    in_time("it has its rules", LONG, async || call(&edge, "w", A, &[]).await.status == 200).await;
    assert_eq!((remembered(&edge).await, receiver.sessions().len()), (1, 0));
}
