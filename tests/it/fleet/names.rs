//! Two processes of one name.

use serde_json::json;

use super::{
    Fleet, NOTICED, SITE, alike, assert_verdict, fleet, in_time, save, save_everywhere, state, verdict,
    widget,
};
use crate::support::edge::Edge;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes long: make prove"]
async fn of_two_processes_with_one_name_the_later_one_has_it() {
    let (server, edges): (_, [Edge; 2]) = Fleet::new_edges().await;
    let later = server.edge("edge-2").await;
    in_time("the first one says so", NOTICED, async || {
        edges[1].log().contains("another edge has the name `edge-2`")
    })
    .await;
    // It follows the bucket no longer, and the later one does.
    assert_eq!(save(&edges[0], &widget("w", &["site.example"]), "").await.0, 201);
    in_time("the later one has it", NOTICED, async || verdict(&later, "w", SITE).await == 200).await;
    let (status, answer) = save(&edges[1], &widget("w", &["other.example"]), "").await;
    assert_eq!((status, &answer["code"]), (503, &json!("fleet_fault")), "{answer}");
    server.bucket().await.is_followed_by(&["edge-1", "edge-2"]).await;
    drop(later);
    // Alone again, it takes its name back.
    alike(&edges).await;
    assert_eq!(*state(&fleet(&edges[0]).await, "edge-2"), "current");
    save_everywhere(&edges[0], &widget("w", &["other.example"])).await;
    assert_verdict(&edges, "w", "https://other.example", 200).await;
    assert_verdict(&edges, "w", SITE, 403).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes long: make prove"]
async fn a_save_waits_for_an_older_process_of_a_name_too() {
    let (server, edges): (_, [Edge; 2]) = Fleet::new_edges().await;
    let [first, earlier] = edges;
    let later = server.edge("edge-2").await;
    in_time("the earlier one says so", NOTICED, async || {
        earlier.log().contains("another edge has the name `edge-2`")
    })
    .await;
    // It serves by older rules, whether it can say so or not.
    let behind = async |id: &str| {
        let (status, answer) =
            save(&first, &widget(id, &["site.example"]), "?wait=fleet&timeout=500ms").await;
        assert_eq!((status, &answer["behind"]), (202, &json!(["edge-2"])), "{answer}");
    };
    behind("w").await;
    assert_eq!((verdict(&earlier, "w", SITE).await, verdict(&later, "w", SITE).await), (403, 200));
    earlier.freeze().await;
    behind("v").await;
    earlier.thaw();
    behind("u").await;
    // One that is gone is waited for only for a moment.
    drop(earlier);
    save_everywhere(&first, &widget("t", &["site.example"])).await;
}
