//! Queries and bodies that a call doesn't declare: refused by every call, and told what was meant.

use reqwest::Method;
use serde_json::{Value, json};

use super::{NDJSON, call, is_problem, read};
use crate::support::edge::{Edge, EdgeSpec};

/// Every call of the description: its method, its path and its query parameters.
fn described() -> Vec<(Method, String, Vec<String>)> {
    let api: Value = serde_json::from_str(&embedgate::admin::description()).unwrap();
    let mut calls = Vec::new();
    for (path, item) in api["paths"].as_object().unwrap() {
        for (method, call) in item.as_object().unwrap() {
            let parameters = call["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
            let queried = parameters.iter().filter(|parameter| parameter["in"] == "query");
            let names = queried.map(|parameter| parameter["name"].as_str().unwrap().to_owned()).collect();
            let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes()).unwrap();
            calls.push((method, path.replace("{id}", "w"), names));
        }
    }
    calls
}

#[tokio::test]
async fn no_call_takes_a_parameter_that_it_does_not_know() {
    let edge = Edge::start(EdgeSpec::stored(&json!([{ "id": "w", "access": "open" }]))).await;
    let calls = described();
    assert!(calls.len() > 10, "{calls:?}");
    let refused = async |method: &Method, path: &str, query: &str, code: &str, name: &str| {
        let refused = call(&edge, method.clone(), &format!("{path}?{query}")).await;
        is_problem(&refused, 400, code);
        assert_eq!(refused.1["errors"][0]["parameter"], name, "{method} {path}: {}", refused.1);
        refused.1["detail"].as_str().unwrap().to_owned()
    };
    for (method, path, names) in &calls {
        let told = refused(method, path, "nonsense=1", "unknown_parameter", "nonsense").await;
        match names.as_slice() {
            [] => assert!(told.contains("no query parameters"), "{method} {path}: {told}"),
            names => assert!(names.iter().all(|name| told.contains(name)), "{method} {path}: {told}"),
        }
        for name in names {
            let mistyped = format!("{}x", name.to_uppercase());
            let told = refused(method, path, &format!("{mistyped}=1"), "unknown_parameter", &mistyped).await;
            assert!(told.contains(&format!("did you mean `{name}`?")), "{method} {path}: {told}");
        }
    }
    refused(&Method::GET, "/v1/openapi.json", "format=yaml", "unknown_parameter", "format").await;
    // What is asked with tokens is still asked for them first, and probes may be asked with anything.
    let anonymous = reqwest::get(format!("http://{}/v1/status?x=1", edge.admin)).await.unwrap();
    assert_eq!(anonymous.status(), 401);
    for path in ["/livez?x=1", "/readyz?x=1", "/metrics?x=1", "/?x=1"] {
        assert_eq!(edge.admin(path).await.status(), 200, "{path}");
    }
    let trace = edge.api(Method::TRACE, "/v1/status?x=1").send().await.unwrap();
    assert_eq!(trace.status(), 405);
    assert_eq!(call(&edge, Method::GET, "/v1/status").await.1["generation"], 1, "nothing was done");
}

#[tokio::test]
async fn no_call_takes_a_parameter_twice_or_without_a_value() {
    let edge = Edge::start(EdgeSpec::stored(&json!([{ "id": "w", "access": "open" }]))).await;
    for (method, path, names) in described() {
        for name in names {
            let may_repeat = ["label", "kind"].contains(&name.as_str());
            let twice = call(&edge, method.clone(), &format!("{path}?{name}=1&{name}=1")).await;
            assert_eq!(
                twice.0 == 400 && twice.1["detail"].as_str().unwrap().contains("more than once"),
                !may_repeat,
                "{method} {path}?{name}: {}",
                twice.1
            );
            // A stream is answered with its head, and a stranger to it not at all.
            if path != "/v1/events" {
                let query = edge.api(method.clone(), &format!("{path}?{name}="));
                let query = query.header("content-type", if path == "/v1/batch" { NDJSON } else { "" });
                let empty = read(query.send().await.unwrap()).await;
                is_problem(&empty, 400, "invalid_parameter");
                assert_eq!(empty.1["errors"][0]["parameter"], name, "{method} {path}: {}", empty.1);
            }
        }
    }
}

#[tokio::test]
async fn calls_without_input_take_no_body() {
    let edge = Edge::start(EdgeSpec::stored(&json!([{ "id": "w", "access": "open" }]))).await;
    let api: Value = serde_json::from_str(&embedgate::admin::description()).unwrap();
    let mut tried = 0;
    for (path, item) in api["paths"].as_object().unwrap() {
        for (method, declared) in item.as_object().unwrap() {
            if !declared["requestBody"].is_null() || path == "/v1/events" {
                continue;
            }
            let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes()).unwrap();
            let path = path.replace("{id}", "w");
            let refused =
                edge.api(method.clone(), &path).json(&json!({ "revision": 7 })).send().await.unwrap();
            is_problem(&read(refused).await, 400, "unexpected_body");
            tried += 1;
        }
    }
    assert!(tried > 5, "{tried}");
    let purge = edge.api(Method::POST, "/v1/widgets/w/purge").json(&json!({})).send().await.unwrap();
    assert_eq!(purge.status(), 200, "an empty object says nothing");
    assert_eq!(call(&edge, Method::GET, "/v1/widgets/w").await.1["revision"], 1);
}
