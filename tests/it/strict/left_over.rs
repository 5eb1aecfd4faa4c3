//! What an answer leaves on its connection: nothing that could be read as a request which nobody sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpStream;

use super::{LISTED, STRANGER, one_widget, session};
use crate::support::edge::{Edge, EdgeSpec};
use crate::support::ports;
use crate::support::raw::{Answer, Connection, request};
use crate::support::upstream::Scripted;

/// An upstream that counts what it is asked, and answers everything with something that may be kept in memory.
async fn counting() -> (Scripted, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let upstream = Scripted::start(move |mut connection, _| {
        let counter = Arc::clone(&counter);
        async move {
            while let Some((head, _)) = connection.request().await {
                counter.fetch_add(1, Ordering::Relaxed);
                let status = if head.contains("/broken") { "502 Bad Gateway" } else { "200 OK" };
                let lines = "Cache-Control: public, max-age=60\r\nContent-Length: 2";
                connection.send(format!("HTTP/1.1 {status}\r\n{lines}\r\n\r\nok")).await;
            }
        }
    })
    .await;
    (upstream, count)
}

/// An attacker's bytes behind a request for an upgrade would come from a trusted proxy's connection, if that proxy made a
/// tunnel of it by the wish alone (CVE-2026-2833 and its kind).
#[tokio::test]
async fn what_is_no_tunnel_after_a_wish_for_one_ends() {
    let (upstream, count) = counting().await;
    let edge = Edge::start(EdgeSpec::on(upstream.addr, &one_widget())).await;
    let smuggled = session(&edge, "GET", "X-Smuggled: 1\r\n");
    let websocket = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")];
    let h2c = [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABk")];
    // Not even named by `Connection`, as some proxies pass it on.
    let alone = [("Upgrade", "websocket")];
    for (method, path, origin, upgrade, status) in [
        ("GET", "/w/w/session", STRANGER, &websocket[..], 403),
        ("GET", "/w/nobody/session", LISTED, &websocket, 403),
        ("GET", "/w/w/session", "null", &websocket, 403),
        ("GET", "/nowhere", LISTED, &websocket, 404),
        ("GET", "/w/w/loader.js", LISTED, &websocket, 400),
        ("GET", "/w/w//session", LISTED, &websocket, 400),
        // The upstream has other plans.
        ("GET", "/w/w/session", LISTED, &websocket, 200),
        ("GET", "/w/w/session/broken", LISTED, &websocket, 502),
        ("GET", "/w/w/session", STRANGER, &h2c, 403),
        ("GET", "/w/w/session", LISTED, &h2c, 200),
        ("GET", "/w/w/assets/a.js", LISTED, &h2c, 200),
        ("GET", "/w/w/session", STRANGER, &alone, 403),
        ("GET", "/w/w/session", LISTED, &alone, 200),
        ("OPTIONS", "/w/w/session", STRANGER, &websocket, 403),
        ("POST", "/w/w/session", LISTED, &websocket, 200),
    ] {
        let told = format!("{method} {path} {origin} {upgrade:?}");
        let fields = [&[("Origin", origin)], upgrade].concat();
        let before = count.load(Ordering::Relaxed);
        let mut connection = Connection::open(edge.http).await;
        let answer = connection.ask(request(method, edge.http, path, &fields) + smuggled.as_str()).await;
        assert_eq!((answer.status, answer.field("connection")), (status, "close"), "{told}");
        assert!(connection.is_closed().await, "{told}");
        let asked = count.load(Ordering::Relaxed) - before;
        assert!(asked <= usize::from(matches!(status, 200 | 502)), "{told}: {asked} requests");
    }
    let edge = Edge::start(EdgeSpec::on(ports::free(), &one_widget())).await;
    let fields = [&[("Origin", LISTED)], &websocket[..]].concat();
    let mut connection = Connection::open(edge.http).await;
    let answer = connection.ask(request("GET", edge.http, "/w/w/session", &fields) + smuggled.as_str()).await;
    assert_eq!((answer.status, answer.field("connection")), (502, "close"));
    assert!(connection.is_closed().await);
}

/// A body that nobody wants is read to its end, or its connection ends (CL.0; CVE-2025-4366 for answers from memory).
#[tokio::test]
async fn an_unwanted_body_is_never_a_request() {
    let (upstream, count) = counting().await;
    let edge = Edge::start(EdgeSpec::on(upstream.addr, &one_widget())).await;
    let inside = session(&edge, "GET", "X-Smuggled: 1\r\n");
    let asset = ("/w/w/assets/a.js", LISTED);
    let first = Connection::open(edge.http)
        .await
        .ask(request("GET", edge.http, asset.0, &[("Origin", LISTED)]))
        .await;
    assert_eq!((first.status, count.load(Ordering::Relaxed)), (200, 1));
    let preflight = "Access-Control-Request-Method: POST\r\n";
    for (method, (path, origin), more, status) in [
        // In memory already: a GET with a body is another question, which goes on.
        ("GET", asset, "", 200),
        ("HEAD", asset, "", 200),
        ("GET", ("/w/w/session", STRANGER), "", 403),
        ("POST", ("/w/w/session", STRANGER), "", 403),
        ("HEAD", ("/w/w/session", STRANGER), "", 403),
        ("GET", ("/w/w/loader.js", STRANGER), "Sec-Fetch-Dest: script\r\n", 200),
        ("OPTIONS", ("/w/w/session", LISTED), preflight, 204),
        ("OPTIONS", ("/w/w/session", STRANGER), preflight, 204),
        ("POST", ("/w/w/session/_ticket", STRANGER), "", 403),
        ("GET", ("/nowhere", LISTED), "", 404),
        ("GET", ("/w/w//session", LISTED), "", 400),
        ("DELETE", ("/w/nobody/session", LISTED), "", 403),
        ("TRACE", ("/w/w/session", LISTED), "", 405),
        ("PUT", ("/w/w/session", LISTED), "", 200),
    ] {
        let length = inside.len();
        for (framing, body) in [
            (format!("Content-Length: {length}"), inside.clone()),
            ("Transfer-Encoding: chunked".to_owned(), format!("{length:x}\r\n{inside}\r\n0\r\n\r\n")),
            (format!("Content-Length: {length}\r\nExpect: 100-continue"), inside.clone()),
        ] {
            let told = format!("{method} {path} {origin} {framing}");
            let head = format!(
                "{method} {path} HTTP/1.1\r\nHost: {}\r\nOrigin: {origin}\r\n{more}{framing}\r\n\r\n",
                edge.http
            );
            let before = count.load(Ordering::Relaxed);
            // At once, and with the body late.
            for late in [false, true] {
                let mut connection = Connection::open(edge.http).await;
                if late {
                    connection.send(&head).await;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    connection.send(&body).await;
                } else {
                    connection.send(head.clone() + body.as_str()).await;
                }
                let answer = final_head(&mut connection, method).await;
                assert_eq!(answer.status, status, "{told}");
                if answer.field("connection") == "close" {
                    assert!(connection.is_closed().await, "{told}");
                } else {
                    let next = request("GET", edge.http, "/w/w/trust", &[("X-Next", "1")]);
                    assert_eq!(connection.ask(next).await.status, 200, "{told}");
                }
            }
            let asked = count.load(Ordering::Relaxed) - before;
            assert!(asked <= 4, "{told}: {asked} requests");
        }
    }
    let is_smuggled =
        |line: &Value| line["method"] == "GET" && line["class"] == "session" && line["verdict"] == "allow";
    assert!(!edge.decisions().iter().any(is_smuggled));
}

/// The final answer, without its body where its request is a `HEAD`.
async fn final_head(connection: &mut Connection<TcpStream>, method: &str) -> Answer {
    loop {
        let answer = if method == "HEAD" { connection.head().await } else { connection.answer().await };
        if answer.status >= 200 {
            return answer;
        }
    }
}
