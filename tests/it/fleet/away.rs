//! Edges that are away from the bucket: what they serve, what they take, and how they come back.

use reqwest::Method;
use serde_json::json;

use super::{
    Fleet, SITE, alike, assert_verdict, call, connected, get, kill, readiness, save, save_behind,
    save_everywhere, verdict, widget,
};
use crate::support::edge::Edge;
use crate::support::eventually;
use crate::support::relay::Relay;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes long: make prove"]
async fn an_edge_that_was_away_for_longer_than_history_has_everything() {
    let (fleet, edges): (_, [Edge; 2]) = Fleet::new_edges().await;
    save_everywhere(&edges[0], &widget("w", &["site.example"])).await;
    save_everywhere(&edges[0], &widget("gone", &["site.example"])).await;
    let [first, mut second] = edges;
    kill(&mut second).await;
    // More than the bucket keeps of a widget, so that no message is left that the edge has seen.
    for n in 0..25 {
        assert_eq!(save(&first, &widget("w", &[&format!("n{n}.example")]), "").await.0, 200);
    }
    assert_eq!(call(&first, Method::DELETE, "/v1/widgets/gone", None).await.0, 200);
    let bucket = fleet.bucket().await;
    let state = bucket.info().await.unwrap().state;
    assert!(state.messages < state.last_sequence, "nothing is lost: {state:?}");
    second.restart().await;
    let edges = [first, second];
    alike(&edges).await;
    assert_verdict(&edges, "w", SITE, 403).await;
    assert_verdict(&edges, "w", "https://n24.example", 200).await;
    assert_verdict(&edges, "gone", SITE, 403).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_bucket_only_the_kill_switch_is_in_force() {
    let (fleet, edges): (_, [Edge; 2]) = Fleet::new_edges().await;
    for id in ["w", "kept"] {
        save_everywhere(&edges[0], &widget(id, &["site.example"])).await;
    }
    fleet.relay.cut();
    for edge in &edges {
        connected(edge, false).await;
        let (status, text) = readiness(edge).await;
        assert!(status == 200 && text.starts_with("ready\n") && text.contains(super::BUCKET), "{text}");
    }
    let (status, answer) = save(&edges[0], &widget("kept", &["other.example"]), "").await;
    assert_eq!((status, &answer["code"]), (503, &json!("bucket_unavailable")), "{answer}");
    let (status, answer) = call(&edges[0], Method::POST, "/v1/widgets/w/disable", None).await;
    assert_eq!((status, &answer["durable"]), (200, &json!(false)), "{answer}");
    assert_eq!((verdict(&edges[0], "w", SITE).await, verdict(&edges[1], "w", SITE).await), (403, 200));
    assert_verdict(&edges, "kept", SITE, 200).await;
    let status = get(&edges[0], "/v1/status").await.1;
    assert_eq!(status["not_kept"][0]["id"], "w", "{status}");

    fleet.relay.heal();
    for edge in &edges {
        connected(edge, true).await;
    }
    eventually("the stop is in force everywhere", async || verdict(&edges[1], "w", SITE).await == 403).await;
    alike(&edges).await;
    assert_eq!(get(&edges[0], "/v1/status").await.1["not_kept"], json!([]));
    assert_eq!(fleet.bucket().await.last("w").await["enabled"], false);
    save_everywhere(&edges[1], &widget("kept", &["other.example"])).await;
    assert_verdict(&edges, "kept", SITE, 403).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes long: make prove"]
async fn an_edge_that_is_cut_off_alone_is_named_and_catches_up() {
    let fleet = Fleet::new().await;
    let (alone, first) = (Relay::start(fleet.nats.addr), fleet.edge("edge-1").await);
    let edges = [first, Edge::start(fleet.shared.spec("edge-2", &[alone.url()], "")).await];
    alike(&edges).await;
    save_everywhere(&edges[0], &widget("w", &["site.example"])).await;
    for silently in [true, false] {
        if silently {
            alone.silence()
        } else {
            alone.cut()
        }
        save_behind(&edges[0], &widget("w", &["other.example"]), "edge-2").await;
        assert_eq!((verdict(&edges[0], "w", SITE).await, verdict(&edges[1], "w", SITE).await), (403, 200));
        // Two heartbeats that are missed, at the latest.
        super::in_time("it notices", super::NOTICED, async || !super::is_connected(&edges[1]).await).await;
        let lag = async || edges[1].metric("embedgate_rules_source_lag_seconds").await;
        eventually("it tells that there may be newer rules", async || lag().await > 0.0).await;
        alone.heal();
        alike(&edges).await;
        eventually("it tells that there are none", async || lag().await == 0.0).await;
        assert_verdict(&edges, "w", SITE, 403).await;
        save_everywhere(&edges[1], &widget("w", &["site.example"])).await;
        assert_verdict(&edges, "w", SITE, 200).await;
    }
}
