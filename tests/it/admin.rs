//! The admin listener: health, metrics and status for operators, and nothing for pages in a browser.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::{Client, Method, Response};
use serde_json::{Value, json};

use crate::support::edge::{Edge, EdgeSpec, READ_TOKEN};
use crate::support::upstream::Upstream;
use crate::support::{eventually, ports, raw};

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

/// A text in Prometheus' exposition format: each sample's value by its name and labels.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let (mut helped, mut kinds, mut samples) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            assert!(helped.insert(name) && help.ends_with('.'), "{line}");
            continue;
        }
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(helped.contains(name) && kinds.insert(name, kind).is_none(), "{line}");
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}').unwrap_or_else(|| panic!("{line}"))),
            None => (series, ""),
        };
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|part| {
            name.strip_suffix(part).filter(|family| kinds.get(family) == Some(&"histogram"))
        });
        let family = family.unwrap_or(name);
        let kind = kinds.get(family).unwrap_or_else(|| panic!("no type: {line}"));
        assert!(family.starts_with("embedgate_"), "{line}");
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        assert!(name.bytes().all(is_plain), "{line}");
        assert_eq!(name.ends_with("_total"), *kind == "counter", "{line}");
        for label in labels.split(',').filter(|label| !label.is_empty()) {
            let (key, value) = label.split_once('=').unwrap_or_else(|| panic!("{line}"));
            let is_quoted = value.len() >= 2 && value.starts_with('"') && value.ends_with('"');
            assert!(is_quoted && key.bytes().all(|byte| byte.is_ascii_lowercase()), "{line}");
        }
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
        assert!(samples.insert(series.to_owned(), value).is_none(), "twice: {line}");
    }
    samples
}

async fn scrape(edge: &Edge) -> BTreeMap<String, f64> {
    let answer = edge.admin("/metrics").await;
    assert_eq!(content_type(&answer), "text/plain; version=0.0.4; charset=utf-8");
    samples(&answer.text().await.unwrap())
}

#[tokio::test]
async fn metrics_count_what_happens() {
    let upstream = Upstream::start("app").await;
    let widgets = json!([{ "id": "w", "allowed_domains": ["example.com"] }]);
    let edge = Edge::start(EdgeSpec::on(upstream.addr, &widgets)).await;
    let ask = async |path: &str, origin: &str| {
        Client::new().get(edge.url(path)).header("origin", origin).send().await.unwrap().status().as_u16()
    };
    for _ in 0..3 {
        assert_eq!(ask("/w/w/loader.js", "https://example.com").await, 200);
    }
    assert_eq!(ask("/w/w/session", "https://stranger.example").await, 403);
    assert_eq!(ask("/nowhere", "https://example.com").await, 404);
    drop(upstream);
    assert_eq!(ask("/w/w/loader.js", "https://example.com").await, 502);

    let allowed = "embedgate_decisions_total{class=\"asset\",reason=\"exact\",verdict=\"allow\"}";
    let failed = "embedgate_requests_total{class=\"asset\",status=\"502\"}";
    let served = "embedgate_requests_total{class=\"asset\",status=\"200\"}";
    // Each is counted once it is answered, and those of other connections when their turn comes.
    eventually("the requests are counted", async || {
        (edge.metric(failed).await, edge.metric(served).await) == (1.0, 3.0)
    })
    .await;
    let samples = scrape(&edge).await;
    for (series, value) in [
        (allowed, 4.0),
        ("embedgate_decisions_total{class=\"session\",reason=\"not_listed\",verdict=\"deny\"}", 1.0),
        ("embedgate_decision_duration_seconds_count", 5.0),
        (served, 3.0),
        (failed, 1.0),
        ("embedgate_requests_total{class=\"session\",status=\"403\"}", 1.0),
        ("embedgate_requests_total{class=\"none\",status=\"404\"}", 1.0),
        ("embedgate_request_duration_seconds_count{class=\"asset\"}", 4.0),
        ("embedgate_rules_generation", 1.0),
        ("embedgate_rules_widgets{access=\"enforce\",environment=\"production\"}", 1.0),
        ("embedgate_rules_unrestricted{environment=\"production\"}", 0.0),
        ("embedgate_rules_apply_duration_seconds_count{source=\"file\"}", 1.0),
        ("embedgate_rules_source_connected", 1.0),
        ("embedgate_rules_source_lag_seconds", 0.0),
        (concat!("embedgate_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"}"), 1.0),
    ] {
        assert_eq!(samples.get(series), Some(&value), "{series}: {samples:#?}");
    }
    let failures = |series: &&String| {
        series.starts_with("embedgate_upstream_errors_total{kind=") && series.ends_with(",upstream=\"app\"}")
    };
    assert_eq!(samples.keys().filter(failures).map(|series| samples[series]).collect::<Vec<_>>(), [1.0]);
    let buckets: Vec<f64> = samples
        .iter()
        .filter(|(series, _)| series.starts_with("embedgate_decision_duration_seconds_bucket"))
        .map(|(_, value)| *value)
        .collect();
    assert!(
        buckets.len() > 10
            && samples.contains_key("embedgate_decision_duration_seconds_bucket{le=\"0.00000005\"}")
    );
}

#[tokio::test]
async fn visitors_can_not_grow_the_metrics() {
    let edge = Edge::start(EdgeSpec::default()).await;
    let client = Client::new();
    let visit = async |number: usize| {
        for path in
            [format!("/w/id_{number}/loader.js"), format!("/path/{number}"), format!("/w/wgt_new/a{number}")]
        {
            let origin = format!("https://visitor-{number}.example");
            client.get(edge.url(&path)).header("origin", origin).send().await.unwrap();
        }
    };
    visit(0).await;
    let before: Vec<String> = scrape(&edge).await.into_keys().collect();
    for number in 1..20 {
        visit(number).await;
    }
    eventually("all are counted", async || {
        edge.metric("embedgate_requests_total{class=\"none\",status=\"404\"}").await >= 40.0
    })
    .await;
    assert_eq!(scrape(&edge).await.into_keys().collect::<Vec<_>>(), before);
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
    let answer = edge.admin("/").await;
    assert_eq!(answer.status(), 200);
    let page = answer.text().await.unwrap();
    for place in [format!("http://site.localhost:{port}/"), "/v1/openapi.json".to_owned()] {
        assert!(page.contains(&place), "{place}: {page}");
    }
    let request = format!("GET / HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n");
    let answer = raw::send(edge.http, request.as_bytes()).await;
    assert_eq!((answer.status, answer.field("content-type")), (200, "text/html; charset=utf-8"));
    for name in ["site", "stranger"] {
        assert!(answer.body.contains(&format!("href=\"//{name}.localhost:{port}/\"")), "{answer:?}");
    }
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
