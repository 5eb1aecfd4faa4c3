//! Starts of edges, with servers and without.

use super::{
    BUCKET, Fleet, SITE, Shared, alike, assert_verdict, connected, kill, readiness, save_behind,
    save_everywhere, widget,
};
use crate::support::edge::Edge;
use crate::support::nats::{NatsServer, NatsSpec};
use crate::support::{eventually, ports};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_boots_from_its_cache_and_catches_up() {
    let (mut fleet, edges): (_, [Edge; 2]) = Fleet::new_edges().await;
    save_everywhere(&edges[0], &widget("w", &["site.example"])).await;
    let [first, mut second] = edges;
    kill(&mut second).await;
    save_behind(&first, &widget("later", &["site.example"]), "edge-2").await;
    fleet.nats.stop().await;
    second.restart().await;
    connected(&second, false).await;
    let (status, text) = readiness(&second).await;
    assert!(status == 200 && text.starts_with("ready\n") && text.contains(BUCKET), "{text}");
    let edges = [first, second];
    // It knows nothing of the second widget yet, and serves the first.
    assert_verdict(&edges, "w", SITE, 200).await;
    fleet.nats.run().await;
    alike(&edges).await;
    assert_eq!(readiness(&edges[1]).await, (200, "ready\n".to_owned()));
    assert_verdict(&edges, "later", SITE, 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_start_waits_for_the_bucket() {
    let mut nats = NatsServer::prepare(ports::free(), NatsSpec::default());
    let shared = Shared::new();
    let edge = Edge::spawn(shared.spec("edge-1", &[nats.url()], ""));
    let address = nats.addr.to_string();
    eventually("it says whom it can't reach", async || edge.log().contains(&address)).await;
    assert!(!edge.is_ready().await, "ready without rules");
    nats.run().await;
    edge.ready().await;
    let edges = [edge];
    alike(&edges).await;
    save_everywhere(&edges[0], &widget("w", &["site.example"])).await;
    assert_verdict(&edges, "w", SITE, 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_told_and_no_password_is_shown() {
    let more = "authorization { user: edge, password: right-pass-5581 }".to_owned();
    let nats = NatsServer::start_with(NatsSpec { more, ..NatsSpec::default() }).await;
    let url = |password: &str| format!("nats://edge:{password}@{}", nats.addr);
    let shared = Shared::new();
    let wrong = Edge::spawn(shared.spec("edge-1", &[url("wrong-pass-7713")], ""));
    eventually("it says why", async || wrong.log().to_lowercase().contains("authorization")).await;
    assert!(!wrong.log().contains("wrong-pass-7713"), "{}", wrong.log());
    drop(wrong);
    let edges = [Edge::start(shared.spec("edge-1", &[url("right-pass-5581")], "")).await];
    alike(&edges).await;
    save_everywhere(&edges[0], &widget("w", &["site.example"])).await;
    let status = edges[0].admin("/v1/status").await.text().await.unwrap();
    for text in [edges[0].log(), status, super::fleet(&edges[0]).await.to_string()] {
        assert!(!text.contains("right-pass-5581"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_takes_no_batches_is_refused_with_what_to_do() {
    let nats = NatsServer::start().await;
    nats.bucket(BUCKET).await.make_without_batches().await;
    let shared = Shared::new();
    let edge = Edge::spawn(shared.spec("edge-1", &[nats.url()], ""));
    eventually("it says what to do", async || edge.log().contains("nats stream edit")).await;
    assert!(!edge.is_ready().await, "ready without rules");
}
