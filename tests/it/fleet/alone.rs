//! A fleet of one edge.

use reqwest::Method;
use serde_json::json;

use super::{Fleet, SITE, assert_verdict, call, command, connected, save_everywhere, widget};
use crate::support::edge::Edge;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_switch_that_the_bucket_lacks_is_pending_although_nobody_is_behind() {
    let (mut fleet, edges): (_, [Edge; 1]) = Fleet::new_edges().await;
    for id in ["w", "v"] {
        save_everywhere(&edges[0], &widget(id, &["site.example"])).await;
    }
    fleet.nats.stop().await;
    connected(&edges[0], false).await;
    let path = "/v1/widgets/w/disable?wait=fleet&timeout=200ms";
    let (status, answer) = call(&edges[0], Method::POST, path, None).await;
    assert_eq!(
        (status, &answer["durable"], &answer["behind"]),
        (202, &json!(false), &json!(null)),
        "{answer}"
    );
    assert_eq!(edges[0].metric("embedgate_fleet_waits_total{outcome=\"behind\"}").await, 1.0);
    let waited = command(&edges[0], &["widgets", "disable", "v", "--wait", "--timeout", "200ms"]).await;
    assert_eq!(waited.status.code(), Some(1), "{waited:?}");
    for id in ["w", "v"] {
        assert_verdict(&edges, id, SITE, 403).await;
    }
}
