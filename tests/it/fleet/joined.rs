//! An edge that joins later knows what the others know of the past.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Fleet, SITE, alike, assert_verdict, call, get, save_everywhere, widget};
use crate::support::edge::Edge;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes long: make prove"]
async fn history_and_deletions_reach_an_edge_that_joins_later() {
    let (fleet, [first]): (_, [Edge; 1]) = Fleet::new_edges().await;
    for n in 0..25 {
        save_everywhere(&first, &widget("w", &["site.example", &format!("n{n}.example")])).await;
    }
    save_everywhere(&first, &widget("gone", &["site.example"])).await;
    assert_eq!(call(&first, Method::DELETE, "/v1/widgets/gone?revision=7", None).await.0, 200);

    let edges = [first, fleet.edge("edge-2").await];
    alike(&edges).await;
    for id in ["w", "gone"] {
        let path = format!("/v1/widgets/{id}/history");
        let (known, joined) = (get(&edges[0], &path).await, get(&edges[1], &path).await);
        assert_eq!(known, joined);
        let entries = known.1["history"].as_array().unwrap().clone();
        assert_eq!(entries.len(), if id == "w" { 20 } else { 2 });
        let is_by_token = |entry: &Value| !entry["actor"].as_str().unwrap().contains("nats");
        assert!(entries.iter().all(is_by_token), "{known:?}");
    }
    let mut late = widget("gone", &["site.example"]);
    late["revision"] = json!(6);
    let (status, answer) = call(&edges[1], Method::PUT, "/v1/widgets/gone", Some(&late)).await;
    assert_eq!((status, &answer["code"]), (409, &json!("stale_revision")), "{answer}");

    for (path, revision) in [("w", 10), ("gone", 1)] {
        let path = format!("/v1/widgets/{path}/revert?wait=fleet&timeout=20s");
        let (status, answer) =
            call(&edges[1], Method::POST, &path, Some(&json!({ "revision": revision }))).await;
        assert!(matches!(status, 200 | 201) && answer.get("behind").is_none(), "{status} {answer}");
    }
    assert_verdict(&edges, "w", "https://n9.example", 200).await;
    assert_verdict(&edges, "w", "https://n24.example", 403).await;
    assert_verdict(&edges, "gone", SITE, 200).await;
    alike(&edges).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes long: make prove"]
async fn an_edge_that_signs_off_is_not_waited_for() {
    let (fleet, edges): (_, [Edge; 3]) = Fleet::new_edges().await;
    let [first, second, mut third] = edges;
    third.signal("TERM");
    assert_eq!(third.exit_code().await, Some(0), "{}", third.log());
    save_everywhere(&first, &widget("w", &["site.example"])).await;
    let kept = [first, second];
    alike(&kept).await;
    // It comes back with what was saved in the meantime.
    third.restart().await;
    let [first, second] = kept;
    let edges = [first, second, third];
    alike(&edges).await;
    assert_verdict(&edges, "w", SITE, 200).await;
    drop(fleet);
}
