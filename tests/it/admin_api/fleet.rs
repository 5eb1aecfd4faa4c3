//! Calls about a fleet, and `wait=fleet`, on an edge that has none: it is the whole fleet.

use reqwest::Method;
use serde_json::{Value, json};

use super::{NDJSON, batch, call, is_problem, read};
use crate::support::edge::{Edge, EdgeSpec, READ_TOKEN};

#[tokio::test]
async fn an_edge_alone_says_what_makes_a_fleet() {
    for (source, edge) in [
        ("store", Edge::start(EdgeSpec::stored(&json!([]))).await),
        ("file", Edge::start(EdgeSpec::default()).await),
    ] {
        let forget = edge.api(Method::POST, "/v1/fleet/forget").json(&json!({ "edge": "edge-3" }));
        for answer in [
            call(&edge, Method::GET, "/v1/fleet?timeout=500ms").await,
            call(&edge, Method::POST, "/v1/fleet/restore").await,
            call(&edge, Method::POST, "/v1/fleet/accept?confirm=9").await,
            read(forget.send().await.unwrap()).await,
        ] {
            is_problem(&answer, 404, "no_fleet");
            let detail = answer.1["detail"].as_str().unwrap();
            let says = format!("rules come from the {source} here");
            assert!(detail.contains(&says) && detail.contains("rules.source to \"nats\""), "{detail}");
        }
        assert_eq!(call(&edge, Method::GET, "/v1/status").await.1["fleet"], Value::Null);
        assert_eq!(edge.admin("/readyz").await.text().await.unwrap(), "ready\n");
        let metrics = edge.admin("/metrics").await.text().await.unwrap();
        for state in ["current", "behind", "fault", "silent", "stale"] {
            assert!(
                metrics.contains(&format!("\nembedgate_fleet_edges{{state=\"{state}\"}} 0\n")),
                "{state}"
            );
        }
        assert!(metrics.contains("\nembedgate_fleet_enforced_duration_seconds_count 0\n"), "{metrics}");
    }
}

#[tokio::test]
async fn decisions_need_a_token_that_writes() {
    let edge = Edge::start(EdgeSpec::stored(&json!([]))).await;
    let client = reqwest::Client::new();
    for (method, path) in [
        (Method::GET, "/v1/fleet"),
        (Method::POST, "/v1/fleet/restore"),
        (Method::POST, "/v1/fleet/accept"),
        (Method::POST, "/v1/fleet/forget"),
    ] {
        let url = format!("http://{}{path}", edge.admin);
        is_problem(
            &read(client.request(method.clone(), &url).send().await.unwrap()).await,
            401,
            "unauthorized",
        );
        let reads = client.request(method.clone(), &url).bearer_auth(READ_TOKEN);
        let answer = read(reads.send().await.unwrap()).await;
        match method == Method::GET {
            true => is_problem(&answer, 404, "no_fleet"),
            false => is_problem(&answer, 403, "forbidden"),
        }
    }
}

#[tokio::test]
async fn whoever_waits_for_a_fleet_of_one_has_the_usual_answer() {
    let edge = Edge::start(EdgeSpec::stored(&json!([]))).await;
    let document = json!({ "id": "w", "allowed_domains": ["example.com"] });
    let widget = "/v1/widgets/w";
    let query = "wait=fleet&timeout=100ms";
    let domains = json!({ "add": ["a.example"] });
    for (method, path, media, body, status) in [
        (Method::PUT, widget, "application/json", &document, 201),
        (Method::PUT, widget, "application/json", &document, 200),
        (Method::PATCH, widget, "application/merge-patch+json", &json!({ "labels": { "a": "b" } }), 200),
        (Method::POST, "/v1/widgets/w/domains", "application/json", &domains, 200),
        (Method::POST, "/v1/widgets/w/disable", "application/json", &json!({}), 200),
        (Method::POST, "/v1/widgets/w/revert", "application/json", &json!({ "revision": 1 }), 200),
        (Method::POST, "/v1/batch", NDJSON, &json!({ "put": { "id": "other" } }), 200),
        (Method::DELETE, widget, "application/json", &json!({}), 200),
    ] {
        let call = edge.api(method.clone(), &format!("{path}?{query}")).header("content-type", media);
        let (told, answer) = read(call.body(body.to_string()).send().await.unwrap()).await;
        assert_eq!(told, status, "{method} {path}: {answer}");
        assert!(answer["generation"].is_u64(), "{answer}");
        assert!(
            answer.get("sequence").is_none() && answer.get("behind").is_none(),
            "{method} {path}: {answer}"
        );
    }
    let (status, told) =
        batch(&edge, "?chunked=true&wait=fleet", &[json!({ "delete": { "id": "other" } })]).await;
    assert_eq!((status, &told["applied"]), (200, &json!(1)), "{told}");

    let file = Edge::start(EdgeSpec::default()).await;
    let applied = call(&file, Method::POST, &format!("/v1/rules/apply?{query}")).await;
    assert_eq!(applied.0, 200, "{}", applied.1);
}

#[tokio::test]
async fn a_wish_to_wait_that_makes_no_sense_changes_nothing() {
    let edge = Edge::start(EdgeSpec::stored(&json!([{ "id": "w" }]))).await;
    for (query, parameter, says) in [
        ("wait=edge", "wait", "fleet"),
        ("timeout=2s", "timeout", "`wait=fleet`"),
        ("wait=fleet&timeout=2", "timeout", "write `2s`"),
        ("wait=fleet&timeout=2m", "timeout", "`500ms` or `2s`"),
        ("wait=fleet&timeout=0s", "timeout", "from 1ms to 60s"),
        ("wait=fleet&timeout=61s", "timeout", "from 1ms to 60s"),
    ] {
        for (method, path) in [
            (Method::PUT, "/v1/widgets/w"),
            (Method::PATCH, "/v1/widgets/w"),
            (Method::DELETE, "/v1/widgets/w"),
            (Method::POST, "/v1/widgets/w/domains"),
            (Method::POST, "/v1/widgets/w/disable"),
            (Method::POST, "/v1/widgets/w/revert"),
            (Method::POST, "/v1/batch"),
            (Method::POST, "/v1/rules/apply"),
        ] {
            let refused = call(&edge, method.clone(), &format!("{path}?{query}")).await;
            is_problem(&refused, 400, "invalid_parameter");
            assert_eq!(refused.1["errors"][0]["parameter"], parameter, "{method} {path}: {}", refused.1);
            assert!(refused.1["detail"].as_str().unwrap().contains(says), "{query}: {}", refused.1);
        }
    }
    let tried = batch(&edge, "?dry_run=true&wait=fleet", &[json!({ "put": { "id": "new" } })]).await;
    is_problem(&tried, 400, "invalid_parameter");
    assert!(tried.1["detail"].as_str().unwrap().contains("nothing to wait for"), "{}", tried.1);
    is_problem(&call(&edge, Method::GET, "/v1/fleet?timeout=1h").await, 400, "invalid_parameter");
    assert_eq!(call(&edge, Method::GET, "/v1/status").await.1["generation"], 1);
}
