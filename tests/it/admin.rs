//! The admin listener: health, metrics and status for operators, and nothing for pages in a browser.

use reqwest::{Client, Method, Response};
use serde_json::{Value, json};

use crate::support::edge::{Edge, EdgeSpec, READ_TOKEN};
use crate::support::{ports, raw};

const PATHS: [&str; 4] = ["/livez", "/readyz", "/metrics", "/v1/status"];

fn content_type(answer: &Response) -> &str {
    answer.headers()["content-type"].to_str().unwrap()
}

/// The answer is a problem document with this status and code.
async fn is_problem(answer: Response, status: u16, code: &str) -> String {
    assert_eq!(answer.status(), status);
    assert_eq!(content_type(&answer), "application/problem+json");
    let problem: Value = answer.json().await.unwrap();
    assert_eq!((&problem["status"], &problem["code"]), (&json!(status), &json!(code)), "{problem}");
    assert!(problem["type"].is_string() && problem["title"].is_string(), "{problem}");
    problem["detail"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn health_is_a_word_and_a_status() {
    let edge = Edge::start(EdgeSpec::default()).await;
    for (path, word) in [("/livez", "alive\n"), ("/readyz", "ready\n")] {
        let answer = edge.admin(path).await;
        assert_eq!((answer.status().as_u16(), content_type(&answer)), (200, "text/plain; charset=utf-8"));
        assert_eq!(answer.text().await.unwrap(), word);
        let head = Client::new().head(format!("http://{}{path}", edge.admin)).send().await.unwrap();
        assert_eq!((head.status().as_u16(), head.text().await.unwrap().as_str()), (200, ""));
    }
}

#[tokio::test]
async fn probes_have_a_listener_of_their_own() {
    let probe = ports::free();
    let more = format!("[admin.probe]\nlisten = \"{probe}\"\n");
    let edge = Edge::start(EdgeSpec { more, ..EdgeSpec::default() }).await;
    let ask = async |method: &str, path: &str| {
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: balancer.internal\r\nContent-Length: 0\r\n\r\n");
        raw::send(probe, request.as_bytes()).await
    };
    for (path, says) in [("/livez", "alive\n"), ("/readyz", "ready\n"), ("/metrics", "embedgate_build_info")]
    {
        let answer = ask("GET", path).await;
        assert!(answer.status == 200 && answer.body.contains(says), "{path}: {answer:?}");
    }
    for (method, path, status) in [
        ("GET", "/v1/status", 404),
        ("GET", "/", 404),
        ("GET", "/v1/openapi.json", 404),
        ("POST", "/readyz", 405),
    ] {
        assert_eq!(ask(method, path).await.status, status, "{method} {path}");
    }
    assert!(edge.log().contains(&format!("probes on http://{probe}")), "{}", edge.log());
}

#[tokio::test]
async fn the_status_tells_which_rules_are_in_force() {
    let widgets = json!([
        { "id": "a", "allowed_domains": ["example.com"] },
        { "id": "b", "environment": "staging", "access": "monitor", "allowed_domains": ["example.com"] },
        { "id": "c" },
        { "id": "d", "environment": "staging", "access": "open", "enabled": false },
    ]);
    let rules = json!({ "widgets": widgets }).to_string();
    let edge = Edge::start(EdgeSpec { rules, ..EdgeSpec::default() }).await;
    let answer = edge.admin("/v1/status").await;
    assert_eq!((answer.status().as_u16(), content_type(&answer)), (200, "application/json"));
    let status: Value = answer.json().await.unwrap();
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["generation"], 1);
    assert_eq!(
        status["widgets"],
        json!({
            "total": 4,
            "by_environment": {
                "production": { "enforce": 1, "monitor": 0, "open": 1 },
                "staging": { "enforce": 0, "monitor": 1, "open": 1 },
            },
            "unrestricted": { "production": 1, "staging": 1 },
        })
    );
    assert_eq!(status["decisions_not_logged"], 0);
    let source = &status["rules"];
    assert_eq!((&source["source"], &source["name"]), (&json!("file"), &json!("conf/widgets.json")));
    assert_eq!((&source["connected"], &source["last_error"]), (&json!(true), &Value::Null));
    assert!(source["last_applied_at"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{source}");
    assert_eq!(edge.metric("embedgate_rules_unrestricted{environment=\"production\"}").await, 1.0);
    assert_eq!(
        edge.metric("embedgate_rules_widgets{access=\"monitor\",environment=\"staging\"}").await,
        1.0,
        "the metrics say the same"
    );
}

#[tokio::test]
async fn pages_that_rebind_a_name_or_post_from_elsewhere_are_kept_out() {
    let edge = Edge::start(EdgeSpec::default()).await;
    let port = edge.admin.port();
    let ask = async |path: &str, fields: &str| {
        let token = format!("Authorization: Bearer {READ_TOKEN}\r\n");
        let request = format!("GET {path} HTTP/1.1\r\n{fields}{token}Connection: close\r\n\r\n");
        raw::send(edge.admin, request.as_bytes()).await
    };
    for fields in [
        format!("Host: localhost:{port}\r\n"),
        format!("Host: 127.0.0.1:{port}\r\n"),
        format!("Host: localhost:{port}\r\nOrigin: http://localhost:{port}\r\n"),
    ] {
        assert_eq!(ask("/v1/status", &fields).await.status, 200, "{fields}");
    }
    for fields in [
        "Host: rebound.example\r\n".to_owned(),
        format!("Host: rebound.example:{port}\r\n"),
        "Host: localhost.rebound.example\r\n".to_owned(),
        format!("Host: localhost:{port}\r\nHost: localhost:{port}\r\n"),
        format!("Host: localhost:{port}\r\nOrigin: https://rebound.example\r\n"),
        format!("Host: localhost:{port}\r\nOrigin: null\r\n"),
        format!("Host: localhost:{port}\r\nOrigin: http://localhost:{}\r\n", edge.http.port()),
    ] {
        for path in PATHS.into_iter().chain(["/nowhere"]) {
            let answer = ask(path, &fields).await;
            let told = (answer.status, answer.field("content-type"));
            assert_eq!(told, (403, "application/problem+json"), "{path} {fields}");
            assert!(answer.body.contains("\"forbidden\"") && !answer.body.contains("rebound"), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn what_is_not_there_is_a_problem() {
    let edge = Edge::start(EdgeSpec::default()).await;
    for path in ["/v1", "/v1/", "/v1/status/", "/metrics/x", "/w/wgt_demo/loader.js"] {
        is_problem(edge.admin(path).await, 404, "not_found").await;
    }
    for (method, path) in
        [(Method::POST, "/livez"), (Method::PUT, "/v1/status"), (Method::DELETE, "/metrics")]
    {
        let answer = edge.api(method, path).send().await.unwrap();
        assert_eq!(answer.headers()["allow"], "GET,HEAD");
        is_problem(answer, 405, "method_not_allowed").await;
    }
}

/// Whoever opens an address that the start names is told where to go.
#[tokio::test]
async fn a_person_with_a_browser_finds_the_way() {
    let edge = Edge::start(EdgeSpec::default()).await;
    let port = edge.http.port();
    let page = format!("http://localhost:{}/", edge.admin.port());
    let answer = reqwest::get(&page).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.url().path()), (200, "/sign-in"));
    let says = format!("page: {page} (sign in with a token of data/admin.tokens)");
    assert!(edge.log().contains(&says), "{}", edge.log());
    let request = format!("GET / HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n");
    let answer = raw::send(edge.http, request.as_bytes()).await;
    assert_eq!((answer.status, answer.field("content-type")), (200, "text/html; charset=utf-8"));
    for name in ["site", "stranger"] {
        assert!(answer.body.contains(&format!("href=\"//{name}.localhost:{port}/\"")), "{answer:?}");
    }
    assert!(answer.body.contains(&format!("href=\"{page}\"")), "{answer:?}");
}

#[tokio::test]
async fn the_data_listener_tells_nothing_of_it() {
    let edge = Edge::start(EdgeSpec::default()).await;
    for path in PATHS {
        for host in [edge.http, edge.admin] {
            let answer = raw::send(
                edge.http,
                format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes(),
            )
            .await;
            assert_eq!(answer.status, 404, "{path}");
            assert!(!answer.body.contains("embedgate_") && !answer.body.contains("generation"), "{answer:?}");
        }
    }
}
