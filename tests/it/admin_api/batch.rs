//! Many changes in one swap.

use reqwest::Method;
use serde_json::{Value, json};

use super::{LISTED, NDJSON, batch, call, is_problem, read, visit};
use crate::support::edge::{Edge, EdgeSpec, READ_TOKEN};

fn put(id: &str, revision: u64) -> Value {
    json!({ "put": { "id": id, "revision": revision, "allowed_domains": ["example.com", format!("r{revision}.example")] } })
}

#[tokio::test]
async fn it_is_one_swap_or_none() {
    let edge = Edge::start(EdgeSpec::stored(&json!([{ "id": "other" }]))).await;
    let lines: Vec<Value> = (0..300).map(|n| put(&format!("w{n}"), 1)).collect();
    let done = batch(&edge, "", &lines).await;
    assert_eq!(
        done,
        (200, json!({ "generation": 2, "applied": 300, "unchanged": 0, "skipped": 0, "removed": 0 }))
    );
    assert_eq!(visit(&edge, "w299", LISTED).await, 200);
    let mixed = [put("w0", 1), put("w1", 2), json!({ "delete": { "id": "w2" } }), put("new", 1)];
    let done = batch(&edge, "", &mixed).await;
    assert_eq!(
        done,
        (200, json!({ "generation": 3, "applied": 3, "unchanged": 1, "skipped": 0, "removed": 0 }))
    );

    let faulty = [
        put("another", 1),
        json!({ "put": { "id": "w3", "allowed_domains": ["*", "b.example", "a b"] } }),
        put("w1", 1),
        json!({ "delete": { "id": "nobody" } }),
        json!({ "put": { "id": "w4", "revision": 1, "enabled": false } }),
    ];
    let refused = batch(&edge, "", &faulty).await;
    is_problem(&refused, 422, "invalid_document");
    let errors: Vec<(u64, &str, &str)> = refused.1["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| {
            let text = |name: &str| error[name].as_str().unwrap();
            assert!(!text("detail").is_empty());
            (error["line"].as_u64().unwrap(), text("pointer"), text("code"))
        })
        .collect();
    let places: Vec<(u64, &str)> = errors.iter().map(|(line, pointer, _)| (*line, *pointer)).collect();
    assert_eq!(
        places,
        [
            (2, "/put/allowed_domains/0"),
            (2, "/put/allowed_domains/2"),
            (3, "/put/revision"),
            (4, "/delete"),
            (5, "/put/revision")
        ]
    );
    assert_eq!((errors[2].2, errors[3].2), ("stale_revision", "unknown_widget"));
    assert_eq!(call(&edge, Method::GET, "/v1/widgets/another").await.0, 404, "nothing of it");
    assert_eq!(call(&edge, Method::GET, "/v1/status").await.1["generation"], 3);
}

#[tokio::test]
async fn late_lines_are_skipped_where_that_is_wanted() {
    let edge = Edge::start(EdgeSpec::stored(&json!([{ "id": "other" }]))).await;
    batch(&edge, "", &[put("a", 5), put("b", 5)]).await;
    let lines = [put("a", 4), put("b", 6), put("b", 5), json!({ "delete": { "id": "a", "revision": 3 } })];
    is_problem(&batch(&edge, "", &lines).await, 422, "invalid_document");
    let done = batch(&edge, "?stale=skip", &lines).await;
    assert_eq!(
        done,
        (200, json!({ "generation": 3, "applied": 1, "unchanged": 0, "skipped": 3, "removed": 0 }))
    );
}

#[tokio::test]
async fn replacing_makes_the_book_exactly_this() {
    let edge =
        Edge::start(EdgeSpec::stored(&json!([{ "id": "old", "allowed_domains": ["example.com"] }]))).await;
    batch(&edge, "", &[put("a", 5), put("b", 5)]).await;
    let done = batch(&edge, "?replace=true&confirm=2", &[put("a", 5), put("c", 1)]).await;
    assert_eq!(
        (done.0, &done.1["applied"], &done.1["unchanged"], &done.1["removed"]),
        (200, &json!(1), &json!(1), &json!(2))
    );
    assert_eq!((visit(&edge, "b", LISTED).await, visit(&edge, "c", LISTED).await), (403, 200));
    let ids: Vec<Value> = call(&edge, Method::GET, "/v1/widgets").await.1["widgets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|widget| widget["id"].clone())
        .collect();
    assert_eq!(ids, ["a", "c"]);
}

/// What an empty input would take from everybody wants the number that it takes, whatever the input looks like.
#[tokio::test]
async fn an_empty_replace_has_to_be_confirmed() {
    let edge =
        Edge::start(EdgeSpec::stored(&json!([{ "id": "old", "allowed_domains": ["example.com"] }]))).await;
    batch(&edge, "", &[put("a", 5), put("b", 5)]).await;
    let raw = async |query: &str, body: &'static str| {
        let call = edge.api(Method::POST, &format!("/v1/batch{query}")).header("content-type", NDJSON);
        read(call.body(body).send().await.unwrap()).await
    };
    let deletes = "{\"delete\":{\"id\":\"a\"}}\n{\"delete\":{\"id\":\"b\",\"revision\":9}}\n";
    for (query, body) in [
        ("?replace=true", ""),
        ("?replace=true", "\n  \r\n\n"),
        ("?replace=true&stale=skip", ""),
        // Nothing is left by what it says, either.
        ("?replace=true", deletes),
        ("?replace=true&confirm=0", ""),
        ("?replace=true&confirm=2", ""),
    ] {
        let held = raw(query, body).await;
        is_problem(&held, 422, "wide_change");
        assert_eq!(
            held.1["wide_change"],
            json!({ "widgets": 3, "deleted": 3, "disabled": 0, "restricted": 0, "opened": 0, "monitored": 0, "confirm": 3 }),
            "{query} {body:?}: {}",
            held.1
        );
        assert!(held.1["detail"].as_str().unwrap().contains("?confirm=3"), "{}", held.1);
    }
    is_problem(&raw("?replace=true&confirm=many", "").await, 400, "invalid_parameter");
    let status = call(&edge, Method::GET, "/v1/status").await.1;
    assert_eq!((&status["widgets"]["total"], &status["generation"]), (&json!(3), &json!(2)), "{status}");
    assert_eq!(visit(&edge, "old", LISTED).await, 200);
    let rejected = "embedgate_rules_rejected_total{code=\"wide_change\",source=\"store\"}";
    assert_eq!(edge.metric(rejected).await, 6.0);

    let done = raw("?replace=true&confirm=3", "").await;
    assert_eq!((done.0, &done.1["removed"]), (200, &json!(3)), "{}", done.1);
    assert_eq!(visit(&edge, "old", LISTED).await, 403);
    // There is nothing left to lose.
    assert_eq!(raw("?replace=true", "").await.0, 200);
    assert_eq!(batch(&edge, "?replace=true", &[put("c", 1), put("d", 1)]).await.0, 200);
    // The number is an upper bound: what has gone meanwhile needs no other.
    assert_eq!(raw("?replace=true&confirm=1000", "").await.0, 200);
}

/// What a batch would do, without doing it: told to whoever may read.
#[tokio::test]
async fn a_batch_can_be_tried() {
    let widgets: Vec<Value> =
        (0..30).map(|n| json!({ "id": format!("w{n}"), "allowed_domains": ["example.com"] })).collect();
    let edge = Edge::start(EdgeSpec::stored(&json!(widgets))).await;
    let lines = [
        json!({ "put": { "id": "new" } }),
        json!({ "put": { "id": "w0", "allowed_domains": ["stranger.example"] } }),
        json!({ "put": { "id": "w1", "allowed_domains": ["example.com"] } }),
        json!({ "put": { "id": "w2", "allowed_domains": ["example.com"], "enabled": false } }),
        json!({ "put": { "id": "w3", "access": "open" } }),
        json!({ "put": { "id": "w4", "access": "monitor", "allowed_domains": ["example.com"] } }),
        json!({ "delete": { "id": "w5" } }),
        json!({ "put": { "id": "w6", "revision": 1, "allowed_domains": ["x.example"] } }),
    ];
    let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let tried = async |query: &str, body: &str| {
        let url = format!("http://{}/v1/batch?dry_run=true{query}", edge.admin);
        let call = reqwest::Client::new().post(url).bearer_auth(READ_TOKEN).header("content-type", NDJSON);
        read(call.body(body.to_owned()).send().await.unwrap()).await
    };
    let (status, trial) = tried("&stale=skip", &body).await;
    assert_eq!(status, 200, "{trial}");
    let expected = json!({
        "created": 1, "updated": 4, "deleted": 1, "unchanged": 1, "skipped": 1, "removed": 0,
        "disabled": 1, "restricted": 1, "opened": 1, "monitored": 1,
    });
    assert_eq!(trial, expected);
    let (_, replaced) = tried("&stale=skip&replace=true", &body).await;
    assert_eq!(replaced["removed"], 23, "{replaced}");
    assert_eq!(replaced["wide"]["confirm"], 28, "{replaced}");
    // What a batch would be refused for, its trial is, too, with the lines.
    let stale = tried("", &body).await;
    is_problem(&stale, 422, "invalid_document");
    assert_eq!(
        (&stale.1["errors"][0]["line"], &stale.1["errors"][0]["code"]),
        (&json!(8), &json!("stale_revision"))
    );
    is_problem(&tried("", "{\"put\":{\"id\":\"a b\"}}\nnonsense\n").await, 422, "invalid_document");
    is_problem(&tried("&confirm=x", "").await, 400, "invalid_parameter");
    let status = call(&edge, Method::GET, "/v1/status").await.1;
    assert_eq!((&status["generation"], &status["widgets"]["total"]), (&json!(1), &json!(30)), "{status}");
    assert_eq!(
        edge.metric("embedgate_rules_rejected_total{code=\"wide_change\",source=\"store\"}").await,
        0.0
    );
    let url = format!("http://{}/v1/batch?dry_run=false", edge.admin);
    let call = reqwest::Client::new().post(url).bearer_auth(READ_TOKEN).header("content-type", NDJSON);
    is_problem(&read(call.body("").send().await.unwrap()).await, 403, "forbidden");
}

#[tokio::test]
async fn it_has_limits() {
    let edge = Edge::start(EdgeSpec::stored(&json!([]))).await;
    let send = async |body: String| {
        let call = edge.api(Method::POST, "/v1/batch").header("content-type", NDJSON);
        read(call.body(body).send().await.unwrap()).await
    };
    let line = |n: usize| format!("{{\"delete\":{{\"id\":\"w{n}\",\"revision\":1}}}}\n");
    let most: String = (0..100_000).map(line).collect();
    let done = send(most.clone()).await;
    assert_eq!((done.0, &done.1["applied"]), (200, &json!(100_000)));
    is_problem(&send(format!("{most}{}", line(100_000))).await, 413, "too_large");
    is_problem(&send(" ".repeat(300 * 1024)).await, 413, "too_large");
    let faults: String = (0..50)
        .map(|n| format!("{{\"put\":{{\"id\":\"w{n}\",\"allowed_domains\":{}}}}}\n", json!(vec!["*"; 999])))
        .collect();
    let refused = send(faults).await;
    is_problem(&refused, 422, "invalid_document");
    assert_eq!(refused.1["errors"].as_array().unwrap().len(), 10_000);
    assert_eq!(refused.1["errors_omitted"], 50 * 999 - 10_000);
}
