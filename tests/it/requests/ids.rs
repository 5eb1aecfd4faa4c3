//! Where the widget's id stands: in the path, in the host, in the query, or nowhere.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{LISTED, STRANGER, told};
use crate::support::edge::{Edge, EdgeSpec};
use crate::support::raw::{self, Answer};
use crate::support::tls::EdgeTls;
use crate::support::upstream::{Upstream, got};
use crate::support::websocket::{SocketUpstream, closed, hears_itself, open_on};

/// Routes that find the id in each way.
const ROUTES: &str = r#"
[[routes]]
path = "/w/{widget}/assets/{*rest}"
class = "asset"
upstream = "app"
[[routes]]
host = "{widget}.chat.example"
path = "/assets/{*rest}"
class = "asset"
upstream = "app"
[[routes]]
host = "{widget}.chat.example"
path = "/session"
class = "session"
upstream = "app"
[[routes]]
host = "one.example"
path = "/{*rest}"
widget = "fixed:one"
class = "session"
upstream = "app"
[[routes]]
path = "/embed"
widget = "query:website_token"
class = "session"
upstream = "app"
"#;

fn widgets() -> Value {
    json!([
        { "id": "one", "allowed_domains": ["example.com"] },
        { "id": "two", "allowed_domains": ["two.example"] },
    ])
}

fn spec(upstream: std::net::SocketAddr) -> EdgeSpec {
    let mut spec = EdgeSpec::on(upstream, &widgets());
    spec.routes = Some(ROUTES.to_owned());
    spec
}

async fn ask(edge: &Edge, method: &str, host: &str, target: &str, fields: &[(&str, &str)]) -> Answer {
    let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = if method == "POST" { "Content-Length: 0\r\n" } else { "" };
    let request = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{length}{fields}\r\n");
    raw::send(edge.http, request.as_bytes()).await
}

#[tokio::test]
async fn each_place_names_the_widget() {
    let upstream = Upstream::start("app").await;
    let edge = Edge::start(spec(upstream.addr)).await;
    for (host, target, widget) in [
        ("edge.example", "/w/one/assets/a.js", "one"),
        ("edge.example", "/w/two/assets/a.js", "two"),
        ("one.chat.example", "/assets/a.js", "one"),
        ("two.Chat.Example:8080", "/assets/a.js", "two"),
        ("two.chat.example", "/w/one/assets/a.js", "one"),
        ("one.example", "/assets/a.js", "one"),
        ("one.example", "/", "one"),
        ("one.example", "/w/two/assets/a.js", "one"),
        ("edge.example", "/embed?x=1&website_token=two", "two"),
    ] {
        for (origin, listed) in [(LISTED, "one"), ("https://two.example", "two"), (STRANGER, "")] {
            let answer = ask(&edge, "GET", host, target, &[("Origin", origin)]).await;
            if listed == widget {
                let told = told(&answer);
                assert_eq!(got(&told, "x-widget-id"), Some(widget), "{host}{target}");
                assert_eq!(told["target"], target, "the path goes along as it is");
            } else {
                assert_eq!(answer.status, 403, "{host}{target} {origin}");
            }
        }
    }
    for (host, target) in [
        ("chat.example", "/assets/a.js"),
        ("x.one.chat.example", "/assets/a.js"),
        ("one.chat.example.evil.example", "/assets/a.js"),
        ("xone.example", "/assets/a.js"),
    ] {
        assert_eq!(ask(&edge, "GET", host, target, &[("Origin", LISTED)]).await.status, 404, "{host}");
    }
    // What a server that decodes first would take for a call for a ticket is no session either.
    let answer = ask(&edge, "GET", "one.example", "/w/one/embed%2Dticket", &[("Origin", LISTED)]).await;
    assert!(answer.status == 400 && answer.body.contains("encoded characters"), "{answer:?}");
    assert_eq!(ask(&edge, "GET", "one.example", "/%78%20y", &[("Origin", LISTED)]).await.status, 200);
    let ids: Vec<_> = edge.decisions().iter().map(|line| line["widget"].clone()).collect();
    assert!(ids.iter().all(|id| id == "one" || id == "two"), "logs know the id, wherever it stood: {ids:?}");
}

#[tokio::test]
async fn a_query_names_exactly_one() {
    let upstream = Upstream::start("app").await;
    let edge = Edge::start(spec(upstream.addr)).await;
    for (target, status, detail) in [
        ("/embed", 400, "is missing"),
        ("/embed?website_tokens=one", 400, "is missing"),
        ("/embed?website_token=one&website_token=two", 400, "is there twice"),
        ("/embed?website_token=one&website%5Ftoken=two", 400, "is there twice"),
        ("/embed?website_token=one&website_token[]=two", 400, "is there twice"),
        ("/embed?website_token=nobody", 403, ""),
        ("/embed?website_token=on%65", 403, ""),
        ("/embed?website_token=", 403, ""),
    ] {
        let answer = ask(&edge, "GET", "edge.example", target, &[("Origin", LISTED)]).await;
        assert!(answer.status == status && answer.body.contains(detail), "{target}: {answer:?}");
        assert_eq!(answer.field("access-control-allow-origin"), LISTED, "the page can read why");
    }
    assert_eq!(upstream.requests(), 0);
}

#[tokio::test]
async fn an_iframe_s_own_origin_is_its_widget_s_alone() {
    let upstream = Upstream::start("app").await;
    let mut spec = spec(upstream.addr);
    spec.public_origins = Some(r#"["https://{widget}.chat.example"]"#.to_owned());
    let edge = Edge::start(spec).await;
    let ticket = |page: &'static str| {
        let edge = &edge;
        async move {
            let answer =
                ask(edge, "POST", "one.chat.example", "/w/one/embed-ticket", &[("Origin", page)]).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            serde_json::from_str::<Value>(&answer.body).unwrap()["ticket"].as_str().map(str::to_owned)
        }
    };
    let ticket = format!("Embed {}", ticket(LISTED).await.unwrap());
    let session = async |host: &str, origin: &str, ticket: &str| {
        ask(&edge, "GET", host, "/session", &[("Origin", origin), ("Authorization", ticket)]).await
    };
    let answer = session("one.chat.example", "https://one.chat.example", &ticket).await;
    assert_eq!(got(&told(&answer), "x-embedder-origin"), Some(LISTED));
    for (host, origin) in [
        // Another widget's iframe, with a ticket that was copied to it.
        ("one.chat.example", "https://two.chat.example"),
        // The widget's own, at another widget.
        ("two.chat.example", "https://one.chat.example"),
        ("one.chat.example", "http://one.chat.example"),
        ("one.chat.example", "https://chat.example"),
    ] {
        assert_eq!(session(host, origin, &ticket).await.status, 403, "{origin} at {host}");
    }
    let reasons: Vec<_> = edge.decisions().iter().skip(2).map(|line| line["reason"].clone()).collect();
    assert_eq!(reasons, ["not_listed", "not_listed", "not_listed", "not_listed"]);
    let answer = session("one.chat.example", "https://one.chat.example", "").await;
    assert_eq!(answer.status, 403);
    assert_eq!(edge.decisions().last().unwrap()["reason"], "ticket_missing");
}

#[tokio::test]
async fn http2_and_websockets_find_it_too() {
    let upstream = SocketUpstream::echo().await;
    let mut spec = spec(upstream.addr);
    spec.source = "store";
    let tls = EdgeTls::of("one.chat.example");
    tls.add_to(&mut spec);
    let edge = Edge::start(spec).await;

    let stream = tokio::net::TcpStream::connect(edge.http).await.unwrap();
    let (mut by_host, _) = open_on(stream, "ws://one.chat.example/session", LISTED).await.unwrap();
    hears_itself(&mut by_host).await;
    let stream = tokio::net::TcpStream::connect(edge.http).await.unwrap();
    let url = "ws://edge.example/embed?website_token=one";
    let (mut by_query, _) = open_on(stream, url, LISTED).await.unwrap();
    hears_itself(&mut by_query).await;
    let stream = tokio::net::TcpStream::connect(edge.http).await.unwrap();
    assert!(open_on(stream, url, STRANGER).await.is_err());

    // A save ends both, wherever their ids stood.
    assert_eq!(edge.put(&json!({ "id": "one", "allowed_domains": ["other.example"] })).await.0, 200);
    for socket in [&mut by_host, &mut by_query] {
        assert_eq!(closed(socket).await.0, 1008);
    }

    let app = Upstream::start("app").await;
    let mut spec = self::spec(app.addr);
    tls.add_to(&mut spec);
    drop(edge);
    let _edge = Edge::start(spec).await;
    let mut client = tls.http2().await.ready().await.unwrap();
    for (target, status) in [
        ("https://one.chat.example/assets/a.js", 200),
        ("https://two.chat.example/assets/a.js", 403),
        ("https://one.example/x", 200),
        ("https://edge.example/embed?website_token=one", 200),
        ("https://edge.example/embed", 400),
    ] {
        let request = http::Request::get(target).header("origin", LISTED).body(()).unwrap();
        let (answer, _) = client.send_request(request, true).unwrap();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), status, "{target}");
        let mut body = answer.into_body();
        while let Some(piece) = body.data().await {
            let piece: Bytes = piece.unwrap();
            body.flow_control().release_capacity(piece.len()).unwrap();
        }
        client = client.ready().await.unwrap();
    }
}

#[tokio::test]
async fn the_cache_keeps_widgets_apart_wherever_the_id_stands() {
    let upstream = Upstream::with_fields("app", &[("cache-control", "public, max-age=600")]).await;
    let widgets = json!([
        { "id": "one", "allowed_domains": ["example.com"] },
        { "id": "two", "allowed_domains": ["example.com"] },
    ]);
    let mut spec = EdgeSpec::on(upstream.addr, &widgets);
    spec.routes = Some(
        r#"
[[routes]]
host = "{widget}.chat.example"
path = "/{*rest}"
rewrite = "/static/{rest}"
class = "asset"
upstream = "app"
[[routes]]
path = "/loader.js"
widget = "query:id"
rewrite = "/static/loader.js"
class = "asset"
upstream = "app"
[[routes]]
host = "one.example"
path = "/loader.js"
widget = "fixed:one"
class = "asset"
upstream = "app"
[[routes]]
host = "two.example"
path = "/loader.js"
widget = "fixed:two"
class = "asset"
upstream = "app"
"#
        .to_owned(),
    );
    let edge = Edge::start(spec).await;
    let places = [
        ("one.chat.example", "/loader.js", "one"),
        ("two.chat.example", "/loader.js", "two"),
        ("edge.example", "/loader.js?id=one", "one"),
        ("edge.example", "/loader.js?id=two", "two"),
        ("one.example", "/loader.js", "one"),
        ("two.example", "/loader.js", "two"),
    ];
    for round in 0..2 {
        for (host, target, widget) in places {
            let answer = ask(&edge, "GET", host, target, &[("Origin", LISTED)]).await;
            assert_eq!(got(&told(&answer), "x-widget-id"), Some(widget), "{host}{target} in round {round}");
        }
        assert_eq!(upstream.requests(), places.len(), "round {round}: each is kept on its own");
    }
    // A purge is about one widget.
    let purged = edge.api(reqwest::Method::POST, "/v1/widgets/one/purge").send().await.unwrap();
    assert!(purged.status().is_success(), "{purged:?}");
    for (host, target, _) in places {
        ask(&edge, "GET", host, target, &[("Origin", LISTED)]).await;
    }
    assert_eq!(upstream.requests(), places.len() + places.len() / 2);
}
