//! Connections and servers that fail while edges run.

use super::{
    BUCKET, Fleet, NOTICED, SITE, Shared, alike, assert_verdict, batch, connected, in_time, is_connected,
    save, save_everywhere, widget,
};
use crate::support::disk::SmallDisk;
use crate::support::edge::Edge;
use crate::support::nats::{NatsServer, NatsSpec};
use crate::support::{LONG, scale};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes long: make prove"]
async fn edges_outlast_a_server_that_is_restarted_killed_and_stopped() {
    let (mut fleet, edges): (_, [Edge; 2]) = Fleet::new_edges().await;
    save_everywhere(&edges[0], &widget("w", &["site.example"])).await;
    for (how, site) in [("TERM", "a.example"), ("KILL", "b.example"), ("STOP", "c.example")] {
        match how {
            "TERM" => fleet.nats.stop().await,
            "KILL" => fleet.nats.kill().await,
            _ => fleet.nats.signal("STOP"),
        }
        for edge in &edges {
            in_time(&format!("it notices {how}"), NOTICED, async || !is_connected(edge).await).await;
        }
        assert_verdict(&edges, "w", SITE, 200).await;
        match how {
            "STOP" => fleet.nats.signal("CONT"),
            _ => fleet.nats.run().await,
        }
        alike(&edges).await;
        save_everywhere(&edges[1], &widget("w", &["site.example", site])).await;
        assert_verdict(&edges, "w", &format!("https://{site}"), 200).await;
        fleet.bucket().await.is_followed_by(&["edge-1", "edge-2"]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes long: make prove"]
async fn consumers_are_as_many_as_edges_however_often_they_reconnect() {
    let (fleet, edges): (_, [Edge; 3]) = Fleet::new_edges().await;
    save_everywhere(&edges[0], &widget("w", &["start.example"])).await;
    let bucket = fleet.bucket().await;
    for round in 0..scale(100) {
        fleet.relay.cut();
        for edge in &edges {
            connected(edge, false).await;
        }
        fleet.relay.heal();
        for edge in &edges {
            connected(edge, true).await;
        }
        save_everywhere(&edges[round % edges.len()], &widget("w", &[&format!("r{round}.example")])).await;
    }
    alike(&edges).await;
    bucket.is_followed_by(&["edge-1", "edge-2", "edge-3"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes long: make prove"]
async fn a_full_disk_of_the_server_refuses_saves_and_serves() {
    let disk = SmallDisk::mount("24m");
    let spec = NatsSpec { store: Some(disk.at("store")), ..NatsSpec::default() };
    let mut nats = NatsServer::start_with(spec).await;
    let shared = Shared::new();
    let edges = [
        Edge::start(shared.spec("edge-1", &[nats.url()], "")).await,
        Edge::start(shared.spec("edge-2", &[nats.url()], "")).await,
    ];
    save_everywhere(&edges[0], &widget("w", &["site.example"])).await;
    let large = |n: usize| {
        let mut document = widget(&format!("large{n}"), &["site.example"]);
        document["labels"] = serde_json::json!({ "filler": "x".repeat(200_000) });
        document
    };
    let mut saved = 0;
    let refused = loop {
        let (status, answer) = save(&edges[0], &large(saved), "").await;
        if status != 201 {
            break (status, answer);
        }
        saved += 1;
        assert!(saved < 500, "the disk is never full");
    };
    assert_eq!(refused.0, 503, "{refused:?}");
    assert!(saved > 5);
    assert_verdict(&edges, "w", SITE, 200).await;
    disk.resize("128m");
    // A server that has met a full disk takes nothing more until it is started again.
    nats.stop().await;
    nats.run().await;
    in_time("saves go on", LONG, async || {
        save(&edges[1], &widget("w", &["other.example"]), "?wait=fleet&timeout=5s").await.0 == 200
    })
    .await;
    alike(&edges).await;
    assert_verdict(&edges, "w", SITE, 403).await;
    assert_verdict(&edges, &format!("large{}", saved - 1), SITE, 200).await;
    nats.bucket(BUCKET).await.is_followed_by(&["edge-1", "edge-2"]).await;
    let lines: Vec<_> = (0..3).map(|n| serde_json::json!({ "put": large(1_000 + n) })).collect();
    assert_eq!(batch(&edges[0], &lines, "?wait=fleet&timeout=20s").await.0, 200);
}
