//! Allowed and denied, over a real socket: what each asker gets, and that a denied and an unknown widget can't be
//! told apart.

use reqwest::header::HeaderMap;
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::support::edge::{Edge, EdgeSpec};
use crate::support::upstream::Upstream;
use crate::support::{eventually, raw};

const LISTED: &str = "https://example.com";
const STRANGER: &str = "https://stranger.example";

async fn ask(edge: &Edge, path: &str, fields: &[(&str, &str)]) -> (u16, HeaderMap, String) {
    let mut request = Client::new().get(edge.url(path));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.headers().clone(), answer.text().await.unwrap())
}

#[tokio::test]
async fn a_listed_origin_gets_the_loader() {
    let edge = Edge::start(EdgeSpec::default()).await;
    let (status, fields, body) = ask(&edge, "/w/wgt_demo/loader.js", &[("origin", LISTED)]).await;
    assert_eq!(status, 200);
    assert!(body.contains("The widget's loader"));
    for (name, value) in [
        ("content-type", "text/javascript; charset=utf-8"),
        ("access-control-allow-origin", LISTED),
        ("cache-control", "private, no-cache"),
        ("cross-origin-resource-policy", "cross-origin"),
        ("referrer-policy", "strict-origin-when-cross-origin"),
        ("x-content-type-options", "nosniff"),
        ("vary", "Origin, Referer, Sec-Fetch-Dest"),
    ] {
        assert_eq!(fields[name], value, "{name}");
    }
    for name in ["server", "access-control-allow-credentials", "strict-transport-security"] {
        assert!(!fields.contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn each_asker_is_denied_in_a_shape_it_can_show() {
    let edge = Edge::start(EdgeSpec::default()).await;
    let path = "/w/wgt_demo/loader.js";
    let asked_for = |dest| vec![("origin", STRANGER), ("sec-fetch-dest", dest)];

    let (status, fields, body) = ask(&edge, path, &[("origin", STRANGER)]).await;
    assert_eq!((status, &fields["content-type"]), (403, &"application/problem+json".parse().unwrap()));
    let problem: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(problem["status"], 403);
    assert_eq!(problem["decision_id"].as_str().unwrap().len(), 36);
    assert!(problem["detail"].as_str().unwrap().contains(STRANGER));

    let (status, fields, body) = ask(&edge, path, &asked_for("script")).await;
    assert_eq!((status, &fields["content-type"]), (200, &"text/javascript; charset=utf-8".parse().unwrap()));
    assert!(
        body.starts_with("console.error(\"") && body.contains(STRANGER) && body.ends_with("\");\n"),
        "{body}"
    );

    for dest in ["iframe", "frame", "document"] {
        let (status, fields, body) = ask(&edge, "/w/wgt_demo/frame", &asked_for(dest)).await;
        assert_eq!(
            (status, &fields["content-type"]),
            (403, &"text/html; charset=utf-8".parse().unwrap()),
            "{dest}"
        );
        assert!(body.starts_with("<!doctype html>") && body.contains(STRANGER), "{body}");
        assert_eq!(fields["cross-origin-embedder-policy"], "require-corp");
        let policy = fields["content-security-policy"].to_str().unwrap();
        assert!(!policy.contains("frame-ancestors"), "the page must be seen inside the frame");
    }

    for dest in ["script", "iframe", "empty"] {
        let (_, fields, _) = ask(&edge, path, &asked_for(dest)).await;
        for (name, value) in [
            ("cache-control", "no-store"),
            ("access-control-allow-origin", STRANGER),
            ("cross-origin-resource-policy", "cross-origin"),
            ("vary", "Origin, Referer, Sec-Fetch-Dest"),
        ] {
            assert_eq!(fields[name], value, "{dest} {name}");
        }
        assert!(!fields.contains_key("access-control-allow-credentials"), "{dest}");
    }
}

/// An answer with its ids and dates made alike.
fn anonymous(answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer);
    let id = text.find("decision_id\":\"").map(|at| at + 14).or_else(|| {
        let word = ["(decision ", "Decision "].into_iter().find(|word| text.contains(word))?;
        text.find(word).map(|at| at + word.len())
    });
    let text = match id {
        Some(at) => text.replace(&text[at..at + 36], "ID"),
        None => text.into_owned(),
    };
    text.split("\r\n").filter(|line| !line.starts_with("Date:")).collect::<Vec<_>>().join("\r\n")
}

#[tokio::test]
async fn a_denied_and_an_unknown_widget_look_alike() {
    let upstream = Upstream::start("app").await;
    let widgets = json!([
        { "id": "listed_one", "allowed_domains": ["example.com"] },
        { "id": "locked_one", "access": "enforce" },
        { "id": "disabled_1", "enabled": false, "allowed_domains": ["stranger.example"] },
        { "id": "expiring_1", "allowed_domains": [
            { "pattern": "stranger.example", "expires_at": "2020-01-01T00:00:00Z" },
            "stranger.example:8443", "http://stranger.example"] },
        { "id": "private__1", "public_trust_center": false, "allowed_domains": ["example.com"] },
    ]);
    let edge = Edge::start(EdgeSpec::on(upstream.addr, &widgets)).await;
    let known = ["listed_one", "locked_one", "disabled_1", "expiring_1"];
    for (path, fields) in [
        ("loader.js", format!("Origin: {STRANGER}\r\n")),
        ("loader.js", format!("Origin: {STRANGER}\r\nSec-Fetch-Dest: script\r\n")),
        ("frame", format!("Referer: {STRANGER}/page?secret\r\nSec-Fetch-Dest: iframe\r\n")),
        ("session", format!("Origin: {STRANGER}\r\n")),
        ("session", "Origin: null\r\n".to_owned()),
        ("session", "Origin: https://UPPER.example\r\n".to_owned()),
        ("session", String::new()),
        (
            "session",
            format!(
                "Origin: {STRANGER}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            ),
        ),
    ] {
        let answer = async |widget: &str| {
            let request = format!("GET /w/{widget}/{path} HTTP/1.1\r\nHost: {}\r\n{fields}\r\n", edge.http);
            anonymous(&raw::exchange(edge.http, request.as_bytes()).await)
        };
        let unknown = answer("unknown__1").await;
        assert!(unknown.starts_with("HTTP/1.1 403") || unknown.starts_with("HTTP/1.1 200 OK"), "{unknown}");
        for widget in known {
            assert_eq!(answer(widget).await, unknown, "{widget} {path} {fields}");
        }
        assert_eq!(answer("no%20such.id").await, unknown, "an id outside the grammar");
    }
    let trust = async |widget: &str| {
        let request = format!("GET /w/{widget}/trust HTTP/1.1\r\nHost: {}\r\n\r\n", edge.http);
        anonymous(&raw::exchange(edge.http, request.as_bytes()).await)
    };
    let unknown = trust("unknown__1").await;
    assert!(unknown.starts_with("HTTP/1.1 404"), "{unknown}");
    assert_eq!(trust("private__1").await, unknown);
    assert_eq!(upstream.requests(), 0, "nothing denied reaches the upstream");
}

#[tokio::test]
async fn malformed_values_are_never_repeated() {
    let edge = Edge::start(EdgeSpec::default()).await;
    let request = format!(
        "GET /w/wgt_demo/loader.js HTTP/1.1\r\nHost: {}\r\nOrigin: https://a.example, https://b.example\r\n\r\n",
        edge.http
    );
    let answer = raw::send(edge.http, request.as_bytes()).await;
    assert_eq!(answer.status, 403);
    assert_eq!(answer.field("access-control-allow-origin"), "");
    assert!(!format!("{answer:?}").contains("a.example"), "{answer:?}");
    let null = ask(&edge, "/w/wgt_demo/loader.js", &[("origin", "null")]).await;
    assert_eq!((null.0, &null.1["access-control-allow-origin"]), (403, &"null".parse().unwrap()));
}

#[tokio::test]
async fn two_origin_lines_are_malformed() {
    let edge = Edge::start(EdgeSpec::default()).await;
    let request = format!(
        "GET /w/wgt_demo/loader.js HTTP/1.1\r\nHost: {}\r\nOrigin: {LISTED}\r\nOrigin: {LISTED}\r\n\r\n",
        edge.http
    );
    assert_eq!(raw::send(edge.http, request.as_bytes()).await.status, 403);
    eventually("the decision is logged", async || !edge.decisions().is_empty()).await;
    assert_eq!(edge.decisions()[0]["reason"], "malformed_origin");
}

#[tokio::test]
async fn preflights_are_answered_at_the_edge() {
    let upstream = Upstream::start("app").await;
    let widgets = json!([{ "id": "w", "allowed_domains": ["example.com"] }]);
    let mut spec = EdgeSpec::on(upstream.addr, &widgets);
    spec.routes = Some(
        "[[routes]]\npath = \"/w/{widget}/session\"\nclass = \"session\"\nupstream = \"app\"\ncredentials = true\n"
            .to_owned(),
    );
    let edge = Edge::start(spec).await;
    let preflight = async |origin: &str| {
        Client::new()
            .request(Method::OPTIONS, edge.url("/w/w/session"))
            .header("origin", origin)
            .header("access-control-request-method", "PUT")
            .header("access-control-request-headers", "x-one, x-two")
            .send()
            .await
            .unwrap()
    };
    let allowed = preflight(LISTED).await;
    assert_eq!(allowed.status(), 204);
    for (name, value) in [
        ("access-control-allow-origin", LISTED),
        ("access-control-allow-methods", "PUT"),
        ("access-control-allow-headers", "x-one, x-two"),
        ("access-control-allow-credentials", "true"),
        ("access-control-max-age", "60"),
    ] {
        assert_eq!(allowed.headers()[name], value, "{name}");
    }
    let denied = preflight(STRANGER).await;
    assert_eq!(denied.status(), 204, "so that the page can read the denial itself");
    assert_eq!(denied.headers()["access-control-allow-origin"], STRANGER);
    assert_eq!(denied.headers()["access-control-max-age"], "0");
    assert!(!denied.headers().contains_key("access-control-allow-credentials"));
    assert_eq!(upstream.requests(), 0);
    let plain = Client::new().request(Method::OPTIONS, edge.url("/w/w/session")).header("origin", LISTED);
    assert_eq!(plain.send().await.unwrap().json::<Value>().await.unwrap()["method"], "OPTIONS");
}

#[tokio::test]
async fn the_decision_log_names_origins_only() {
    let upstream = Upstream::start("app").await;
    let widgets = json!([{ "id": "w", "allowed_domains": ["example.com", "example.com:8443"] }]);
    let edge = Edge::start(EdgeSpec::on(upstream.addr, &widgets)).await;
    let (status, ..) =
        ask(&edge, "/w/w/frame?ticket=hidden", &[("referer", "https://example.com/private?secret=x")]).await;
    assert_eq!(status, 200);
    let (.., body) = ask(&edge, "/w/w/session", &[("origin", "http://example.com")]).await;
    eventually("both decisions are logged", async || edge.decisions().len() == 2).await;
    let text = std::fs::read_to_string(edge.folder().join("out.log")).unwrap();
    for secret in ["private", "secret", "hidden"] {
        assert!(!text.contains(secret) && !edge.log().contains(secret), "{secret}");
    }
    let [allowed, denied] = &edge.decisions()[..] else { panic!("{text}") };
    assert_eq!(allowed["reason"], "exact");
    assert_eq!(allowed["entry"], "example.com");
    assert_eq!(allowed["embedder"], "https://example.com");
    assert_eq!((&denied["verdict"], &denied["reason"]), (&json!("deny"), &json!("insecure_scheme")));
    assert_eq!(denied["near_miss"], "example.com");
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["decision_id"], denied["decision_id"]);
    assert_eq!(
        edge.metric(
            "embedgate_decisions_total{class=\"session\",reason=\"insecure_scheme\",verdict=\"deny\"}"
        )
        .await,
        1.0
    );
}

#[tokio::test]
async fn monitor_lets_through_and_says_so() {
    let upstream = Upstream::start("app").await;
    let widgets = json!([{ "id": "w", "access": "monitor", "allowed_domains": ["example.com"] }]);
    let edge = Edge::start(EdgeSpec::on(upstream.addr, &widgets)).await;
    let (status, fields, body) = ask(&edge, "/w/w/session", &[("origin", STRANGER)]).await;
    assert_eq!((status, &fields["access-control-allow-origin"]), (200, &STRANGER.parse().unwrap()));
    let told: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(crate::support::upstream::got(&told, "x-embedder-origin"), None, "nobody vouches for it");
    eventually("the decision is logged", async || !edge.decisions().is_empty()).await;
    let decision = &edge.decisions()[0];
    assert_eq!((&decision["verdict"], &decision["would_deny"]), (&json!("allow"), &json!("not_listed")));
    let (status, ..) = ask(&edge, "/w/w/session", &[("origin", "https://a.example/")]).await;
    assert_eq!(status, 403, "never what is malformed");
}
