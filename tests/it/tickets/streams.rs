//! Streams inside the widget's iframe: an `EventSource` can't change its address when it comes back, and may hear
//! nothing for long.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use http::Request;
use serde_json::json;

use super::{SESSION, SITE, STRANGER, ask, outcome, own, save, spec, ticket};
use crate::support::edge::{Edge, EdgeSpec, usual_routes};
use crate::support::raw;
use crate::support::raw::Connection;
use crate::support::tls::EdgeTls;
use crate::support::upstream::{Scripted, Upstream};

const EVENTS: (&str, &str) = ("Accept", "text/event-stream");

/// The usual routes, with one more whose answers are streams.
fn routes() -> String {
    let stream =
        "[[routes]]\npath = \"/w/{widget}/stream\"\nclass = \"session\"\nupstream = \"app\"\nstream = true\n";
    usual_routes("app") + stream
}

#[tokio::test]
async fn one_that_comes_back_brings_the_ticket_that_it_left_with() {
    let upstream = Upstream::start("app").await;
    let edge = Edge::start(EdgeSpec { routes: Some(routes()), ..spec(upstream.addr) }).await;
    let own = own(&edge);
    let (over, long_over) =
        (ticket(&edge, "w", SITE, -11 * 60 * 60), ticket(&edge, "w", SITE, -12 * 60 * 60));
    let stranger = ticket(&edge, "w", STRANGER, -60);
    let status = async |method: &str, path: &str, ticket: &str, accept: &str| {
        let fields = [("Referer", &*own), ("Accept", accept)];
        let body = ("Content-Length", "0");
        let fields: Vec<_> = fields.into_iter().chain((method == "POST").then_some(body)).collect();
        ask(&edge, method, &format!("{path}?ticket={ticket}"), &fields).await.status
    };
    for (method, path, accept, is_stream) in [
        ("GET", SESSION, "text/event-stream", true),
        ("GET", SESSION, "application/json;q=0.5, Text/Event-Stream; charset=utf-8", true),
        ("GET", SESSION, "text/event-streams, */*", false),
        ("GET", SESSION, "application/x; a=\"text/event-stream, text/event-stream\"", false),
        ("POST", SESSION, "text/event-stream", false),
        ("GET", "/w/w/stream", "*/*", true),
        ("POST", "/w/w/stream", "*/*", true),
    ] {
        let expected = if is_stream { 200 } else { 403 };
        assert_eq!(status(method, path, &over, accept).await, expected, "{method} {path} {accept}");
        assert_eq!(status(method, path, &long_over, accept).await, 403, "{method} {path} {accept}");
        assert_eq!(status(method, path, &stranger, accept).await, 403, "{method} {path} {accept}");
    }
    assert_eq!((outcome(&edge, "accepted").await, outcome(&edge, "unwelcome").await), (4.0, 4.0));
    save(&edge, &json!(["b.example"])).await;
    assert_eq!(
        status("GET", SESSION, &over, "text/event-stream").await,
        403,
        "judged by the rules of the moment"
    );
}

/// A server that answers a request for `…now` at once and says the rest after a while; any other says nothing until
/// then.
async fn slow() -> Scripted {
    Scripted::start(|mut connection, _| async move {
        while let Some((head, _)) = connection.request().await {
            let (first, rest) = match head.split(' ').nth(1).unwrap() {
                path if path.contains("chunks") => {
                    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "4\r\nlate\r\n0\r\n\r\n")
                }
                path if path.contains("length") => ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", "late"),
                _ => ("", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate"),
            };
            connection.send(first).await;
            tokio::time::sleep(Duration::from_millis(900)).await;
            connection.send(rest).await;
        }
    })
    .await
}

fn patient(upstream: &Scripted, idle: &str) -> EdgeSpec {
    let mut spec = EdgeSpec { routes: Some(routes()), ..spec(upstream.addr) };
    spec.more = spec.more.replace("[log]", "read_timeout = \"400ms\"\n[log]");
    spec.edge = format!("tunnel_idle_timeout = \"{idle}\"\n");
    spec
}

#[tokio::test]
async fn a_silent_server_has_the_time_of_a_websocket() {
    let upstream = slow().await;
    let edge = Edge::start(patient(&upstream, "10s")).await;
    for form in ["chunks", "length", "head"] {
        for more in [("X-A", "1"), ("Connection", "close")] {
            let path = format!("{SESSION}?{form}");
            let answer = raw::get(edge.http, &path, &[("Origin", SITE), EVENTS, more]).await;
            assert_eq!((answer.status, &*answer.body), (200, "late"), "{form} {more:?}");
            let answer = raw::get(edge.http, "/w/w/stream?length", &[("Origin", SITE), more]).await;
            assert_eq!((answer.status, &*answer.body), (200, "late"), "{form} {more:?}");
        }
        // By the library.
        let fields = [("Origin", SITE), ("Content-Length", "2")];
        let request = raw::request("POST", edge.http, &format!("/w/w/stream?{form}"), &fields) + "{}";
        let answer = Connection::open(edge.http).await.ask(request).await;
        assert_eq!((answer.status, &*answer.body), (200, "late"), "{form}");
    }
    // Everything else waits for as long as its upstream may.
    for (path, fields) in
        [(SESSION, &[("Origin", SITE)][..]), ("/w/w/assets/a.js", &[("Origin", SITE), EVENTS])]
    {
        let started = Instant::now();
        assert_eq!(raw::get(edge.http, path, fields).await.status, 504, "{path}");
        assert!(started.elapsed() < Duration::from_millis(800), "{path}");
    }
}

#[tokio::test]
async fn over_http2_too() {
    let upstream = slow().await;
    let tls = EdgeTls::of("chat.example");
    let mut spec = patient(&upstream, "10s");
    tls.add_to(&mut spec);
    let _edge = Edge::start(spec).await;
    let client = tls.http2().await;
    let request = Request::get(format!("https://chat.example{SESSION}?chunks"))
        .header("origin", SITE)
        .header("accept", "text/event-stream")
        .body(())
        .unwrap();
    let (answer, _) = client.clone().send_request(request, true).unwrap();
    let (head, mut body) = answer.await.unwrap().into_parts();
    let mut bytes = BytesMut::new();
    while let Some(piece) = body.data().await {
        bytes.extend_from_slice(&piece.unwrap());
    }
    assert_eq!((head.status.as_u16(), &bytes[..]), (200, &b"late"[..]));
}

#[tokio::test]
async fn its_own_limit_ends_it() {
    let upstream = slow().await;
    let edge = Edge::start(patient(&upstream, "200ms")).await;
    let mut stream = Connection::open(edge.http).await;
    let fields = [("Origin", SITE), EVENTS];
    stream.send(raw::request("GET", edge.http, &format!("{SESSION}?chunks"), &fields)).await;
    assert_eq!(stream.head().await.status, 200);
    let started = Instant::now();
    assert_eq!(stream.rest().await, "", "cut, not ended");
    assert!(started.elapsed() < Duration::from_millis(800));
    // Without one it waits for ever.
    drop(edge);
    let edge = Edge::start(patient(&upstream, "0s")).await;
    let answer = raw::get(edge.http, &format!("{SESSION}?chunks"), &[("Origin", SITE), EVENTS]).await;
    assert_eq!((answer.status, &*answer.body), (200, "late"));
}
