//! What comes after an operator's decision: it is followed once, and what it has settled is settled.

use reqwest::Method;
use serde_json::json;

use super::{
    Fleet, SITE, alike, assert_verdict, call, connected, fleet, get, in_time, kill, save, save_everywhere,
    widget,
};
use crate::support::edge::Edge;
use crate::support::relay::Relay;

async fn fleet_is_connected(edge: &Edge) -> bool {
    fleet(edge).await["connected"] == true
}

async fn accept(edge: &Edge, confirm: usize) {
    let path = format!("/v1/fleet/accept?confirm={confirm}");
    let (status, answer) = call(edge, Method::POST, &path, None).await;
    assert_eq!(status, 200, "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes long: make prove"]
async fn an_edge_that_finds_two_decisions_follows_both() {
    let server = Fleet::new().await;
    let relay = Relay::start(server.nats.addr);
    let edges =
        [server.edge("edge-1").await, Edge::start(server.shared.spec("edge-2", &[relay.url()], "")).await];
    alike(&edges).await;
    save_everywhere(&edges[0], &widget("w", &["site.example"])).await;
    relay.cut();
    connected(&edges[1], false).await;
    for n in 1..=2 {
        accept(&edges[0], 0).await;
        let followed = async || edges[0].log().matches("the bucket is followed as it is").count() == n;
        in_time("it is followed", super::NOTICED, followed).await;
        in_time("it goes on", super::NOTICED, async || fleet_is_connected(&edges[0]).await).await;
    }
    relay.heal();
    alike(&edges).await;
    // Each believes the other only where both have followed the same decision.
    for (edge, domain) in edges.iter().zip(["one.example", "two.example"]) {
        save_everywhere(edge, &widget("w", &["site.example", domain])).await;
    }
    let followed = edges[1].log().matches("the bucket is followed as it is").count();
    assert_eq!(followed, 1, "{}", edges[1].log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes long: make prove"]
async fn what_an_operator_gave_up_is_not_missed() {
    let (fleet, edges): (_, [Edge; 2]) = Fleet::new_edges().await;
    let bucket = fleet.bucket().await;
    for n in 0..24 {
        save_everywhere(&edges[0], &widget(&format!("w{n}"), &["site.example"])).await;
    }
    for n in 0..19 {
        bucket.purge(&format!("w{n}")).await;
    }
    accept(&edges[0], 19).await;
    alike(&edges).await;
    for edge in &edges {
        assert_eq!(get(edge, "/v1/widgets/w3").await.0, 404);
    }
    // A key that is missing is counted alone.
    bucket.purge("w20").await;
    fleet.relay.cut();
    for edge in &edges {
        connected(edge, false).await;
    }
    fleet.relay.heal();
    for edge in &edges {
        in_time("it is counted", super::NOTICED, async || edge.log().contains("lacks 1 of the 5 widgets"))
            .await;
    }
    alike(&edges).await;
    save_everywhere(&edges[1], &widget("w3", &["other.example"])).await;
    assert_verdict(&edges, "w3", "https://other.example", 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes long: make prove"]
async fn the_newest_message_may_be_purged() {
    let (fleet, edges): (_, [Edge; 2]) = Fleet::new_edges().await;
    for n in 0..12 {
        save_everywhere(&edges[0], &widget(&format!("w{n}"), &["site.example"])).await;
    }
    let bucket = fleet.bucket().await;
    bucket.purge("w11").await;
    let (status, answer) = call(&edges[1], Method::POST, "/v1/fleet/restore", None).await;
    assert_eq!((status, &answer["written"]), (200, &json!(1)), "{answer}");
    for edge in &edges {
        let followed = async || edge.log().contains("kind=Restore") && fleet_is_connected(edge).await;
        in_time("it is followed", super::NOTICED, followed).await;
    }
    alike(&edges).await;
    assert_eq!(bucket.last("w11").await["allowed_domains"], json!(["site.example"]));
    assert_verdict(&edges, "w11", SITE, 200).await;

    // Nor does a widget whose key is gone stay as it is for good.
    bucket.purge("w11").await;
    let (status, answer) = save(&edges[0], &widget("w11", &["other.example"]), "").await;
    assert_eq!((status, &answer["widget"]["revision"]), (200, &json!(2)), "{answer}");
    alike(&edges).await;
    assert_verdict(&edges, "w11", SITE, 403).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes long: make prove"]
async fn an_edge_that_was_restarted_restores_for_silent_ones_too() {
    let (fleet, edges): (_, [Edge; 2]) = Fleet::new_edges().await;
    let [mut first, mut second] = edges;
    save_everywhere(&first, &widget("w", &["site.example"])).await;
    kill(&mut second).await;
    fleet.bucket().await.remove().await;
    kill(&mut first).await;
    first.restart().await;
    let missing = async || get(&first, "/v1/status").await.1["fleet"]["fault"]["code"] == "bucket_missing";
    in_time("the bucket is missing", super::NOTICED, missing).await;
    let (status, answer) = call(&first, Method::POST, "/v1/fleet/restore", None).await;
    assert_eq!(status, 200, "{answer}");
    in_time("it is followed", super::NOTICED, async || {
        let (status, answer) = save(&first, &widget("w", &["other.example"]), "?wait=fleet&timeout=1s").await;
        // An early answer would be one without the silent edge.
        assert!(
            status == 503 || status == 202 && answer["behind"].to_string().contains("edge-2"),
            "{answer}"
        );
        status == 202
    })
    .await;
    second.restart().await;
    let edges = [first, second];
    alike(&edges).await;
    assert_verdict(&edges, "w", SITE, 403).await;
}
