//! A save through one edge, and all the others.

use futures_util::future::join_all;
use serde_json::json;

use super::{
    Fleet, SITE, alike, assert_verdict, batch, command, fleet, get, save_behind, save_everywhere, state,
    widget,
};
use crate::support::edge::Edge;
use crate::support::websocket::{SocketUpstream, closed, exchange, hears_itself, open};
use crate::support::{eventually, scale};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledged_save_is_in_force_on_every_edge() {
    let (_fleet, edges): (_, [Edge; 3]) = Fleet::new_edges().await;
    for round in 0..scale(200) {
        let through = &edges[round % edges.len()];
        save_everywhere(through, &widget("w", &["site.example"])).await;
        // No waiting: what was acknowledged is so.
        assert_verdict(&edges, "w", SITE, 200).await;
        save_everywhere(through, &widget("w", &["other.example"])).await;
        assert_verdict(&edges, "w", SITE, 403).await;
    }
    alike(&edges).await;
    for edge in &edges {
        assert!(edge.metric("embedgate_fleet_enforced_duration_seconds_count").await > 0.0);
        eventually("they are counted", async || {
            edge.metric("embedgate_fleet_edges{state=\"current\"}").await == edges.len() as f64
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_edge_is_named_until_it_goes_on() {
    let (_fleet, edges): (_, [Edge; 3]) = Fleet::new_edges().await;
    save_everywhere(&edges[0], &widget("w", &["site.example"])).await;
    edges[1].freeze().await;
    save_behind(&edges[0], &widget("w", &[]), "edge-2").await;
    save_behind(&edges[0], &widget("w", &["other.example"]), "edge-2").await;
    let seen = fleet(&edges[2]).await;
    assert_eq!(*state(&seen, "edge-2"), "silent", "{seen}");
    let told = command(&edges[2], &["widgets", "disable", "w", "--wait", "--timeout", "500ms"]).await;
    let text = format!("{}{}", String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
    assert!(told.status.code() == Some(1) && text.contains("edge-2"), "{text}");
    edges[1].thaw();
    save_everywhere(&edges[2], &widget("w", &["third.example"])).await;
    assert_verdict(&edges, "w", "https://third.example", 200).await;
    assert_verdict(&edges, "w", SITE, 403).await;
    alike(&edges).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_save_cuts_the_sessions_of_every_edge() {
    let upstream = SocketUpstream::echo().await;
    let server = Fleet::new().await;
    let specs = (1..=3).map(|n| {
        let mut spec = server.spec(&format!("edge-{n}"));
        spec.more += &format!("[upstreams.app]\nservers = [\"{}\"]\n", upstream.addr);
        spec.upstream = "app".to_owned();
        spec
    });
    let edges = join_all(specs.map(Edge::start)).await;
    save_everywhere(&edges[0], &widget("w", &["site.example", "other.example"])).await;
    let mut sessions = Vec::new();
    for edge in &edges {
        for origin in [SITE, "https://other.example"] {
            let (mut socket, _) = open(edge.http, "/w/w/session", origin).await.unwrap();
            hears_itself(&mut socket).await;
            sessions.push((origin, socket));
        }
    }
    eventually("the sessions of each are told", async || {
        let seen = fleet(&edges[0]).await;
        let counted: Vec<_> =
            seen["edges"].as_array().unwrap().iter().map(|edge| edge["sessions"].as_u64()).collect();
        counted == [Some(2); 3]
    })
    .await;
    save_everywhere(&edges[1], &widget("w", &["other.example"])).await;
    for (origin, socket) in &mut sessions {
        if *origin == SITE {
            assert_eq!(closed(socket).await, (1008, "origin no longer allowed".to_owned()));
        } else {
            exchange(socket, "still there").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_one_swap_everywhere() {
    let (_fleet, edges): (_, [Edge; 2]) = Fleet::new_edges().await;
    let generation = async |edge: &Edge| get(edge, "/v1/status").await.1["generation"].as_u64().unwrap();
    let before = generation(&edges[1]).await;
    let put = |n: usize| json!({ "put": widget(&format!("w{n:04}"), &["site.example"]) });
    let lines: Vec<_> = (0..300).map(put).collect();
    let (status, answer) = batch(&edges[0], &lines, "?wait=fleet&timeout=20s").await;
    assert_eq!((status, &answer["applied"]), (200, &json!(300)), "{answer}");
    assert_verdict(&edges, "w0299", SITE, 200).await;
    assert_eq!(generation(&edges[1]).await, before + 1);

    // More than the server takes as one.
    let lines: Vec<_> = (0..2_500).map(put).collect();
    let (status, answer) = batch(&edges[0], &lines, "").await;
    assert_eq!((status, &answer["code"]), (413, &json!("too_large")), "{answer}");
    assert!(answer["detail"].as_str().unwrap().contains("chunked"), "{answer}");
    assert_eq!(generation(&edges[1]).await, before + 1);
    let (status, answer) = batch(&edges[0], &lines, "?chunked=true&wait=fleet&timeout=30s").await;
    assert_eq!(
        (status, &answer["applied"], &answer["unchanged"]),
        (200, &json!(2_200), &json!(300)),
        "{answer}"
    );
    assert_verdict(&edges, "w2499", SITE, 200).await;
    alike(&edges).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes long: make prove"]
async fn the_brake_holds_at_the_edge_that_is_asked_alone() {
    let (_fleet, edges): (_, [Edge; 2]) = Fleet::new_edges().await;
    let put = |n: usize| json!({ "put": widget(&format!("w{n}"), &["site.example"]) });
    let lines: Vec<_> = (0..40).map(put).collect();
    assert_eq!(batch(&edges[0], &lines, "?wait=fleet&timeout=20s").await.0, 200);
    let lines: Vec<_> = (0..30).map(|n| json!({ "delete": { "id": format!("w{n}") } })).collect();
    for edge in &edges {
        let (status, answer) = batch(edge, &lines, "").await;
        assert_eq!((status, &answer["code"]), (422, &json!("wide_change")), "{answer}");
    }
    let (status, answer) = batch(&edges[1], &lines, "?confirm=30&wait=fleet&timeout=20s").await;
    assert_eq!((status, answer.get("behind")), (200, None), "{answer}");
    assert_verdict(&edges, "w0", SITE, 403).await;
    assert_verdict(&edges, "w39", SITE, 200).await;
    for edge in &edges {
        assert_eq!(edge.metric("embedgate_brake_refusals_total{road=\"batch\"}").await, 1.0);
    }
    alike(&edges).await;
}
