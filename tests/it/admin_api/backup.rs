//! `GET /v1/backup`: a copy of the running store, whole whatever is saved meanwhile.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use super::{batch, call, is_problem, read};
use crate::support::edge::{Edge, EdgeSpec, READ_TOKEN};

/// The files in the folder of the store.
fn files(edge: &Edge) -> BTreeSet<String> {
    let folder = std::fs::read_dir(edge.folder().join("data")).unwrap();
    folder.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_store_is_copied_while_saves_go_on() {
    let edge = Edge::start(EdgeSpec::stored(&json!([{ "id": "w", "allowed_domains": ["a.example"] }]))).await;
    let lines: Vec<Value> = (0..2000)
        .map(|n| json!({ "put": { "id": format!("n{n}"), "labels": { "filler": "x".repeat(500) } } }))
        .collect();
    assert_eq!(batch(&edge, "", &lines).await.0, 200);
    edge.put(&json!({ "id": "w", "allowed_domains": ["b.example"] })).await;
    call(&edge, Method::DELETE, "/v1/widgets/n0").await;
    let before = files(&edge);

    // A token that may only read is enough, and others save all the while.
    let url = format!("http://{}/v1/backup", edge.admin);
    let copying = reqwest::Client::new().get(&url).bearer_auth(READ_TOKEN).send();
    let saving = async {
        for n in 0..20 {
            assert_eq!(edge.put(&json!({ "id": format!("later{n}") })).await.0, 201);
        }
    };
    let (copy, ()) = tokio::join!(copying, saving);
    let copy = copy.unwrap();
    assert_eq!(copy.status(), 200);
    assert_eq!(copy.headers()["content-type"], "application/octet-stream");
    let name = copy.headers()["content-disposition"].to_str().unwrap();
    assert!(name.starts_with("attachment; filename=\"embedgate-2") && name.ends_with("Z.redb\""), "{name}");
    let length: usize = copy.headers()["content-length"].to_str().unwrap().parse().unwrap();
    let bytes = copy.bytes().await.unwrap();
    assert_eq!(bytes.len(), length);
    assert_eq!(files(&edge), before, "nothing is left of it");

    // An edge that starts with it has everything that was answered before, history and deletions, too.
    let other = Edge::prepare(EdgeSpec::stored(&json!([])));
    let served = other.start_in(|command| {
        let folder = command.get_current_dir().unwrap();
        std::fs::write(folder.join("data/rules.redb"), &bytes).unwrap();
    });
    let served = served.await;
    assert_eq!(
        call(&served, Method::GET, "/v1/widgets/w").await,
        call(&edge, Method::GET, "/v1/widgets/w").await
    );
    let history = call(&edge, Method::GET, "/v1/widgets/w/history").await;
    assert_eq!(call(&served, Method::GET, "/v1/widgets/w/history").await, history);
    is_problem(&served.put(&json!({ "id": "n0", "revision": 2 })).await, 409, "stale_revision");
    let total = call(&served, Method::GET, "/v1/status").await.1["widgets"]["total"].as_u64().unwrap();
    assert!((2000..=2020).contains(&total), "{total}");
}

#[tokio::test]
async fn a_copy_that_nobody_reads_leaves_nothing_and_is_one_at_a_time() {
    let edge = Edge::start(EdgeSpec::stored(&json!([]))).await;
    let lines: Vec<Value> = (0..300)
        .map(|n| json!({ "put": { "id": format!("n{n}"), "labels": { "filler": "x".repeat(60_000) } } }))
        .collect();
    assert_eq!(batch(&edge, "", &lines).await.0, 200);
    let before = files(&edge);
    // Its head has come, and its body is more than the buffers on the way hold.
    let unread = edge.api(Method::GET, "/v1/backup").send().await.unwrap();
    assert_eq!(unread.status(), 200);
    let second = edge.api(Method::GET, "/v1/backup").send().await.unwrap();
    assert_eq!(second.headers()["retry-after"], "5");
    is_problem(&read(second).await, 503, "too_busy");
    assert_eq!(files(&edge), before);
    drop(unread);
    crate::support::eventually("the next one has its turn", async || {
        edge.api(Method::GET, "/v1/backup").send().await.unwrap().status() == 200
    })
    .await;
}

#[tokio::test]
async fn rules_of_a_file_have_no_store() {
    let edge = Edge::start(EdgeSpec::default()).await;
    let refused = call(&edge, Method::GET, "/v1/backup").await;
    is_problem(&refused, 409, "no_store");
    let anonymous = reqwest::get(format!("http://{}/v1/backup", edge.admin)).await.unwrap();
    assert_eq!(anonymous.status(), 401);
}
