//! What a widget was: its history, the way back, and the kill switch.

use reqwest::Method;
use serde_json::{Value, json};

use super::{LISTED, STRANGER, batch, call, is_problem, post, read, visit};
use crate::support::disk::SmallDisk;
use crate::support::edge::{Edge, EdgeSpec};
use crate::support::eventually;

async fn history(edge: &Edge, id: &str) -> Vec<Value> {
    let (status, told) = call(edge, Method::GET, &format!("/v1/widgets/{id}/history")).await;
    assert_eq!(status, 200, "{told}");
    told["history"].as_array().unwrap().clone()
}

async fn revert(edge: &Edge, id: &str, query: &str, body: &Value) -> (u16, Value) {
    post(edge, &format!("/v1/widgets/{id}/revert{query}"), body).await
}

#[tokio::test]
async fn history_tells_what_was_saved_by_whom_and_what_differs() {
    let begun = jiff::Timestamp::now();
    let mut edge = Edge::start(EdgeSpec::stored(&json!([]))).await;
    is_problem(&call(&edge, Method::GET, "/v1/widgets/w/history").await, 404, "unknown_widget");
    edge.put(&json!({ "id": "w", "allowed_domains": ["a.example"] })).await;
    post(&edge, "/v1/widgets/w/domains", &json!({ "add": ["b.example"] })).await;
    edge.put(&json!({ "id": "w", "allowed_domains": ["a.example", "b.example"] })).await;
    call(&edge, Method::DELETE, "/v1/widgets/w").await;
    let (status, back) = revert(&edge, "w", "", &json!({ "revision": 1 })).await;
    assert_eq!((status, &back["widget"]["revision"]), (201, &json!(4)), "{back}");
    call(&edge, Method::POST, "/v1/widgets/w/disable").await;

    let told = history(&edge, "w").await;
    let states: Vec<(u64, bool, Value)> = told
        .iter()
        .map(|entry| {
            let list = entry["widget"]["allowed_domains"].clone();
            assert_eq!(entry["widget"].is_null(), entry["deleted"] == true, "{entry}");
            if let Some(revision) = entry["widget"]["revision"].as_u64() {
                assert_eq!(revision, entry["revision"]);
            }
            (entry["revision"].as_u64().unwrap(), entry["deleted"] == true, list)
        })
        .collect();
    let (one, two) = (json!(["a.example"]), json!(["a.example", "b.example"]));
    assert_eq!(
        states,
        [
            (5, false, one.clone()),
            (4, false, one.clone()),
            (3, true, Value::Null),
            (2, false, two),
            (1, false, one)
        ],
        "newest first, and what changed nothing is not there"
    );
    assert_eq!(told[0]["changes"], json!({ "enabled": { "before": true, "after": false } }));
    assert_eq!(told[3]["changes"], json!({ "allowed_domains": { "added": ["b.example"], "removed": [] } }));
    assert!([1, 2, 4].iter().all(|n| told[*n].get("changes").is_none()), "{told:?}");
    let mut before = begun;
    for entry in told.iter().rev() {
        let at: jiff::Timestamp = entry["at"].as_str().unwrap().parse().unwrap();
        assert!(before <= at && at <= jiff::Timestamp::now(), "{entry}");
        before = at;
        assert!(entry["actor"].as_str().unwrap().starts_with("token:"), "{entry}");
    }
    // The same as the audit log says, and over a restart.
    let audit = std::fs::read_to_string(edge.folder().join("data/audit.jsonl")).unwrap();
    let last: Value = serde_json::from_str(audit.lines().last().unwrap()).unwrap();
    assert_eq!(last["actor"], told[0]["actor"]);
    edge.signal("KILL");
    edge.exit_code().await;
    edge.restart().await;
    assert_eq!(history(&edge, "w").await, told);
}

#[tokio::test]
async fn history_is_bounded() {
    let edge = Edge::start(EdgeSpec::stored(&json!([]))).await;
    for n in 1..=25 {
        edge.put(&json!({ "id": "w", "allowed_domains": [format!("n{n}.example")] })).await;
    }
    let revisions = |told: &[Value]| -> Vec<u64> {
        told.iter().map(|entry| entry["revision"].as_u64().unwrap()).collect()
    };
    assert_eq!(revisions(&history(&edge, "w").await), (6..=25).rev().collect::<Vec<_>>());
    let gone = revert(&edge, "w", "", &json!({ "revision": 5 })).await;
    is_problem(&gone, 422, "unknown_revision");
    assert_eq!(gone.1["errors"][0]["pointer"], "/revision");
    assert!(gone.1["detail"].as_str().unwrap().contains("its history has 25, 24"), "{}", gone.1);
    // A rules file has no history but what is in force.
    let in_file = Edge::start(EdgeSpec::default()).await;
    let told = history(&in_file, "wgt_demo").await;
    assert_eq!((told.len(), &told[0]["actor"]), (1, &json!("source:file")), "{told:?}");
}

#[tokio::test]
async fn an_earlier_document_comes_back_as_a_new_revision() {
    let edge = Edge::start(EdgeSpec::stored(&json!([]))).await;
    edge.put(&json!({ "id": "w", "allowed_domains": ["example.com"] })).await;
    edge.put(&json!({ "id": "w", "allowed_domains": ["stranger.example"] })).await;
    let answer = edge.api(Method::POST, "/v1/widgets/w/revert").json(&json!({ "revision": 1 }));
    let answer = answer.send().await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["etag"]), (200, &"\"3\"".parse().unwrap()));
    assert_eq!(answer.json::<Value>().await.unwrap()["widget"]["allowed_domains"], json!(["example.com"]));
    assert_eq!((visit(&edge, "w", LISTED).await, visit(&edge, "w", STRANGER).await), (200, 403));
    let (status, same) = revert(&edge, "w", "", &json!({ "revision": 3 })).await;
    assert_eq!((status, &same["widget"]["revision"]), (200, &json!(3)), "it is so already");
    for (body, pointer, code) in [
        (json!({}), "", "invalid_body"),
        (json!({ "revision": "1" }), "/revision", "invalid_body"),
        (json!({ "revision": -1 }), "/revision", "invalid_body"),
        (json!({ "revison": 1 }), "/revison", "invalid_body"),
        (json!([1]), "", "invalid_body"),
    ] {
        let refused = revert(&edge, "w", "", &body).await;
        is_problem(&refused, 422, "invalid_document");
        let part = &refused.1["errors"][0];
        assert_eq!(
            (&part["pointer"], &part["code"]),
            (&json!(pointer), &json!(code)),
            "{body}: {}",
            refused.1
        );
        assert!(part["detail"].as_str().unwrap().contains("{\"revision\": 7}"), "{part}");
    }
    is_problem(&revert(&edge, "unknown", "", &json!({ "revision": 1 })).await, 404, "unknown_widget");
    let call = edge.api(Method::POST, "/v1/widgets/w/revert").header("if-match", "\"2\"");
    is_problem(
        &read(call.json(&json!({ "revision": 2 })).send().await.unwrap()).await,
        412,
        "precondition_failed",
    );
}

/// It opens nothing in passing, whatever the earlier document says of itself.
#[tokio::test]
async fn an_earlier_document_opens_a_widget_only_if_that_is_confirmed() {
    let edge = Edge::start(EdgeSpec::stored(&json!([]))).await;
    for access in [json!({ "id": "w" }), json!({ "id": "w", "access": "open" })] {
        edge.put(&json!({ "id": "w", "access": "open" })).await;
        let (_, open) = edge.put(&access).await;
        let revision = open["widget"]["revision"].clone();
        edge.put(&json!({ "id": "w", "allowed_domains": ["example.com"] })).await;
        let refused = revert(&edge, "w", "", &json!({ "revision": revision })).await;
        is_problem(&refused, 422, "would_open_widget");
        assert!(refused.1["detail"].as_str().unwrap().contains("?confirm=open"), "{}", refused.1);
        assert_eq!(visit(&edge, "w", STRANGER).await, 403);
        call(&edge, Method::DELETE, "/v1/widgets/w").await;
        is_problem(&revert(&edge, "w", "", &json!({ "revision": revision })).await, 422, "would_open_widget");
        is_problem(
            &revert(&edge, "w", "?confirm=yes", &json!({ "revision": revision })).await,
            400,
            "invalid_parameter",
        );
        let (status, back) = revert(&edge, "w", "?confirm=open", &json!({ "revision": revision })).await;
        assert_eq!((status, &back["unrestricted"]), (201, &json!(true)), "{back}");
        assert_eq!(visit(&edge, "w", STRANGER).await, 200);
    }
}

#[tokio::test]
async fn a_batch_is_in_the_history_too() {
    let edge = Edge::start(EdgeSpec::stored(&json!([]))).await;
    let lines = [1, 2].map(|n| json!({ "put": { "id": "w", "allowed_domains": [format!("n{n}.example")] } }));
    for line in &lines {
        batch(&edge, "", std::slice::from_ref(line)).await;
    }
    batch(&edge, "", &[json!({ "delete": { "id": "w" } })]).await;
    let told = history(&edge, "w").await;
    assert_eq!(told.iter().map(|entry| entry["revision"].clone()).collect::<Vec<_>>(), [3, 2, 1]);
    assert_eq!(told[0]["deleted"], true);
    assert_eq!(revert(&edge, "w", "", &json!({ "revision": 2 })).await.0, 201);
    assert_eq!(visit(&edge, "w", "https://n2.example").await, 200);
}

#[tokio::test]
async fn the_kill_switch_disables_a_widget() {
    let edge =
        Edge::start(EdgeSpec::stored(&json!([{ "id": "w", "allowed_domains": ["example.com"] }]))).await;
    let answer = edge.api(Method::POST, "/v1/widgets/w/disable").send().await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["etag"]), (200, &"\"2\"".parse().unwrap()));
    let off: Value = answer.json().await.unwrap();
    assert_eq!(
        (&off["widget"]["enabled"], &off["durable"], &off["generation"]),
        (&json!(false), &json!(true), &json!(2))
    );
    assert_eq!(visit(&edge, "w", LISTED).await, 403);
    let (status, again) = call(&edge, Method::POST, "/v1/widgets/w/disable").await;
    assert_eq!((status, &again["widget"]["revision"], &again["generation"]), (200, &json!(2), &json!(2)));
    is_problem(&call(&edge, Method::POST, "/v1/widgets/unknown/disable").await, 404, "unknown_widget");
    let call_if = edge.api(Method::POST, "/v1/widgets/w/disable").header("if-match", "\"1\"");
    is_problem(&read(call_if.send().await.unwrap()).await, 412, "precondition_failed");
    assert_eq!(call(&edge, Method::GET, "/v1/status").await.1["not_kept"], json!([]));
}

#[tokio::test]
async fn the_kill_switch_is_in_force_where_there_is_no_room_to_keep_it() {
    let disk = SmallDisk::mount("8m");
    let mut spec = EdgeSpec::stored(&json!([{ "id": "w", "allowed_domains": ["example.com"] }]));
    let store = disk.at("rules.redb");
    spec.more = format!("[rules]\nsource = \"store\"\nstore = {{ path = {store:?} }}\n");
    let edge = Edge::start(spec).await;
    let filler =
        |n: usize, bytes: usize| json!({ "id": format!("n{n}"), "labels": { "filler": "x".repeat(bytes) } });
    let mut saved = 0;
    for bytes in [100_000, 10_000, 1_000, 1] {
        loop {
            match edge.put(&filler(saved, bytes)).await {
                (201, _) => saved += 1,
                refused => break is_problem(&refused, 507, "storage_full"),
            }
        }
    }
    let (status, off) = call(&edge, Method::POST, "/v1/widgets/w/disable").await;
    assert_eq!(
        (status, &off["durable"], &off["widget"]["enabled"]),
        (200, &json!(false), &json!(false)),
        "{off}"
    );
    assert_eq!(visit(&edge, "w", LISTED).await, 403);
    let (_, widget) = call(&edge, Method::GET, "/v1/widgets/w").await;
    assert_eq!(widget, off["widget"]);
    let waiting = call(&edge, Method::GET, "/v1/status").await.1["not_kept"].clone();
    assert_eq!((waiting.as_array().unwrap().len(), &waiting[0]["id"]), (1, &json!("w")), "{waiting}");
    assert_eq!(waiting[0]["revision"], off["widget"]["revision"]);
    is_problem(&edge.put(&filler(saved, 1)).await, 507, "storage_full");

    disk.resize("32m");
    eventually("it is kept", async || {
        call(&edge, Method::GET, "/v1/status").await.1["not_kept"] == json!([])
    })
    .await;
    assert_eq!(history(&edge, "w").await[0]["widget"], widget);
    assert_eq!(visit(&edge, "w", LISTED).await, 403);
}

#[tokio::test]
async fn the_kill_switch_is_in_force_where_it_can_not_be_recorded() {
    let edge =
        Edge::start(EdgeSpec::stored(&json!([{ "id": "w", "allowed_domains": ["example.com"] }]))).await;
    let log = edge.folder().join("data/audit.jsonl");
    let _ = std::fs::remove_file(&log);
    std::os::unix::fs::symlink("/dev/full", &log).unwrap();
    is_problem(&edge.put(&json!({ "id": "n" })).await, 503, "audit_unavailable");
    let (status, off) = call(&edge, Method::POST, "/v1/widgets/w/disable").await;
    assert_eq!((status, &off["durable"]), (200, &json!(false)), "{off}");
    assert_eq!(visit(&edge, "w", LISTED).await, 403);
    std::fs::remove_file(&log).unwrap();
    eventually("it is kept and recorded", async || {
        call(&edge, Method::GET, "/v1/status").await.1["not_kept"] == json!([])
    })
    .await;
    let recorded = std::fs::read_to_string(&log).unwrap();
    assert_eq!(recorded.lines().filter(|line| line.contains("\"enabled\"")).count(), 1, "{recorded}");
}
