//! `POST /v1/rules/apply`: a rules file that touches many widgets is put in force by its number.

use reqwest::Method;
use serde_json::{Value, json};

use super::{STRANGER, call, is_problem, read, visit};
use crate::support::edge::{Edge, EdgeSpec, READ_TOKEN};
use crate::support::eventually;

fn rules(count: usize, domain: &str) -> String {
    let widgets: Vec<Value> =
        (0..count).map(|n| json!({ "id": format!("w{n}"), "allowed_domains": [domain] })).collect();
    json!({ "widgets": widgets }).to_string()
}

#[tokio::test]
async fn what_the_brake_holds_is_applied_by_its_number() {
    let edge = Edge::start(EdgeSpec { rules: rules(30, "example.com"), ..EdgeSpec::default() }).await;
    let apply = async |query: &str| call(&edge, Method::POST, &format!("/v1/rules/apply{query}")).await;
    let (status, same) = apply("").await;
    assert_eq!((status, &same["unchanged"], &same["updated"]), (200, &json!(30), &json!(0)), "{same}");

    std::fs::write(edge.rules(), rules(20, "stranger.example")).unwrap();
    eventually("the edit is held", async || {
        call(&edge, Method::GET, "/v1/status").await.1["rules"]["last_error"]["code"] == "wide_change"
    })
    .await;
    let held = apply("").await;
    is_problem(&held, 422, "wide_change");
    let wide = json!({ "widgets": 30, "deleted": 10, "disabled": 0, "restricted": 20, "opened": 0, "monitored": 0, "confirm": 30 });
    assert_eq!(held.1["wide_change"], wide, "{}", held.1);
    is_problem(&apply("?confirm=29").await, 422, "wide_change");
    assert_eq!(visit(&edge, "w0", STRANGER).await, 403);

    let client = reqwest::Client::new();
    let url = format!("http://{}/v1/rules/apply?confirm=30", edge.admin);
    is_problem(&read(client.post(url).bearer_auth(READ_TOKEN).send().await.unwrap()).await, 403, "forbidden");
    is_problem(&apply("?confirm=all").await, 400, "invalid_parameter");

    let (status, applied) = apply("?confirm=30").await;
    assert_eq!(status, 200, "{applied}");
    let counts = ["created", "updated", "deleted", "unchanged"].map(|name| applied[name].as_u64().unwrap());
    assert_eq!((counts, &applied["generation"]), ([0, 20, 10, 0], &json!(2)), "{applied}");
    assert_eq!(visit(&edge, "w0", STRANGER).await, 200);
    assert_eq!(call(&edge, Method::GET, "/v1/status").await.1["rules"]["last_error"], Value::Null);
}

#[tokio::test]
async fn a_file_with_errors_is_told_where_they_are() {
    let edge = Edge::start(EdgeSpec { rules: rules(2, "example.com"), ..EdgeSpec::default() }).await;
    let apply = async || call(&edge, Method::POST, "/v1/rules/apply?confirm=9").await;
    std::fs::write(
        edge.rules(),
        "{\"widgets\": [{\"id\": \"w0\",\n \"allowed_domains\": [\"a b\", \"*\"]}]}",
    )
    .unwrap();
    let refused = apply().await;
    is_problem(&refused, 422, "invalid_document");
    let errors = refused.1["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors[0]["detail"].as_str().unwrap().contains("conf/widgets.json:2:"), "{errors:?}");
    assert_eq!(errors[0]["pointer"], "/widgets/0/allowed_domains/0");
    std::fs::remove_file(edge.rules()).unwrap();
    is_problem(&apply().await, 422, "unreadable");
    assert_eq!(call(&edge, Method::GET, "/v1/status").await.1["generation"], 1);
}

#[tokio::test]
async fn where_rules_come_from_the_store_there_is_no_file() {
    let edge = Edge::start(EdgeSpec::stored(&json!([]))).await;
    let refused = call(&edge, Method::POST, "/v1/rules/apply").await;
    is_problem(&refused, 409, "no_rules_file");
    assert!(refused.1["detail"].as_str().unwrap().contains("rules.source"), "{}", refused.1);
}
