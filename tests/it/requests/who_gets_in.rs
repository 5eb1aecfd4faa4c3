//! Whom each route, class and setting lets in.

use serde_json::{Value, json};

use super::{LISTED, STRANGER, one_widget, route, told};
use crate::support::edge::{Edge, EdgeSpec};
use crate::support::raw::Connection;
use crate::support::tls::EdgeTls;
use crate::support::upstream::Upstream;
use crate::support::websocket::{SocketUpstream, exchange, next, open};
use crate::support::{eventually, raw};

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
            let granted = if path.starts_with("/w/open/") { "*" } else { origin };
            assert_eq!(answer.field("access-control-allow-origin"), granted, "{method} {path} {origin}");
            assert_eq!(
                answer.field("access-control-allow-credentials"),
                expected,
                "{method} {path} {origin}"
            );
        }
    }
    eventually("every decision is logged", async || edge.decisions().len() == 14).await;
    // A browser that wants to send cookies does not say so in its preflight: the log names the key.
    let hinted: Vec<_> = edge
        .decisions()
        .into_iter()
        .filter(|line| {
            line["hint"].as_str().is_some_and(|hint| hint.starts_with("`credentials` of the route is false"))
        })
        .map(|line| (line["method"].clone(), line["widget"].clone(), line["embedder"].clone()))
        .collect();
    assert_eq!(hinted, [(json!("OPTIONS"), json!("list"), json!(LISTED))]);
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
        assert_eq!(
            raw::get(edge.http, &format!("/w/w/{path}"), fields).await.status,
            status,
            "{path} {fields:?}"
        );
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
    for path in
        ["/", "/w", "/w/w", "/w/w/", "/w/w/loader.js/", "/w/w/Loader.js", "/w/w/session2", "/favicon.ico"]
    {
        let answer = raw::get(edge.http, path, &[("Origin", LISTED)]).await;
        assert_eq!(
            (answer.status, answer.field("content-type")),
            (404, "application/problem+json"),
            "{path}"
        );
        assert_eq!(answer.field("cache-control"), "no-store", "{path}");
    }
    assert_eq!(upstream.requests(), 0);
    assert_eq!(edge.decisions(), Vec::<Value>::new());
    let line = "embedgate_requests_total{class=\"none\",status=\"404\"}";
    eventually("all are counted", async || edge.metric(line).await == 8.0).await;
}

/// What stands behind a slash may be nothing, as in the address of a folder.
#[tokio::test]
async fn the_rest_of_a_path_may_be_empty() {
    let upstream = Upstream::start("app").await;
    let route = |path: &str, class: &str| {
        format!("[[routes]]\npath = \"{path}\"\nclass = \"{class}\"\nupstream = \"app\"\n")
    };
    let routes = [
        route("/w/{widget}/assets/{*rest}", "asset"),
        route("/w/{widget}/own/{*rest}", "session"),
        route("/w/{widget}/own/", "public"),
        route("/w/{widget}/", "frame"),
    ];
    let spec = EdgeSpec { routes: Some(routes.concat()), ..EdgeSpec::on(upstream.addr, &one_widget()) };
    let edge = Edge::start(spec).await;
    for (path, class) in [
        ("/w/w/assets/", "asset"),
        ("/w/w/assets/a/b", "asset"),
        ("/w/w/own/", "public"),
        ("/w/w/own/a", "session"),
        ("/w/w/", "frame"),
    ] {
        let before =
            edge.metric(&format!("embedgate_requests_total{{class=\"{class}\",status=\"200\"}}")).await;
        let answer = raw::get(edge.http, path, &[("Origin", LISTED)]).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        assert!(answer.body.contains(&format!("\"target\":\"{path}\"")), "{path}: {answer:?}");
        let line = format!("embedgate_requests_total{{class=\"{class}\",status=\"200\"}}");
        eventually("it is counted", async || edge.metric(&line).await > before).await;
    }
    for path in ["/w/w/assets", "/w/w/own", "/w/w"] {
        assert_eq!(raw::get(edge.http, path, &[("Origin", LISTED)]).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn plain_http_is_sent_to_https_where_asked() {
    let upstream = Upstream::start("app").await;
    let tls = EdgeTls::of("chat.example");
    let mut spec = EdgeSpec::on(upstream.addr, &one_widget());
    spec.edge = "redirect_http = true\ntrusted_proxies = [\"127.0.0.1/32\"]\n".to_owned();
    tls.add_to(&mut spec);
    spec.public_origins = Some("[\"https://chat.example\", \"https://other.example:8443\"]".to_owned());
    spec.routes = Some(route("session", "session", "headers = { \"Referrer-Policy\" = \"no-referrer\" }"));
    let edge = Edge::start(spec).await;
    let mut connection = Connection::open(edge.http).await;
    for (host, location) in [
        ("chat.example", "https://chat.example/w/w/session?a=b"),
        ("CHAT.example:8080", "https://chat.example/w/w/session?a=b"),
        ("other.example", "https://other.example:8443/w/w/session?a=b"),
        ("evil.example", "https://chat.example/w/w/session?a=b"),
    ] {
        let request = format!(
            "POST /w/w/session?a=b HTTP/1.1\r\nHost: {host}\r\nOrigin: {LISTED}\r\nContent-Length: 1\r\n\r\nx"
        );
        let answer = connection.ask(request).await;
        assert_eq!((answer.status, answer.field("location")), (308, location), "{host}");
        // It would be that of the request which follows (Referrer Policy §8.3), whose embedder it would take.
        assert_eq!(answer.field("referrer-policy"), "");
        for (name, value) in [
            ("cache-control", "no-store"),
            ("cross-origin-resource-policy", "cross-origin"),
            ("access-control-allow-origin", "*"),
        ] {
            assert_eq!(answer.field(name), value, "{host} {name}");
        }
    }
    let odd = raw::exchange(edge.http, b"GET /w/w/session?\xff HTTP/1.1\r\nHost: chat.example\r\n\r\n").await;
    assert!(odd.starts_with(b"HTTP/1.1 400"), "{:?}", String::from_utf8_lossy(&odd));
    assert_eq!(upstream.requests(), 0);
    let fields = [("Origin", LISTED), ("X-Forwarded-Proto", "https")];
    assert_eq!(
        raw::get(edge.http, "/w/w/session", &fields).await.status,
        200,
        "https ended in front of the edge"
    );
}

/// Browsers leave much raw behind the authority; what follows it names nobody.
#[tokio::test]
async fn what_follows_a_referrer_s_authority_is_not_looked_at() {
    let upstream = Upstream::start("app").await;
    let edge = Edge::start(EdgeSpec::on(upstream.addr, &one_widget())).await;
    let ask = async |referer: &[u8]| {
        let head = format!("GET /w/w/session HTTP/1.1\r\nHost: {}\r\nReferer: ", edge.http);
        raw::send(edge.http, &[head.as_bytes(), referer, b"\r\n\r\n"].concat()).await
    };
    for referer in [
        &br"https://example.com/?p=C:\x"[..],
        br"https://example.com/a\b|c^d`e",
        b"https://example.com/?q={\"a\": [1, 2]}",
        "https://example.com/münchen?ü".as_bytes(),
        b"https://example.com/\xfc?\xff\xfe",
        b"https://example.com/a b",
        b"https://example.com?u=https://stranger.example,x@y",
        b"https://example.com/#top",
    ] {
        let shown = String::from_utf8_lossy(referer);
        let answer = ask(referer).await;
        assert_eq!(answer.status, 200, "{shown}: {answer:?}");
        assert_eq!(answer.field("access-control-allow-origin"), LISTED, "{shown}");
        let fields = &told(&answer)["fields"];
        assert!(
            fields.as_array().unwrap().contains(&json!(["x-embedder-origin", LISTED])),
            "{shown}: {fields}"
        );
    }
    for referer in [
        &br"https://example.com\@stranger.example/"[..],
        br"https://example.com\/a",
        br"https:\\example.com/",
        "https://example.com\u{fc}/".as_bytes(),
        b"https://example.com /",
        b"https://user@example.com/",
        b"https://example.com/a\tb",
        b"//example.com/",
        b"/https://example.com/",
    ] {
        let shown = String::from_utf8_lossy(referer);
        let answer = ask(referer).await;
        assert_eq!((answer.status, answer.field("access-control-allow-origin")), (403, ""), "{shown}");
    }
}

/// `open` is any page: one whose origin is opaque, too.
#[tokio::test]
async fn an_open_widget_takes_pages_that_have_no_origin() {
    let upstream = SocketUpstream::echo().await;
    let pages = Upstream::start("app").await;
    let widgets = json!([
        { "id": "open", "access": "open", "allowed_domains": ["example.com"] },
        { "id": "fresh" },
        { "id": "listed", "allowed_domains": ["example.com"] },
        { "id": "watched", "access": "monitor", "allowed_domains": ["example.com"] },
    ]);
    let mut spec = EdgeSpec::on(pages.addr, &widgets);
    spec.more.push_str(&format!("[upstreams.sockets]\nservers = [\"{}\"]\n", upstream.addr));
    let routes = [
        route("loader.js", "asset", "credentials = true"),
        route("frame", "frame", ""),
        route("session", "session", "credentials = true"),
        route("socket", "session", "").replace("\"app\"", "\"sockets\""),
    ];
    spec.routes = Some(routes.concat());
    let edge = Edge::start(spec).await;
    for opaque in ["null", "file://"] {
        for widget in ["open", "fresh"] {
            for (path, granted) in [("loader.js", "*"), ("frame", ""), ("session", "*")] {
                let path = format!("/w/{widget}/{path}");
                let answer = raw::get(edge.http, &path, &[("Origin", opaque)]).await;
                assert_eq!(
                    (answer.status, answer.field("access-control-allow-origin")),
                    (200, granted),
                    "{path} {opaque}"
                );
                assert_eq!(answer.field("access-control-allow-credentials"), "", "{path} {opaque}");
                assert_eq!(answer.field("content-security-policy"), "", "{path} {opaque}");
            }
            let fields = [("Origin", opaque), ("Access-Control-Request-Method", "POST")];
            let path = format!("/w/{widget}/session");
            let preflight = Connection::open(edge.http)
                .await
                .ask(raw::request("OPTIONS", edge.http, &path, &fields))
                .await;
            assert_eq!(
                (preflight.status, preflight.field("access-control-allow-origin")),
                (204, "*"),
                "{opaque}"
            );
            let fields = [("Origin", opaque), ("Content-Length", "0")];
            let path = format!("/w/{widget}/embed-ticket");
            let call =
                Connection::open(edge.http).await.ask(raw::request("POST", edge.http, &path, &fields)).await;
            assert_eq!((call.status, call.field("access-control-allow-origin")), (200, "*"), "{opaque}");
            assert!(call.body.contains("\"ticket\":null"), "{}", call.body);
            let (mut socket, _) = open(edge.http, &format!("/w/{widget}/socket"), opaque).await.unwrap();
            next(&mut socket).await;
            exchange(&mut socket, "from nowhere").await;
        }
        for path in ["loader.js", "frame", "session"] {
            let denied = raw::get(edge.http, &format!("/w/listed/{path}"), &[("Origin", opaque)]).await;
            assert_eq!(
                (denied.status, denied.field("access-control-allow-origin")),
                (403, opaque),
                "{path}: its page reads why"
            );
        }
        let watched = raw::get(edge.http, "/w/watched/session", &[("Origin", opaque)]).await;
        assert_eq!((watched.status, watched.field("access-control-allow-origin")), (200, opaque));
        assert_eq!(watched.field("access-control-allow-credentials"), "");
    }
    // What is mistyped is not opaque, and a session has to name some page.
    for (fields, status) in [
        (&[("Origin", "file:///")][..], 403),
        (&[("Origin", "file://server")], 403),
        (&[("Origin", "FILE://")], 403),
        (&[("Origin", "nulL")], 403),
        (&[], 403),
    ] {
        assert_eq!(raw::get(edge.http, "/w/open/session", fields).await.status, status, "{fields:?}");
    }
    eventually("the decisions are logged", async || {
        let reasons: Vec<Value> = edge
            .decisions()
            .into_iter()
            .filter(|line| line["widget"] == "listed")
            .map(|line| json!([line["reason"], line["embedder"]]))
            .collect();
        let of = |opaque: &str| vec![json!(["opaque_origin", opaque]); 3];
        reasons == [of("null"), of("file://")].concat()
    })
    .await;
}
