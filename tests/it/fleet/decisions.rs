//! What an operator decides: to fill a bucket again, to follow it as it is, or to forget an edge.

use reqwest::Method;
use serde_json::json;

use super::{
    Fleet, SITE, alike, assert_verdict, call, command, fleet, get, in_time, kill, save, save_behind,
    save_everywhere, state, verdict, widget,
};
use crate::support::edge::Edge;
use crate::support::eventually;
use crate::support::relay::Relay;

async fn fault(edge: &Edge, code: &str) {
    in_time(code, super::NOTICED, async || super::fault(edge).await == code).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accept_makes_the_fleet_follow_the_bucket_as_it_is() {
    let (fleet, edges): (_, [Edge; 2]) = Fleet::new_edges().await;
    for n in 0..4 {
        save_everywhere(&edges[0], &widget(&format!("w{n}"), &["site.example"])).await;
    }
    let bucket = fleet.bucket().await;
    bucket.remove().await;
    bucket.make().await;
    let mut document = widget("w0", &["other.example"]);
    document["revision"] = json!(1);
    bucket.put("w0", &document.to_string()).await;
    for edge in &edges {
        fault(edge, "another_bucket").await;
    }
    // One differs, and three are missing.
    let (status, answer) = call(&edges[1], Method::POST, "/v1/fleet/accept?confirm=3", None).await;
    assert_eq!((status, &answer["code"]), (422, &json!("wide_change")), "{answer}");
    assert!(answer.to_string().contains('4'), "{answer}");
    assert_verdict(&edges, "w1", SITE, 200).await;
    let unconfirmed = command(&edges[1], &["fleet", "accept"]).await;
    assert!(!unconfirmed.status.success(), "{unconfirmed:?}");
    assert_verdict(&edges, "w1", SITE, 200).await;

    let accepted = command(&edges[1], &["fleet", "accept", "--confirm", "4"]).await;
    assert_eq!(accepted.status.code(), Some(0), "{accepted:?}");
    alike(&edges).await;
    assert_verdict(&edges, "w0", "https://other.example", 200).await;
    assert_verdict(&edges, "w0", SITE, 403).await;
    for edge in &edges {
        assert_eq!(get(edge, "/v1/widgets/w1").await.0, 404);
    }
    save_everywhere(&edges[0], &widget("w1", &["third.example"])).await;
    assert_verdict(&edges, "w1", "https://third.example", 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accept_without_a_bucket_is_refused() {
    let (fleet, edges): (_, [Edge; 1]) = Fleet::new_edges().await;
    save_everywhere(&edges[0], &widget("w", &["site.example"])).await;
    fleet.bucket().await.remove().await;
    fault(&edges[0], "bucket_missing").await;
    let (status, answer) = call(&edges[0], Method::POST, "/v1/fleet/accept?confirm=9", None).await;
    assert_eq!((status, &answer["code"]), (404, &json!("no_bucket")), "{answer}");
    assert_verdict(&edges, "w", SITE, 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes long: make prove"]
async fn an_edge_that_is_behind_another_fills_no_bucket() {
    let server = Fleet::new().await;
    let relay = Relay::start(server.nats.addr);
    let mut edges =
        [server.edge("edge-1").await, Edge::start(server.shared.spec("edge-2", &[relay.url()], "")).await];
    alike(&edges).await;
    save_everywhere(&edges[0], &widget("w", &["site.example"])).await;
    relay.cut();
    super::connected(&edges[1], false).await;
    assert_eq!(save(&edges[0], &widget("w", &["other.example"]), "").await.0, 200);
    server.bucket().await.remove().await;
    relay.heal();
    for edge in &edges {
        fault(edge, "bucket_missing").await;
    }
    for is_restarted in [false, true] {
        if is_restarted {
            // Now it knows from no bucket who is there.
            kill(&mut edges[1]).await;
            edges[1].restart().await;
            fault(&edges[1], "bucket_missing").await;
        }
        let (status, answer) = call(&edges[1], Method::POST, "/v1/fleet/restore", None).await;
        assert_eq!((status, &answer["code"]), (409, &json!("edge_ahead")), "{answer}");
        assert!(answer.to_string().contains("edge-1"), "{answer}");
    }
    let (status, answer) = call(&edges[0], Method::POST, "/v1/fleet/restore", None).await;
    assert_eq!(status, 200, "{answer}");
    alike(&edges).await;
    assert_verdict(&edges, "w", SITE, 403).await;
    assert_verdict(&edges, "w", "https://other.example", 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes long: make prove"]
async fn a_restore_from_an_edge_that_has_less_takes_nothing_away() {
    let server = Fleet::new().await;
    let relay = Relay::start(server.nats.addr);
    let mut edges =
        [server.edge("edge-1").await, Edge::start(server.shared.spec("edge-2", &[relay.url()], "")).await];
    alike(&edges).await;
    save_everywhere(&edges[0], &widget("w", &["site.example"])).await;
    relay.cut();
    super::connected(&edges[1], false).await;
    save_behind(&edges[0], &widget("w", &["other.example"]), "edge-2").await;
    // Nobody is there who could say that the other one has less.
    kill(&mut edges[0]).await;
    server.bucket().await.remove().await;
    relay.heal();
    fault(&edges[1], "bucket_missing").await;
    let (status, answer) = call(&edges[1], Method::POST, "/v1/fleet/restore", None).await;
    assert_eq!(status, 200, "{answer}");
    in_time("it follows what it has filled", super::NOTICED, async || {
        super::fault(&edges[1]).await.is_empty()
    })
    .await;

    edges[0].restart().await;
    fault(&edges[0], "restored_older").await;
    assert_eq!(verdict(&edges[0], "w", SITE).await, 403, "it keeps what it has");
    let (status, answer) = call(&edges[0], Method::POST, "/v1/fleet/restore", None).await;
    assert_eq!(status, 200, "{answer}");
    alike(&edges).await;
    assert_verdict(&edges, "w", SITE, 403).await;
    assert_verdict(&edges, "w", "https://other.example", 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes long: make prove"]
async fn an_edge_that_is_forgotten_is_not_waited_for() {
    let (server, edges): (_, [Edge; 3]) = Fleet::new_edges().await;
    let [first, second, mut third] = edges;
    let forget = async |edge: &Edge, name: &str| {
        call(edge, Method::POST, "/v1/fleet/forget", Some(&json!({ "edge": name }))).await
    };
    let (status, answer) = forget(&first, "edge-3").await;
    assert_eq!((status, &answer["code"]), (409, &json!("edge_alive")), "{answer}");
    let (status, answer) = forget(&first, "edge-9").await;
    assert_eq!((status, &answer["code"]), (404, &json!("unknown_edge")), "{answer}");

    kill(&mut third).await;
    save_behind(&first, &widget("w", &["site.example"]), "edge-3").await;
    let status = command(&second, &["fleet", "status"]).await;
    let text = String::from_utf8_lossy(&status.stdout).into_owned();
    assert_eq!(status.status.code(), Some(1), "{text}");
    assert!(text.contains("edge-3") && text.contains("silent"), "{text}");
    let forgotten = command(&second, &["fleet", "forget", "edge-3"]).await;
    assert_eq!(forgotten.status.code(), Some(0), "{forgotten:?}");
    let kept = [first, second];
    alike(&kept).await;
    save_everywhere(&kept[0], &widget("w", &["other.example"])).await;
    assert_eq!(command(&kept[0], &["fleet", "status"]).await.status.code(), Some(0));

    // It announces itself again, and is waited for again.
    third.restart().await;
    let [first, second] = kept;
    let edges = [first, second, third];
    alike(&edges).await;
    assert_verdict(&edges, "w", SITE, 403).await;
    edges[2].freeze().await;
    save_behind(&edges[0], &widget("w", &["site.example"]), "edge-3").await;
    edges[2].thaw();
    eventually("it goes on", async || verdict(&edges[2], "w", SITE).await == 200).await;
    drop(server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes long: make prove"]
async fn a_forgotten_edge_that_lives_announces_itself_again() {
    let server = Fleet::new().await;
    let relay = Relay::start(server.nats.addr);
    let edges =
        [server.edge("edge-1").await, Edge::start(server.shared.spec("edge-2", &[relay.url()], "")).await];
    alike(&edges).await;
    relay.silence();
    in_time("it is silent", super::NOTICED, async || *state(&fleet(&edges[0]).await, "edge-2") == "silent")
        .await;
    let body = json!({ "edge": "edge-2" });
    let (status, answer) = call(&edges[0], Method::POST, "/v1/fleet/forget", Some(&body)).await;
    assert!((200..300).contains(&status), "{status} {answer}");
    save_everywhere(&edges[0], &widget("w", &["site.example"])).await;
    relay.heal();
    alike(&edges).await;
    assert_verdict(&edges, "w", SITE, 200).await;
}
