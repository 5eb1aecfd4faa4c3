//! Buckets that are not what edges have followed: no edge goes backwards, all say so, and an operator decides.

use reqwest::Method;
use serde_json::{Value, json};

use super::{
    BUCKET, Fleet, SITE, alike, assert_verdict, batch, call, command, fault, fleet, in_time, kill, readiness,
    save, save_everywhere, state, verdict, widget,
};
use crate::support::edge::Edge;

/// What edges know before something happens to the bucket.
async fn known(edges: &[Edge]) {
    let mut widgets: Vec<Value> = (0..20).map(|n| widget(&format!("w{n}"), &["site.example"])).collect();
    widgets.extend([widget("w", &["old.example"]), widget("gone", &["site.example"])]);
    let lines: Vec<Value> = widgets.into_iter().map(|widget| json!({ "put": widget })).collect();
    let (status, answer) = batch(&edges[0], &lines, "?wait=fleet&timeout=20s").await;
    assert_eq!((status, answer.get("behind")), (200, None), "{answer}");
}

/// What is saved and deleted after a copy of the bucket was made.
async fn newer(edges: &[Edge]) {
    let answer =
        call(&edges[0], Method::DELETE, "/v1/widgets/gone?revision=5&wait=fleet&timeout=20s", None).await;
    assert_eq!(answer.0, 200, "{}", answer.1);
    save_everywhere(&edges[1], &widget("w", &["site.example"])).await;
}

async fn assert_newest(edges: &[Edge]) {
    assert_verdict(edges, "w", SITE, 200).await;
    assert_verdict(edges, "w", "https://old.example", 403).await;
    assert_verdict(edges, "gone", SITE, 403).await;
    assert_verdict(edges, "w7", SITE, 200).await;
    for edge in edges {
        let mut late = widget("gone", &["site.example"]);
        late["revision"] = json!(4);
        // It is judged before it is published.
        let (status, answer) = save(edge, &late, "").await;
        assert_eq!((status, &answer["code"]), (409, &json!("stale_revision")), "{answer}");
    }
}

/// The edges keep their rules, say why, and write nothing.
async fn assert_fault(edges: &[Edge], code: &str) {
    for edge in edges {
        in_time(code, super::NOTICED, async || fault(edge).await == code).await;
        let (status, text) = readiness(edge).await;
        assert!(status == 200 && text.starts_with("ready\n") && text.lines().count() > 1, "{text}");
        let log = edge.log();
        assert!(log.contains(code) || log.contains("fleet restore"), "{code}: {log}");
        let (status, answer) = save(edge, &widget("w3", &["other.example"]), "").await;
        assert_eq!((status, &answer["code"]), (503, &json!("fleet_fault")), "{answer}");
        in_time("it tells of all edges", super::NOTICED, async || {
            let seen = fleet(edge).await;
            let is_at_fault = |n: usize| *state(&seen, &format!("edge-{n}")) == "fault";
            seen["fault"]["code"] == code && (1..=edges.len()).all(is_at_fault)
        })
        .await;
        in_time("it is counted", super::NOTICED, async || {
            edge.metric("embedgate_fleet_edges{state=\"fault\"}").await >= 1.0
        })
        .await;
    }
    assert_newest(edges).await;
    // It is told by the exit code, too.
    let told = command(&edges[0], &["fleet", "status"]).await;
    assert_eq!(told.status.code(), Some(1), "{}", String::from_utf8_lossy(&told.stdout));
    assert!(String::from_utf8_lossy(&told.stdout).contains("restore"), "{told:?}");
}

/// `fleet restore` brings everything back into the bucket, deletions included.
async fn assert_restored(fleet: &Fleet, edges: &[Edge]) {
    let restored = command(&edges[1], &["fleet", "restore", "--json"]).await;
    assert_eq!(restored.status.code(), Some(0), "{restored:?}");
    let _: Value = serde_json::from_slice(&restored.stdout).unwrap();
    for edge in edges {
        // One that was never ready has begun by now.
        edge.ready().await;
    }
    alike(edges).await;
    assert_newest(edges).await;
    let bucket = fleet.bucket().await;
    let tombstone = bucket.last("gone").await;
    assert_eq!((&tombstone["deleted"], &tombstone["revision"]), (&json!(true), &json!(5)), "{tombstone}");
    assert_eq!(bucket.last("w").await["allowed_domains"], json!(["site.example"]));
    for edge in edges {
        save_everywhere(edge, &widget("w3", &["other.example"])).await;
        assert_verdict(edges, "w3", SITE, 403).await;
        save_everywhere(edge, &widget("w3", &["site.example"])).await;
        assert_eq!(readiness(edge).await, (200, "ready\n".to_owned()));
    }
    bucket.is_followed_by(&["edge-1", "edge-2", "edge-3"][..edges.len()]).await;
}

/// Puts a document into the bucket by hand until it has messages behind this sequence.
async fn grow(fleet: &Fleet, last: u64) {
    let bucket = fleet.bucket().await;
    let mut document = widget("w0", &["intruder.example"]);
    for revision in 2.. {
        document["revision"] = json!(revision);
        if bucket.put("w0", &document.to_string()).await > last + 5 {
            break;
        }
    }
}

/// Waits until these edges tell of a fault; none of them may follow what was put in by [`grow`].
async fn keep_out_the_intruder(edges: &[Edge]) {
    for edge in edges {
        in_time("it tells of the fault", super::NOTICED, async || {
            assert_eq!(verdict(edge, "w0", "https://intruder.example").await, 403, "an intruder is let in");
            fault(edge).await == "bucket_rewritten"
        })
        .await;
    }
}

async fn scene() -> (Fleet, [Edge; 2]) {
    let (fleet, edges) = Fleet::new_edges().await;
    known(&edges).await;
    (fleet, edges)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_is_deleted() {
    let (fleet, mut edges) = scene().await;
    newer(&edges).await;
    fleet.bucket().await.remove().await;
    assert_fault(&edges, "bucket_missing").await;
    // A start doesn't forget it, nor makes a new bucket.
    kill(&mut edges[1]).await;
    edges[1].restart().await;
    assert_fault(&edges, "bucket_missing").await;
    assert_restored(&fleet, &edges).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes long: make prove"]
async fn a_bucket_that_is_made_anew() {
    let (fleet, mut edges) = scene().await;
    newer(&edges).await;
    let bucket = fleet.bucket().await;
    bucket.remove().await;
    bucket.make().await;
    assert_fault(&edges, "another_bucket").await;
    kill(&mut edges[1]).await;
    edges[1].restart().await;
    assert_fault(&edges, "another_bucket").await;
    assert_restored(&fleet, &edges).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_has_lost_its_end() {
    let (mut fleet, edges) = scene().await;
    let copy = fleet.copy().await;
    alike(&edges).await;
    newer(&edges).await;
    let last = fleet.bucket().await.last_sequence().await;
    fleet.put_back(&copy).await;
    assert_fault(&edges, "bucket_shrunk").await;
    // One that begins can't know what the bucket has lost, and serves nothing.
    let third = Edge::spawn(fleet.spec("edge-3"));
    in_time("the others stop it", super::NOTICED, async || third.log().contains("fault_elsewhere")).await;
    assert!(!third.is_ready().await);
    // Nor do they follow it once it is as long as it was.
    grow(&fleet, last).await;
    keep_out_the_intruder(&edges).await;
    assert_fault(&edges, "bucket_rewritten").await;
    assert!(!third.is_ready().await);
    let [first, second] = edges;
    assert_restored(&fleet, &[first, second, third]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes long: make prove"]
async fn a_bucket_that_has_lost_its_end_and_has_grown_again() {
    let (mut fleet, mut edges) = scene().await;
    let copy = fleet.copy().await;
    alike(&edges).await;
    newer(&edges).await;
    // All have crashed, so that each knows what it has kept, and nobody can tell them of the loss.
    for edge in &mut edges {
        kill(edge).await;
    }
    let last = fleet.bucket().await.last_sequence().await;
    fleet.put_back(&copy).await;
    grow(&fleet, last).await;
    for edge in &mut edges {
        edge.respawn();
    }
    for edge in &edges {
        edge.ready().await;
    }
    keep_out_the_intruder(&edges).await;
    assert_fault(&edges, "bucket_rewritten").await;
    assert_verdict(&edges, "w0", "https://intruder.example", 403).await;
    // What was written meanwhile is newer than what the edges have, so it stays.
    assert_restored(&fleet, &edges).await;
    assert_verdict(&edges, "w0", "https://intruder.example", 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes long: make prove"]
async fn a_bucket_that_has_lost_more_keys_than_the_brake_allows() {
    let (fleet, edges) = scene().await;
    newer(&edges).await;
    let bucket = fleet.bucket().await;
    for n in 0..12 {
        bucket.purge(&format!("w{n}")).await;
    }
    // It is looked at when an edge connects, and each minute.
    fleet.relay.cut();
    for edge in &edges {
        super::connected(edge, false).await;
    }
    fleet.relay.heal();
    assert_fault(&edges, "keys_missing").await;
    assert_restored(&fleet, &edges).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_is_made_once() {
    let fleet = Fleet::new().await;
    let names = ["eu.edge-1", "eu.edge-2", "us.edge-1"];
    // All at once find none.
    let edges = futures_util::future::join_all(names.map(|name| fleet.edge(name))).await;
    alike(&edges).await;
    let bucket = fleet.nats.bucket(BUCKET).await;
    bucket.is_followed_by(&names).await;
    let config = bucket.info().await.unwrap().config;
    assert_eq!((config.max_messages_per_subject, config.num_replicas), (20, 1));
    assert!(config.allow_atomic_publish && config.deny_delete && config.allow_direct, "{config:?}");
}
