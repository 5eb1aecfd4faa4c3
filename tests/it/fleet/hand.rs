//! What people do to the bucket by hand, past every edge.

use serde_json::json;

use super::{
    Fleet, NOTICED, SITE, alike, assert_verdict, batch, connected, get, in_time, save_everywhere, widget,
};
use crate::support::edge::Edge;
use crate::support::eventually;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_deleted_by_hand_deletes_no_widget() {
    let (fleet, edges): (_, [Edge; 2]) = Fleet::new_edges().await;
    for n in 0..5 {
        save_everywhere(&edges[0], &widget(&format!("w{n}"), &["site.example"])).await;
    }
    let bucket = fleet.bucket().await;
    bucket.delete("w0").await;
    // Behind the mark in the bucket's order.
    save_everywhere(&edges[1], &widget("w1", &["other.example"])).await;
    assert_verdict(&edges, "w0", SITE, 200).await;
    for edge in &edges {
        assert_eq!(get(edge, "/v1/widgets/w0").await.0, 200);
        eventually("the log names the key", async || {
            let log = edge.log();
            log.contains("key 'w0'") && log.contains("deletes no widget")
        })
        .await;
    }
    // Its next save puts it back.
    let saved = save_everywhere(&edges[1], &widget("w0", &["other.example"])).await;
    assert_eq!(bucket.last("w0").await["revision"], saved["widget"]["revision"]);
    assert_verdict(&edges, "w0", SITE, 403).await;
    alike(&edges).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_is_no_document_is_refused_and_named() {
    let (fleet, edges): (_, [Edge; 2]) = Fleet::new_edges().await;
    save_everywhere(&edges[0], &widget("w", &["site.example"])).await;
    let bucket = fleet.bucket().await;
    let refused = async |edge: &Edge| {
        let metrics = edge.admin("/metrics").await.text().await.unwrap();
        let lines = metrics.lines().filter(|line| line.starts_with("embedgate_rules_rejected_total{"));
        let counts =
            lines.filter(|line| line.contains("source=\"nats\"")).filter_map(|line| line.rsplit(' ').next());
        counts.map(|count| count.parse::<f64>().unwrap()).sum::<f64>()
    };
    let other_id = widget("other", &["site.example"]).to_string();
    let values = ["{\"id\": \"w\", oops", "", "[]", &other_id, "{\"id\":\"w\",\"access\":\"sometimes\"}"];
    for (count, value) in (1..).zip(values) {
        bucket.put("w", value).await;
        for edge in &edges {
            eventually(&format!("{value:?} is refused"), async || refused(edge).await >= f64::from(count))
                .await;
        }
        assert_verdict(&edges, "w", SITE, 200).await;
    }
    for edge in &edges {
        let status = get(edge, "/v1/status").await.1;
        let log = edge.log();
        assert!(log.contains("key 'w'"), "{log}");
        assert!(status["rules"]["last_error"].to_string().contains("key 'w'"), "{status}");
    }
    save_everywhere(&edges[1], &widget("w", &["other.example"])).await;
    assert_verdict(&edges, "w", SITE, 403).await;
    alike(&edges).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes long: make prove"]
async fn a_key_that_is_purged_is_named_and_its_widget_stays() {
    let (fleet, edges): (_, [Edge; 2]) = Fleet::new_edges().await;
    let lines: Vec<_> =
        (0..30).map(|n| json!({ "put": widget(&format!("w{n}"), &["site.example"]) })).collect();
    assert_eq!(batch(&edges[0], &lines, "?wait=fleet&timeout=20s").await.0, 200);
    let bucket = fleet.bucket().await;
    bucket.purge("w7").await;
    // It is looked at when an edge connects, and each minute.
    fleet.relay.cut();
    for edge in &edges {
        connected(edge, false).await;
    }
    fleet.relay.heal();
    for edge in &edges {
        in_time("it names the key", NOTICED, async || {
            let status = get(edge, "/v1/status").await.1;
            let detail = status["rules"]["last_error"]["detail"].as_str().unwrap_or_default().to_owned();
            edge.log().contains(": w7; they stay") && detail.contains("lacks 1 of the 30")
        })
        .await;
    }
    // Less than the brake lets pass, so the bucket is followed and takes saves.
    alike(&edges).await;
    assert_verdict(&edges, "w7", SITE, 200).await;
    save_everywhere(&edges[0], &widget("w8", &["other.example"])).await;
    assert_verdict(&edges, "w8", SITE, 403).await;
    // Its next save puts it back.
    save_everywhere(&edges[1], &widget("w7", &["other.example"])).await;
    assert_verdict(&edges, "w7", SITE, 403).await;
    assert_eq!(bucket.last("w7").await["revision"], 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes long: make prove"]
async fn a_document_put_by_hand_is_in_force_and_in_the_history() {
    let (fleet, edges): (_, [Edge; 2]) = Fleet::new_edges().await;
    let mut document = widget("w", &["site.example"]);
    document["revision"] = json!(3);
    fleet.bucket().await.put("w", &document.to_string()).await;
    for edge in &edges {
        eventually("it is in force", async || get(edge, "/v1/widgets/w").await.0 == 200).await;
        let (_, history) = get(edge, "/v1/widgets/w/history").await;
        let entry = &history["history"][0];
        assert_eq!((&entry["revision"], &entry["actor"]), (&json!(3), &json!("source:nats")), "{history}");
    }
    let saved = save_everywhere(&edges[1], &widget("w", &["other.example"])).await;
    assert_eq!(saved["widget"]["revision"], 4);
    alike(&edges).await;
}
