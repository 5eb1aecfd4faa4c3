//! What an upstream is told.

use serde_json::json;
use tokio::sync::mpsc;

use super::{LISTED, STRANGER, one_widget, told};
use crate::support::edge::{Edge, EdgeSpec};
use crate::support::raw::{Answer, Connection};
use crate::support::upstream::{Scripted, Upstream, got};
use crate::support::{eventually, raw};

#[tokio::test]
async fn what_the_upstream_believes_only_the_edge_can_say() {
    let upstream = Upstream::start("app").await;
    let edge = Edge::start(EdgeSpec::on(upstream.addr, &one_widget())).await;
    let claims = [
        ("Origin", LISTED),
        ("X-Widget-Id", "claimed"),
        ("X_Widget_Id", "claimed"),
        ("x-widget_id", "claimed"),
        ("X-Widget-Environment", "claimed"),
        ("X-Widget-Anything", "claimed"),
        ("X-Embedder-Origin", "https://claimed.example"),
        ("X_EMBEDDER_ORIGIN", "https://claimed.example"),
        ("X-Decision-Id", "claimed"),
        ("X-Decision_Id", "claimed"),
    ];
    let told = told(&raw::get(edge.http, "/w/w/session", &claims).await);
    assert!(!told.to_string().contains("claimed"), "{told}");
    let count = |prefix: &str| {
        let fields = told["fields"].as_array().unwrap().iter();
        fields.filter(|field| field[0].as_str().unwrap().replace('_', "-").starts_with(prefix)).count()
    };
    assert_eq!((count("x-widget-"), count("x-embedder-"), count("x-decision-")), (2, 1, 1), "{told}");
    assert_eq!(got(&told, "x-widget-id"), Some("w"));
    assert_eq!(got(&told, "x-widget-environment"), Some("production"));
    assert_eq!(got(&told, "x-embedder-origin"), Some(LISTED));
    eventually("the decision is logged", async || !edge.decisions().is_empty()).await;
    assert_eq!(got(&told, "x-decision-id"), edge.decisions()[0]["decision_id"].as_str());
}

#[tokio::test]
async fn an_embedder_is_told_where_somebody_vouches_for_it() {
    let upstream = Upstream::start("app").await;
    let widgets = json!([
        { "id": "listed", "allowed_domains": ["example.com", "*.example.org", "pr-*.preview.example"] },
        { "id": "open", "access": "open" },
        { "id": "locked", "access": "enforce" },
    ]);
    let mut spec = EdgeSpec::on(upstream.addr, &widgets);
    spec.more.push_str("[policy]\nsystem_origins = [\"https://console.vendor.example\"]\n");
    spec.public_origins = Some("[\"https://widgets.vendor.example\"]".to_owned());
    let edge = Edge::start(spec).await;
    for (path, name, value, expected) in [
        ("/w/listed/session", "Origin", LISTED, Some(LISTED)),
        ("/w/listed/frame", "Referer", "https://example.com/deep/page?q=1", Some(LISTED)),
        ("/w/listed/session", "Origin", "https://a.example.org", Some("https://a.example.org")),
        ("/w/listed/session", "Origin", "https://pr-7.preview.example", Some("https://pr-7.preview.example")),
        (
            "/w/locked/session",
            "Origin",
            "https://console.vendor.example",
            Some("https://console.vendor.example"),
        ),
        ("/w/listed/frame", "Referer", "https://widgets.vendor.example/w/listed/frame", None),
        ("/w/listed/loader.js", "Accept", "*/*", None),
        ("/w/open/session", "Origin", STRANGER, None),
        ("/w/listed/trust", "Origin", LISTED, None),
    ] {
        let told = told(&raw::get(edge.http, path, &[(name, value), ("X-Embedder-Origin", STRANGER)]).await);
        assert_eq!(got(&told, "x-embedder-origin"), expected, "{path} {value}");
    }
}

#[tokio::test]
async fn strangers_are_not_believed_about_the_client() {
    let upstream = Upstream::start("app").await;
    let edge = Edge::start(EdgeSpec::on(upstream.addr, &one_widget())).await;
    let claims = [
        ("Origin", LISTED),
        ("X-Forwarded-For", "192.0.2.66"),
        ("X_Forwarded_For", "192.0.2.66"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "claimed.example"),
        ("X-Forwarded-Port", "66"),
        ("X-Real-IP", "192.0.2.66"),
        ("Forwarded", "for=192.0.2.66"),
    ];
    let answer = raw::get(edge.http, "/w/w/session", &claims).await;
    assert_eq!(answer.field("strict-transport-security"), "");
    let told = told(&answer);
    assert_eq!(got(&told, "x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(got(&told, "x-forwarded-proto"), Some("http"));
    assert_eq!(got(&told, "x-forwarded-host"), Some(edge.http.to_string().as_str()));
    for gone in ["x_forwarded_for", "x-forwarded-port", "x-real-ip", "forwarded"] {
        assert_eq!(got(&told, gone), None, "{gone}");
    }
}

#[tokio::test]
async fn trusted_proxies_are_believed_and_added_to() {
    let upstream = Upstream::start("app").await;
    let mut spec = EdgeSpec::on(upstream.addr, &one_widget());
    spec.edge = "trusted_proxies = [\"127.0.0.0/8\"]".to_owned();
    let edge = Edge::start(spec).await;
    let said = [
        ("Origin", LISTED),
        ("X-Forwarded-For", "192.0.2.1"),
        ("X-Forwarded-For", "198.51.100.2"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "chat.vendor.example"),
    ];
    let answer = raw::get(edge.http, "/w/w/session", &said).await;
    assert!(answer.field("strict-transport-security").starts_with("max-age="), "{answer:?}");
    let told_all = told(&answer);
    assert_eq!(got(&told_all, "x-forwarded-for"), Some("192.0.2.1, 198.51.100.2, 127.0.0.1"));
    assert_eq!(got(&told_all, "x-forwarded-proto"), Some("https"));
    assert_eq!(got(&told_all, "x-forwarded-host"), Some("chat.vendor.example"));
    let told_little = told(&raw::get(edge.http, "/w/w/session", &[("Origin", LISTED)]).await);
    assert_eq!(got(&told_little, "x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(got(&told_little, "x-forwarded-proto"), Some("http"));
    for (path, origin) in [("/w/w/session", STRANGER), ("/nowhere", LISTED)] {
        let refused = raw::get(edge.http, path, &[("Origin", origin), ("X-Forwarded-Proto", "https")]).await;
        assert!(refused.field("strict-transport-security").starts_with("max-age="), "{path}: {refused:?}");
    }
}

#[tokio::test]
async fn what_is_between_two_hops_stays_there() {
    let upstream = Scripted::start(|mut connection, _| async move {
        while let Some((head, _)) = connection.request().await {
            let answer = format!(
                "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=1\r\n\
                 Proxy-Connection: keep-alive\r\nUpgrade: h2c\r\nX-Kept: 1\r\nContent-Length: {}\r\n\r\n{head}",
                head.len()
            );
            connection.send(answer).await;
        }
    })
    .await;
    let edge = Edge::start(EdgeSpec::on(upstream.addr, &one_widget())).await;
    let claims = [
        ("Origin", LISTED),
        ("Connection", "keep-alive, X-Hop"),
        ("X-Hop", "between"),
        ("Keep-Alive", "between"),
        ("Proxy-Connection", "between"),
        ("Proxy-Authorization", "between"),
        ("TE", "between"),
        ("Trailer", "between"),
        ("X-Kept", "through"),
    ];
    let answer = raw::get(edge.http, "/w/w/session", &claims).await;
    assert_eq!(answer.status, 200);
    assert!(answer.body.to_lowercase().contains("x-kept: through"), "{}", answer.body);
    assert!(!answer.body.contains("between"), "{}", answer.body);
    assert_eq!((answer.field("x-kept"), answer.field("connection")), ("1", "keep-alive"));
    for gone in ["x-hop", "keep-alive", "proxy-connection", "upgrade"] {
        assert_eq!(answer.field(gone), "", "{gone}");
    }
}

#[tokio::test]
async fn each_environment_has_its_own_upstream() {
    let (production, staging) = (Upstream::start("production").await, Upstream::start("staging").await);
    let widgets = json!([
        { "id": "p", "allowed_domains": ["example.com"] },
        { "id": "s", "environment": "staging", "allowed_domains": ["example.com"] },
    ]);
    let mut spec = EdgeSpec::on(production.addr, &widgets);
    spec.more.push_str(&format!("[upstreams.next]\nservers = [\"{}\"]\n", staging.addr));
    spec.routes = Some(
        "[[routes]]\npath = \"/w/{widget}/session\"\nclass = \"session\"\n\
         upstream = { production = \"app\", staging = \"next\" }\n"
            .to_owned(),
    );
    let edge = Edge::start(spec).await;
    for (widget, environment) in [("p", "production"), ("s", "staging")] {
        let path = format!("/w/{widget}/session");
        let told = told(&raw::get(edge.http, &path, &[("Origin", LISTED)]).await);
        assert_eq!(told["name"], environment);
        assert_eq!(got(&told, "x-widget-environment"), Some(environment));
    }
}

#[tokio::test]
async fn method_target_and_body_arrive_as_sent() {
    let upstream = Upstream::start("app").await;
    let edge = Edge::start(EdgeSpec::on(upstream.addr, &one_widget())).await;
    let mut connection = Connection::open(edge.http).await;
    let target = "/w/w/session/a%20b/c;d=e?x=1&y=%2F..%2f&z=/../&&=";
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"] {
        let body = if method == "GET" { "" } else { "The body\0\r\n\r\nof it" };
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: {}\r\nOrigin: {LISTED}\r\nContent-Length: {}\r\n\
             Content-Type: text/x-test\r\n\r\n{body}",
            edge.http,
            body.len()
        );
        let told = told(&connection.ask(request).await);
        assert_eq!(
            (&told["method"], &told["target"], &told["body"]),
            (&json!(method), &json!(target), &json!(body))
        );
        assert_eq!(got(&told, "content-type"), Some("text/x-test"));
        assert_eq!(got(&told, "host"), Some(edge.http.to_string().as_str()));
    }
    let chunked = format!(
        "POST {target} HTTP/1.1\r\nHost: {}\r\nOrigin: {LISTED}\r\nTransfer-Encoding: chunked\r\n\r\n\
         5;name=\"value\"\r\nfirst\r\n7\r\n second\r\n0\r\nX-Trailer: dropped\r\n\r\n",
        edge.http
    );
    let told_chunks = told(&connection.ask(chunked).await);
    assert_eq!(told_chunks["body"], "first second");
    assert_eq!(got(&told_chunks, "x-trailer"), None);
    let absolute =
        format!("GET http://{0}{target} HTTP/1.1\r\nHost: {0}\r\nOrigin: {LISTED}\r\n\r\n", edge.http);
    assert_eq!(told(&connection.ask(absolute).await)["target"], target, "an origin server gets the path");
}

#[tokio::test]
async fn large_bodies_stream_both_ways() {
    const CHUNK: usize = 1 << 20;
    const BEGINNING: usize = 16 * 1024;
    let (seen, mut first_bytes) = mpsc::unbounded_channel();
    let upstream = Scripted::start(move |mut connection, _| {
        let seen = seen.clone();
        async move {
            connection.until("first").await.unwrap();
            seen.send(()).unwrap();
            connection.until("last").await.unwrap();
            connection.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 8 * CHUNK)).await;
            for n in 0..8u8 {
                connection.send(vec![b'0' + n; CHUNK]).await;
            }
        }
    })
    .await;
    let edge = Edge::start(EdgeSpec::on(upstream.addr, &one_widget())).await;
    let mut connection = Connection::open(edge.http).await;
    connection
        .send(format!(
            "POST /w/w/session HTTP/1.1\r\nHost: {}\r\nOrigin: {LISTED}\r\nContent-Length: {}\r\n\r\nfirst{}",
            edge.http,
            8 * CHUNK + 9,
            // Less of a body takes no connection to a server.
            "x".repeat(BEGINNING)
        ))
        .await;
    first_bytes.recv().await.expect("the upstream reads before the body is whole");
    connection.send(vec![b'x'; 8 * CHUNK - BEGINNING]).await;
    let answer = connection.ask("last").await;
    assert_eq!((answer.status, answer.body.len()), (200, 8 * CHUNK));
    assert!((0..8u8).all(|n| answer.body.as_bytes()[usize::from(n) * CHUNK] == b'0' + n));
}

#[tokio::test]
async fn a_client_that_waits_for_leave_to_send_gets_it() {
    let upstream = Upstream::start("app").await;
    let edge = Edge::start(EdgeSpec::on(upstream.addr, &one_widget())).await;
    let mut connection = Connection::open(edge.http).await;
    connection
        .send(format!(
            "POST /w/w/session HTTP/1.1\r\nHost: {}\r\nOrigin: {LISTED}\r\nContent-Length: 4\r\n\
             Expect: 100-continue\r\n\r\n",
            edge.http
        ))
        .await;
    assert_eq!(connection.head().await.status, 100);
    assert_eq!(told(&connection.ask("body").await)["body"], "body");
    let refused = raw::request(
        "POST",
        edge.http,
        "/w/w/session",
        &[("Origin", STRANGER), ("Content-Length", "4"), ("Expect", "100-continue")],
    );
    let mut connection = Connection::open(edge.http).await;
    assert_eq!(connection.ask(refused).await.status, 403, "without asking for the body first");
    assert!(connection.is_closed().await, "whether the body still comes is not known");
}

#[tokio::test]
async fn head_is_get_without_its_body() {
    let upstream = Upstream::start("app").await;
    let edge = Edge::start(EdgeSpec::on(upstream.addr, &one_widget())).await;
    let mut connection = Connection::open(edge.http).await;
    for origin in [LISTED, STRANGER] {
        for dest in ["empty", "script", "iframe"] {
            let fields = [("Origin", origin), ("Sec-Fetch-Dest", dest)];
            let get = connection.ask(raw::request("GET", edge.http, "/w/w/assets/a.css", &fields)).await;
            connection.send(raw::request("HEAD", edge.http, "/w/w/assets/a.css", &fields)).await;
            let head = connection.head().await;
            assert_eq!(head.status, get.status, "{origin} {dest}");
            let names = |answer: &Answer| answer.fields.keys().cloned().collect::<Vec<_>>();
            assert_eq!(names(&head), names(&get), "{origin} {dest}");
        }
    }
}
