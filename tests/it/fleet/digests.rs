//! Edges that have other rules at the same message of the bucket.

use serde_json::json;

use super::{Fleet, SITE, alike, assert_verdict, fleet, in_time, kill, verdict, widget};
use crate::support::LONG;
use crate::support::edge::Edge;

/// One edge follows what becomes of a copy of the bucket, and the other what becomes of the bucket: up to a message that
/// is gone afterwards, both are numbered alike.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes long: make prove"]
async fn an_edge_with_other_rules_at_the_same_message_is_found_and_mended() {
    let (mut server, edges): (_, [Edge; 2]) = Fleet::new_edges().await;
    let [mut first, mut second] = edges;
    kill(&mut first).await;
    kill(&mut second).await;
    let copy = server.copy().await;
    let document = |id: &str, site: &str| {
        let mut document = widget(id, &[site]);
        document["revision"] = json!(1);
        document.to_string()
    };
    let put = async |server: &Fleet, site: &str| {
        let bucket = server.bucket().await;
        let sequence = bucket.put("w", &document("w", site)).await;
        assert_eq!(bucket.put("x", &document("x", "site.example")).await, sequence + 1);
        sequence
    };
    second.restart().await;
    in_time("it is alone", LONG, async || fleet(&second).await["connected"] == true).await;
    let wrong = put(&server, "wrong.example").await;
    in_time("the copy is followed", LONG, async || verdict(&second, "x", SITE).await == 200).await;
    kill(&mut second).await;

    server.put_back(&copy).await;
    first.restart().await;
    in_time("it is alone", LONG, async || fleet(&first).await["connected"] == true).await;
    assert_eq!(put(&server, "site.example").await, wrong);
    let bucket = server.bucket().await;
    bucket.put("x", &document("x", "site.example")).await;
    bucket.compact("x").await;
    second.restart().await;
    let edges = [first, second];
    // Whoever hears of it first reads the bucket again, and then there may be nothing left for the other one to hear of.
    in_time("one of them says so", LONG, async || {
        edges.iter().any(|edge| edge.log().contains("code=\"digest_differs\""))
    })
    .await;
    alike(&edges).await;
    assert_verdict(&edges, "w", SITE, 200).await;
    assert_verdict(&edges, "w", "https://wrong.example", 403).await;
}
