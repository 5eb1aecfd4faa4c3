//! Paths that the upstream knows by other names, and encoded slashes in them.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{LISTED, STRANGER, one_widget, route, told};
use crate::support::edge::{Edge, EdgeSpec};
use crate::support::raw;
use crate::support::upstream::{Upstream, got};
use crate::support::websocket::{SocketUpstream, hears_itself, open};

fn rewriting(name: &str, class: &str, to: &str) -> String {
    route(name, class, &format!("rewrite = \"{to}\""))
}

#[tokio::test]
async fn the_upstream_gets_its_own_path_and_the_query() {
    let upstream = Upstream::start("app").await;
    let mut spec = EdgeSpec::on(upstream.addr, &one_widget());
    spec.routes = Some(
        [
            rewriting("app/{*rest}", "session", "/{rest}"),
            rewriting("api/{*rest}", "session", "/v1/{widget}/{rest}"),
            rewriting("frame", "frame", "/embed.html"),
            rewriting("assets/{*rest}", "asset", "/static/{rest}"),
        ]
        .concat(),
    );
    let edge = Edge::start(spec).await;
    for (target, expected) in [
        ("/w/w/app/", "/"),
        ("/w/w/app/a/b?c=/w/w/app/", "/a/b?c=/w/w/app/"),
        ("/w/w/api/chat?x", "/v1/w/chat?x"),
        ("/w/w/frame", "/embed.html"),
        ("/w/w/assets/a%20b.js", "/static/a%20b.js"),
        ("/w/w/app/a?ticket=t&b", "/a?b"),
    ] {
        let answer = raw::get(edge.http, target, &[("Origin", LISTED)]).await;
        assert_eq!(told(&answer)["target"], expected, "{target}");
        assert_eq!(got(&told(&answer), "x-widget-id"), Some("w"));
        assert_eq!(raw::get(edge.http, target, &[("Origin", STRANGER)]).await.status, 403, "{target}");
    }
}

#[tokio::test]
async fn a_websocket_is_opened_at_it() {
    let upstream = SocketUpstream::echo().await;
    let mut spec = EdgeSpec::on(upstream.addr, &one_widget());
    spec.routes = Some(rewriting("app/{*rest}", "session", "/{rest}"));
    let edge = Edge::start(spec).await;
    let (mut socket, _) = open(edge.http, "/w/w/app/_stcore/stream?a=b", LISTED).await.unwrap();
    hears_itself(&mut socket).await;
    let heads = upstream.heads();
    assert!(heads[0].starts_with("GET /_stcore/stream?a=b HTTP/1.1\r\n"), "{heads:?}");
}

#[tokio::test]
async fn a_websocket_s_cookie_is_mapped_back_too() {
    let upstream = SocketUpstream::start(|mut asked| async move {
        let answer = asked.accepted("Set-Cookie: a=b; Path=/x\r\n");
        asked.stream.write_all(answer.as_bytes()).await.unwrap();
        // Held until the browser leaves.
        let _ = asked.stream.read(&mut [0]).await;
    })
    .await;
    let mut spec = EdgeSpec::on(upstream.addr, &one_widget());
    spec.routes = Some(rewriting("app/{*rest}", "session", "/{rest}"));
    let edge = Edge::start(spec).await;
    let (_socket, answer) = open(edge.http, "/w/w/app/ws", LISTED).await.unwrap();
    assert_eq!(answer.headers()["set-cookie"], "a=b; Path=/w/w/app/x");
}

#[tokio::test]
async fn what_an_answer_names_is_mapped_back() {
    for (host, location, expected) in [
        ("", "/login?next=/a", "/w/w/app/login?next=/a"),
        ("", "next", "next"),
        ("", "https://accounts.example/login", "https://accounts.example/login"),
        ("host = \"app.internal\"", "http://app.internal/login", "/w/w/app/login"),
    ] {
        let fields = [
            ("location", location),
            ("set-cookie", "a=b; Path=/; HttpOnly"),
            ("set-cookie", "c=d; Path=/sub; Secure"),
            ("set-cookie", "__Host-e=f; Path=/; Secure"),
            ("x-test-status", "302"),
        ];
        let upstream = Upstream::with_fields("app", &fields).await;
        let mut spec = EdgeSpec::on(upstream.addr, &one_widget());
        spec.more = spec.more.replace("[log]", &format!("{host}\n[log]"));
        spec.routes =
            Some([rewriting("app/{*rest}", "session", "/{rest}"), route("plain", "session", "")].concat());
        let edge = Edge::start(spec).await;
        let ask = async |path: &str| {
            let answer = raw::exchange(
                edge.http,
                raw::request("GET", edge.http, path, &[("Origin", LISTED), ("Connection", "close")])
                    .as_bytes(),
            )
            .await;
            let text = String::from_utf8(answer).unwrap();
            let of = |name: &str| {
                let lines = text.lines().filter_map(|line| line.split_once(": "));
                lines
                    .filter(|(stated, _)| stated.eq_ignore_ascii_case(name))
                    .map(|(_, value)| value.to_owned())
                    .collect::<Vec<_>>()
            };
            (of("location"), of("set-cookie"))
        };
        let cookies =
            ["a=b; Path=/w/w/app/; HttpOnly", "c=d; Path=/w/w/app/sub; Secure", "__Host-e=f; Path=/; Secure"];
        assert_eq!(
            ask("/w/w/app/x").await,
            (vec![expected.to_owned()], cookies.map(str::to_owned).into()),
            "{location}"
        );
        let (locations, cookies) = ask("/w/w/plain").await;
        assert_eq!((locations, cookies[0].as_str()), (vec![location.to_owned()], "a=b; Path=/; HttpOnly"));
    }
}

#[tokio::test]
async fn a_kept_redirect_is_mapped_as_well() {
    let fields = [("location", "/static/b.js"), ("cache-control", "max-age=600"), ("x-test-status", "301")];
    let upstream = Upstream::with_fields("app", &fields).await;
    let mut spec = EdgeSpec::on(upstream.addr, &one_widget());
    spec.routes = Some(rewriting("assets/{*rest}", "asset", "/static/{rest}"));
    let edge = Edge::start(spec).await;
    for _ in 0..2 {
        let answer = raw::get(edge.http, "/w/w/assets/a.js", &[("Origin", LISTED)]).await;
        assert_eq!((answer.status, answer.field("location")), (301, "/w/w/assets/b.js"));
    }
    assert_eq!(upstream.requests(), 1);
}

#[tokio::test]
async fn encoded_slashes_pass_in_a_rest_that_takes_them() {
    let upstream = Upstream::start("app").await;
    let widgets = json!([{ "id": "w", "allowed_domains": ["example.com"] }]);
    let mut spec = EdgeSpec::on(upstream.addr, &widgets);
    spec.routes = Some(
        [
            route("npm/{*rest}", "asset", "encoded_slashes = \"pass\"\nrewrite = \"/{rest}\""),
            route("assets/{*rest}", "asset", ""),
        ]
        .concat(),
    );
    let edge = Edge::start(spec).await;
    for (target, expected) in [
        ("/w/w/npm/@scope%2Fname/a.js", Some("/@scope%2Fname/a.js")),
        ("/w/w/npm/https%3A%2f%2Fx", Some("/https%3A%2f%2Fx")),
        ("/w/w/npm/a%2F..%2Fb", None),
        ("/w/w/npm/..%2Fb", None),
        ("/w/w/npm/a%2F%2e%2e", None),
        ("/w/w%2Fnpm/a", None),
        ("/w%2Fw/npm/a", None),
        ("/w/w/assets/a%2Fb", None),
        ("/other/a%2Fb", None),
        ("/w/w/embed-ticket%2F", None),
    ] {
        let answer = raw::get(edge.http, target, &[("Origin", LISTED)]).await;
        match expected {
            Some(expected) => assert_eq!(told(&answer)["target"], expected, "{target}"),
            None => assert_eq!(answer.status, 400, "{target}"),
        }
    }
    assert_eq!(upstream.requests(), 2);
}
