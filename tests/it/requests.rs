//! What an upstream is told of an allowed request, and what the browser is told of the upstream's answer.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::support::certificates::Authority;
use crate::support::edge::{Edge, EdgeSpec, usual_routes};
use crate::support::raw::{self, Answer, Connection};
use crate::support::upstream::{Scripted, Upstream, got};
use crate::support::{eventually, ports};

const LISTED: &str = "https://example.com";
const STRANGER: &str = "https://stranger.example";

/// One widget that lists `example.com`.
fn one_widget() -> Value {
    json!([{ "id": "w", "allowed_domains": ["example.com"] }])
}

/// A route for `/w/{widget}/NAME` on the upstream `app`, with these keys more.
fn route(name: &str, class: &str, more: &str) -> String {
    format!("[[routes]]\npath = \"/w/{{widget}}/{name}\"\nclass = \"{class}\"\nupstream = \"app\"\n{more}\n")
}

/// What the upstream says it got.
fn told(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_str(&answer.body).unwrap()
}

/// The fields of an answer beside those that every answer has.
fn told_apart(mut answer: Answer) -> Vec<(String, String)> {
    for name in ["date", "connection", "content-length", "content-type"] {
        answer.fields.remove(name);
    }
    answer.fields.into_iter().collect()
}

fn fields(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut fields: Vec<_> =
        expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    fields.sort();
    fields
}

// ---- toward the upstream -------------------------------------------------------------------------------------------

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
        ("/w/locked/session", "Origin", "https://console.vendor.example", Some("https://console.vendor.example")),
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
        assert_eq!((&told["method"], &told["target"], &told["body"]), (&json!(method), &json!(target), &json!(body)));
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
    let absolute = format!("GET http://{0}{target} HTTP/1.1\r\nHost: {0}\r\nOrigin: {LISTED}\r\n\r\n", edge.http);
    assert_eq!(told(&connection.ask(absolute).await)["target"], target, "an origin server gets the path");
}

#[tokio::test]
async fn large_bodies_stream_both_ways() {
    const CHUNK: usize = 1 << 20;
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
            "POST /w/w/session HTTP/1.1\r\nHost: {}\r\nOrigin: {LISTED}\r\nContent-Length: {}\r\n\r\nfirst",
            edge.http,
            8 * CHUNK + 9
        ))
        .await;
    first_bytes.recv().await.expect("the upstream reads before the body is whole");
    for _ in 0..8 {
        connection.send(vec![b'x'; CHUNK]).await;
    }
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
    let refused = raw::request("POST", edge.http, "/w/w/session", &[
        ("Origin", STRANGER),
        ("Content-Length", "4"),
        ("Expect", "100-continue"),
    ]);
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

// ---- toward the browser --------------------------------------------------------------------------------------------

/// Everything that an upstream could say and should not.
const BOASTFUL: [(&str, &str); 12] = [
    ("server", "boast/1.0"),
    ("x-powered-by", "boast"),
    ("access-control-allow-origin", "*"),
    ("access-control-allow-credentials", "true"),
    ("access-control-expose-headers", "x-boast"),
    ("server-timing", "db;dur=5, embed-ticket;desc=\"forged\""),
    ("x-frame-options", "SAMEORIGIN"),
    ("timing-allow-origin", "*"),
    ("referrer-policy", "unsafe-url"),
    ("cross-origin-resource-policy", "same-site"),
    ("x-content-type-options", "boast"),
    ("cdn-cache-control", "max-age=600"),
];

const DEVICES: &str = "camera=(), geolocation=(), payment=(), usb=(), display-capture=(), ";

#[tokio::test]
async fn each_class_has_its_headers_and_no_others() {
    let upstream = Upstream::with_fields("app", &BOASTFUL).await;
    let edge = Edge::start(EdgeSpec::on(upstream.addr, &one_widget())).await;
    let get = async |path| told_apart(raw::get(edge.http, path, &[("Origin", LISTED)]).await);
    let everywhere = [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "strict-origin-when-cross-origin"),
        ("vary", "Origin, Referer, Sec-Fetch-Dest"),
        ("server-timing", "db;dur=5"),
    ];
    let silent = format!("{DEVICES}microphone=()");
    let with = |more: &[(&str, &str)]| fields(&[&everywhere[..], more].concat());
    assert_eq!(
        get("/w/w/assets/a.css").await,
        with(&[
            ("access-control-allow-origin", LISTED),
            ("cross-origin-resource-policy", "cross-origin"),
            ("cache-control", "private"),
            ("x-frame-options", "SAMEORIGIN"),
            ("timing-allow-origin", "*"),
        ])
    );
    assert_eq!(
        get("/w/w/frame").await,
        with(&[
            ("cross-origin-resource-policy", "cross-origin"),
            ("cache-control", "private, no-cache"),
            ("content-security-policy", "frame-ancestors 'self' https://example.com"),
            ("permissions-policy", &silent),
        ])
    );
    assert_eq!(
        get("/w/w/session").await,
        with(&[
            ("access-control-allow-origin", LISTED),
            ("cross-origin-resource-policy", "cross-origin"),
            ("cache-control", "no-store"),
            ("x-frame-options", "SAMEORIGIN"),
            ("timing-allow-origin", "*"),
        ])
    );
    assert_eq!(
        get("/w/w/trust").await,
        with(&[
            ("cross-origin-resource-policy", "same-origin"),
            ("cdn-cache-control", "max-age=600"),
            ("content-security-policy", "frame-ancestors 'none'"),
            ("permissions-policy", &silent),
            ("x-frame-options", "DENY"),
            ("timing-allow-origin", "*"),
        ])
    );
}

#[tokio::test]
async fn only_a_widget_with_a_voice_gets_the_microphone() {
    let upstream = Upstream::start("app").await;
    let widgets = json!([{ "id": "v", "allowed_domains": ["example.com"], "capabilities": ["chat", "voice"] }]);
    let edge = Edge::start(EdgeSpec::on(upstream.addr, &widgets)).await;
    let get = async |path| raw::get(edge.http, path, &[("Referer", LISTED)]).await;
    let frame = get("/w/v/frame").await;
    assert_eq!(frame.field("permissions-policy"), format!("{DEVICES}microphone=(self), autoplay=(self)"));
    assert_eq!(get("/w/v/trust").await.field("permissions-policy"), format!("{DEVICES}microphone=()"));
    assert_eq!(get("/w/v/loader.js").await.field("permissions-policy"), "");
}

#[tokio::test]
async fn shared_caches_are_kept_out_unless_the_route_lets_them_in() {
    let upstream =
        Upstream::with_fields("app", &[("cache-control", "public, max-age=60, s-maxage=600, immutable")]).await;
    let mut spec = EdgeSpec::on(upstream.addr, &one_widget());
    spec.routes = Some([usual_routes("app"), route("shared/{*rest}", "asset", "shared_cache = true")].concat());
    let edge = Edge::start(spec).await;
    let everyone = "public, max-age=60, s-maxage=600, immutable";
    for (path, expected) in [
        ("loader.js", "private, no-cache"),
        ("assets/a.css", "private, max-age=60, immutable"),
        ("shared/a.css", everyone),
        ("frame", "private, no-cache"),
        ("session", everyone),
        ("trust", everyone),
    ] {
        let answer = raw::get(edge.http, &format!("/w/w/{path}"), &[("Origin", LISTED)]).await;
        assert_eq!(answer.field("cache-control"), expected, "{path}");
    }
}

#[tokio::test]
async fn a_route_overrides_header_by_header() {
    let upstream = Upstream::with_fields("app", &[("x-version", "1"), ("x-robots-tag", "all")]).await;
    let mut spec = EdgeSpec::on(upstream.addr, &one_widget());
    spec.edge = "trusted_proxies = [\"127.0.0.1/32\"]".to_owned();
    let headers = "headers = { \"Referrer-Policy\" = \"same-origin\", \"Permissions-Policy\" = \"\", \
                   \"Strict-Transport-Security\" = \"max-age=60\", \"X-Version\" = \"\", \"X-Robots-Tag\" = \"none\", \
                   \"X-New\" = \"added\" }";
    let plain = "headers = { \"Strict-Transport-Security\" = \"\", \"Cache-Control\" = \"max-age=5\" }";
    spec.routes = Some([route("frame", "frame", headers), route("plain", "asset", plain)].concat());
    let edge = Edge::start(spec).await;
    let get = async |path| {
        let fields = [("Referer", LISTED), ("X-Forwarded-Proto", "https")];
        told_apart(raw::get(edge.http, path, &fields).await)
    };
    assert_eq!(
        get("/w/w/frame").await,
        fields(&[
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "same-origin"),
            ("strict-transport-security", "max-age=60"),
            ("cross-origin-resource-policy", "cross-origin"),
            ("cache-control", "private, no-cache"),
            ("content-security-policy", "frame-ancestors 'self' https://example.com"),
            ("vary", "Origin, Referer, Sec-Fetch-Dest"),
            ("x-robots-tag", "none"),
            ("x-new", "added"),
        ])
    );
    let plain = get("/w/w/plain").await;
    assert!(plain.contains(&("cache-control".to_owned(), "max-age=5".to_owned())), "{plain:?}");
    assert!(!plain.iter().any(|(name, _)| name == "strict-transport-security"), "{plain:?}");
}

#[tokio::test]
async fn what_the_upstream_says_of_framing_and_caching_stays_beside() {
    let fields = [
        ("content-security-policy", "default-src 'self'; frame-ancestors *"),
        ("vary", "Accept-Encoding"),
        ("etag", "\"1\""),
    ];
    let upstream = Upstream::with_fields("app", &fields).await;
    let edge = Edge::start(EdgeSpec::on(upstream.addr, &one_widget())).await;
    for (path, own) in [
        ("frame", "default-src 'self'; frame-ancestors *\nframe-ancestors 'self' https://example.com"),
        ("trust", "default-src 'self'; frame-ancestors *\nframe-ancestors 'none'"),
        ("session", "default-src 'self'; frame-ancestors *"),
    ] {
        let answer = raw::get(edge.http, &format!("/w/w/{path}"), &[("Origin", LISTED)]).await;
        assert_eq!(answer.field("content-security-policy"), own, "{path}");
        assert_eq!(answer.field("vary"), "Accept-Encoding\nOrigin, Referer, Sec-Fetch-Dest", "{path}");
    }
}

#[tokio::test]
async fn a_frame_that_has_not_changed_keeps_its_policy() {
    let fields = [("x-test-status", "304"), ("etag", "\"1\""), ("x-frame-options", "DENY")];
    let upstream = Upstream::with_fields("app", &fields).await;
    let edge = Edge::start(EdgeSpec::on(upstream.addr, &one_widget())).await;
    let mut connection = Connection::open(edge.http).await;
    for _ in 0..2 {
        let fields = [("Referer", LISTED), ("If-None-Match", "\"1\"")];
        connection.send(raw::request("GET", edge.http, "/w/w/frame", &fields)).await;
        let answer = connection.head().await;
        assert_eq!((answer.status, answer.field("etag")), (304, "\"1\""));
        let policy = answer.field("content-security-policy");
        assert_eq!(policy, "frame-ancestors 'self' https://example.com");
        assert_eq!((answer.field("cache-control"), answer.field("x-frame-options")), ("private, no-cache", ""));
    }
}

/// A policy's source expressions, whose order means nothing.
fn sources(policy: &str) -> BTreeSet<&str> {
    policy.split(' ').collect()
}

#[tokio::test]
async fn the_browser_is_told_who_may_frame() {
    let upstream = Upstream::start("app").await;
    let widgets = json!([
        { "id": "list", "allowed_domains": ["example.com", "http://plain.example", ".both.example", "localhost",
            "app.example:8443", "any.example:*", "capacitor://localhost", "[2001:db8::1]", "192.0.2.1",
            { "pattern": "gone.example", "expires_at": "2020-01-01T00:00:00Z" }] },
        { "id": "odd", "allowed_domains": ["pr-*.preview.example", "a_b.example"] },
        { "id": "open", "access": "open", "allowed_domains": ["example.com"] },
        { "id": "unset" },
        { "id": "watched", "access": "monitor", "allowed_domains": ["example.com"] },
        { "id": "locked", "access": "enforce" },
        { "id": "long", "allowed_domains": (0..300).map(|n| format!("site-{n}.example.com")).collect::<Vec<_>>() },
    ]);
    let mut spec = EdgeSpec::on(upstream.addr, &widgets);
    spec.more.push_str("[policy]\nsystem_origins = [\"https://console.vendor.example\"]\n");
    let edge = Edge::start(spec).await;
    let own = format!("http://localhost:{}", edge.http.port());
    let base = "frame-ancestors 'self' https://console.vendor.example";
    let list = format!(
        "{base} https://example.com http://plain.example https://both.example https://*.both.example \
         http://localhost:* https://localhost:* https://app.example:8443 https://any.example:* \
         capacitor://localhost https://192.0.2.1"
    );
    for (widget, embedder, expected) in [
        ("list", Some(LISTED), list.as_str()),
        ("list", None, &list),
        ("list", Some(&own), &list),
        ("odd", None, base),
        ("odd", Some("https://pr-1.preview.example"), &format!("{base} https://pr-1.preview.example")),
        ("odd", Some("https://a_b.example"), &format!("{base} https://a_b.example")),
        ("open", Some(STRANGER), ""),
        ("unset", None, ""),
        ("watched", Some(STRANGER), ""),
        ("locked", None, "frame-ancestors 'none'"),
        ("locked", Some("https://console.vendor.example"), base),
        ("long", Some("https://site-7.example.com"), &format!("{base} https://site-7.example.com")),
        ("long", None, "frame-ancestors 'none'"),
    ] {
        let fields: Vec<(&str, &str)> = embedder.iter().map(|embedder| ("Referer", *embedder)).collect();
        let answer = raw::get(edge.http, &format!("/w/{widget}/frame"), &fields).await;
        assert_eq!(answer.status, 200, "{widget} {embedder:?}");
        let policy = answer.field("content-security-policy");
        assert_eq!(sources(policy), sources(expected), "{widget} {embedder:?}");
    }
}

#[tokio::test]
async fn public_pages_are_for_everyone_and_for_no_frame() {
    let upstream = Upstream::start("app").await;
    let widgets = json!([
        { "id": "locked", "access": "enforce" },
        { "id": "off", "enabled": false, "allowed_domains": ["example.com"] },
        { "id": "private", "public_trust_center": false },
    ]);
    let edge = Edge::start(EdgeSpec::on(upstream.addr, &widgets)).await;
    for widget in ["locked", "off"] {
        for origin in [STRANGER, "null", "https://MALFORMED.example"] {
            let answer = raw::get(edge.http, &format!("/w/{widget}/trust/a"), &[("Origin", origin)]).await;
            assert_eq!(answer.status, 200, "{widget} {origin}");
            assert_eq!(answer.field("content-security-policy"), "frame-ancestors 'none'");
            assert_eq!(answer.field("access-control-allow-origin"), "", "read by people, not by scripts");
        }
    }
    for widget in ["private", "nobody"] {
        assert_eq!(raw::get(edge.http, &format!("/w/{widget}/trust"), &[]).await.status, 404, "{widget}");
    }
}

#[tokio::test]
async fn cookies_cross_origins_only_for_the_list() {
    let upstream = Upstream::start("app").await;
    let widgets = json!([
        { "id": "list", "allowed_domains": ["example.com"] },
        { "id": "open", "access": "open" },
        { "id": "watched", "access": "monitor", "allowed_domains": ["example.com"] },
    ]);
    let mut spec = EdgeSpec::on(upstream.addr, &widgets);
    let routes = [
        route("session", "session", "credentials = true"),
        route("assets/{*rest}", "asset", "credentials = true"),
        route("plain", "session", ""),
    ];
    spec.routes = Some(routes.concat());
    let edge = Edge::start(spec).await;
    for (path, origin, status, expected) in [
        ("/w/list/session", LISTED, 200, "true"),
        ("/w/list/assets/a", LISTED, 200, "true"),
        ("/w/list/plain", LISTED, 200, ""),
        ("/w/list/session", STRANGER, 403, ""),
        ("/w/open/session", LISTED, 200, ""),
        ("/w/watched/session", LISTED, 200, "true"),
        ("/w/watched/session", STRANGER, 200, ""),
    ] {
        for method in ["GET", "OPTIONS"] {
            let fields = [("Origin", origin), ("Access-Control-Request-Method", "GET")];
            let fields = if method == "GET" { &fields[..1] } else { &fields[..] };
            let mut connection = Connection::open(edge.http).await;
            let answer = connection.ask(raw::request(method, edge.http, path, fields)).await;
            assert_eq!(answer.status, if method == "GET" { status } else { 204 }, "{method} {path} {origin}");
            assert_eq!(answer.field("access-control-allow-origin"), origin, "{method} {path} {origin}");
            assert_eq!(answer.field("access-control-allow-credentials"), expected, "{method} {path} {origin}");
        }
    }
}

#[tokio::test]
async fn a_route_can_insist_on_an_embedder() {
    let upstream = Upstream::start("app").await;
    let mut spec = EdgeSpec::on(upstream.addr, &one_widget());
    let routes = [
        route("loader.js", "asset", "missing = \"deny\""),
        route("frame", "frame", "missing = \"deny\""),
        route("assets/{*rest}", "asset", ""),
    ];
    spec.routes = Some(routes.concat());
    let edge = Edge::start(spec).await;
    for (path, fields, status) in [
        ("loader.js", &[][..], 403),
        ("frame", &[], 403),
        ("assets/a", &[], 200),
        ("loader.js", &[("Referer", LISTED)], 200),
        ("frame", &[("Referer", LISTED)], 200),
    ] {
        assert_eq!(raw::get(edge.http, &format!("/w/w/{path}"), fields).await.status, status, "{path} {fields:?}");
    }
    assert_eq!(upstream.requests(), 3);
}

#[tokio::test]
async fn system_origins_preview_what_nobody_else_sees() {
    let upstream = Upstream::start("app").await;
    let widgets = json!([
        { "id": "locked", "access": "enforce" },
        { "id": "off", "enabled": false },
    ]);
    let mut spec = EdgeSpec::on(upstream.addr, &widgets);
    spec.more.push_str("[policy]\nsystem_origins = [\"https://console.vendor.example\"]\n");
    let edge = Edge::start(spec).await;
    let get = async |path, origin| raw::get(edge.http, path, &[("Origin", origin)]).await;
    for path in ["/w/locked/loader.js", "/w/locked/frame", "/w/locked/session"] {
        assert_eq!(get(path, "https://console.vendor.example").await.status, 200, "{path}");
        assert_eq!(get(path, "http://console.vendor.example").await.status, 403, "{path}");
    }
    assert_eq!(get("/w/off/frame", "https://console.vendor.example").await.status, 403, "off is off");
    eventually("the decisions are logged", async || edge.decisions().len() == 7).await;
    assert_eq!(edge.decisions()[0]["reason"], "system_origin");
}

#[tokio::test]
async fn other_paths_do_not_exist() {
    let upstream = Upstream::start("app").await;
    let edge = Edge::start(EdgeSpec::on(upstream.addr, &one_widget())).await;
    for path in ["/", "/w", "/w/w", "/w/w/", "/w/w/loader.js/", "/w/w/Loader.js", "/w/w/session2", "/favicon.ico"] {
        let answer = raw::get(edge.http, path, &[("Origin", LISTED)]).await;
        assert_eq!((answer.status, answer.field("content-type")), (404, "application/problem+json"), "{path}");
        assert_eq!(answer.field("cache-control"), "no-store", "{path}");
    }
    assert_eq!(upstream.requests(), 0);
    assert_eq!(edge.decisions(), Vec::<Value>::new());
    let line = "embedgate_requests_total{class=\"none\",status=\"404\"}";
    eventually("all are counted", async || edge.metric(line).await == 8.0).await;
}

#[tokio::test]
async fn plain_http_is_sent_to_https_where_asked() {
    let upstream = Upstream::start("app").await;
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = Authority::new().issue(&["chat.example"]).write(folder.path(), "site");
    let mut spec = EdgeSpec::on(upstream.addr, &one_widget());
    spec.edge = format!(
        "redirect_http = true\ntrusted_proxies = [\"127.0.0.1/32\"]\n\
         tls = [{{ listen = \"{}\", certificates = [{{ cert = {cert:?}, key = {key:?} }}] }}]",
        ports::free()
    );
    spec.public_origins = Some("[\"https://chat.example\", \"https://other.example:8443\"]".to_owned());
    let edge = Edge::start(spec).await;
    let mut connection = Connection::open(edge.http).await;
    for (host, location) in [
        ("chat.example", "https://chat.example/w/w/session?a=b"),
        ("CHAT.example:8080", "https://chat.example/w/w/session?a=b"),
        ("other.example", "https://other.example:8443/w/w/session?a=b"),
        ("evil.example", "https://chat.example/w/w/session?a=b"),
    ] {
        let request =
            format!("POST /w/w/session?a=b HTTP/1.1\r\nHost: {host}\r\nOrigin: {LISTED}\r\nContent-Length: 1\r\n\r\nx");
        let answer = connection.ask(request).await;
        assert_eq!((answer.status, answer.field("location")), (308, location), "{host}");
    }
    let odd = raw::exchange(edge.http, b"GET /w/w/session?\xff HTTP/1.1\r\nHost: chat.example\r\n\r\n").await;
    assert!(odd.starts_with(b"HTTP/1.1 400"), "{:?}", String::from_utf8_lossy(&odd));
    assert_eq!(upstream.requests(), 0);
    let fields = [("Origin", LISTED), ("X-Forwarded-Proto", "https")];
    assert_eq!(raw::get(edge.http, "/w/w/session", &fields).await.status, 200, "https ended in front of the edge");
}
