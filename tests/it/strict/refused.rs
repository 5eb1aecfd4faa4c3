//! What is refused, and what is judged all the same.

use serde_json::Value;

use super::{LISTED, STRANGER, edge_on, session};
use crate::support::raw;
use crate::support::raw::Connection;
use crate::support::upstream::{Upstream, got};

#[tokio::test]
async fn what_two_servers_could_read_in_two_ways_is_refused() {
    let upstream = Upstream::start("app").await;
    let edge = edge_on(&upstream).await;
    let host = edge.http.to_string();
    let with = |lines: &str| session(&edge, "POST", lines);
    let at = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nOrigin: {LISTED}\r\n\r\n");
    let mut refused = vec![
        // Who is asked.
        format!("GET /w/w/session HTTP/1.1\r\nOrigin: {LISTED}\r\n\r\n"),
        with(&format!("Host: {host}\r\n")),
        with("Host: other.example\r\n"),
        format!("GET /w/w/session HTTP/1.1\r\nHost: a@{host}\r\nOrigin: {LISTED}\r\n\r\n"),
        at("http://other.example/w/w/session"),
        at(&format!("http://a@{host}/w/w/session")),
        at(&format!("http:/\\{host}/w/w/session")),
        at(&format!("ftp://{host}/w/w/session")),
        // Where a message ends.
        with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        with("Transfer-Encoding: gzip, chunked\r\n"),
        with("Transfer-Encoding: chunked, identity\r\n"),
        with("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n"),
        with("Transfer-Encoding: xchunked\r\n"),
        with("Transfer-Encoding:\r\n"),
        with("Transfer-Encoding\r\n : chunked\r\n"),
        with("Transfer-Encoding:\r\n chunked\r\n"),
        with("Transfer-Encoding: chunked, chunked\r\n"),
        with("Transfer-Encoding: ,chunked\r\n"),
        with("Transfer-Encoding: chunked,\r\n"),
        with("Transfer-Encoding: chunked;q=1\r\n"),
        with("Transfer-Encoding: \x0bchunked\r\n"),
        with("Transfer-Encoding: chunked\x0b\r\n"),
        with("Transfer-Encoding: \u{a0}chunked\r\n"),
        with("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"),
        with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
        session(&edge, "GET", "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"),
        with("Content-Length: 4\r\nContent-Length: 4\r\n"),
        with("Content-Length: 4\r\nContent-Length: 5\r\n"),
        with("Content-Length: 4, 4\r\n"),
        with("Content-Length: +4\r\n"),
        with("Content-Length: -4\r\n"),
        with("Content-Length: 0x4\r\n"),
        with("Content-Length:\r\n"),
        with("Content-Length: 99999999999999999999\r\n"),
        format!("POST /w/w/session HTTP/1.0\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n"),
        // Where a line and a name end.
        format!("GET /w/w/session HTTP/1.1\r\nHost: {host}\nOrigin: {LISTED}\r\n\r\n"),
        format!("GET /w/w/session HTTP/1.1\nHost: {host}\nOrigin: {LISTED}\n\n"),
        with("X-Folded: a\r\n b\r\n"),
        with("X-Spaced : a\r\n"),
        with(" X-Led: a\r\n"),
        with("X-Cut: a\rb\r\n"),
        with("X-Nul: a\0b\r\n"),
        with("No colon\r\n"),
        with(": no name\r\n"),
        // What the next hop drops.
        with("Connection: origin\r\n"),
        with("Connection: close, Referer\r\n"),
        with("Connection: keep-alive\r\nConnection: sec-fetch-dest\r\n"),
        with("Connection: Host\r\n"),
        with("Connection: content-length\r\nContent-Length: 0\r\n"),
        with("Connection: x-forwarded-for\r\n"),
        with("Connection: X-Widget-Id, X-Embedder-Origin\r\n"),
        with("Connection: Authorization\r\n"),
        with("Connection: \"Origin\"\r\n"),
        with("Connection: a, b, c, d, e, f, g, h, i, j, k, l\r\n"),
        // Another protocol.
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        format!("GET /w/w/session HTTP/2.0\r\nHost: {host}\r\nOrigin: {LISTED}\r\n\r\n"),
        format!("GET  /w/w/session HTTP/1.1\r\nHost: {host}\r\nOrigin: {LISTED}\r\n\r\n"),
    ];
    for path in [
        "/w/w/x/../session",
        "/w/w/./session",
        "/w/w/session/..",
        "/w/w/%2e%2e/w/session",
        "/w/w/x/.%2E/session",
        "/w%2fw/session",
        "/w/w%2Fsession",
        "/w/w/session%5cx",
        "/w/w\\session",
        "/w/w//session",
        "//w/w/session",
        "/w/w/session%00",
        "/w/w/session%",
        "/w/w/session%2",
        "/w/w/session%zz",
        "/w/w/sess\u{ef}on",
        "w/w/session",
        "*",
        "?a=b",
        // What libraries like to repair.
        "/w/w/ses sion",
        "/w/w/session?a b",
        "/w/w/session\t",
        "\t/w/w/session",
        "/w/w/ses\tsion",
        "/w/w/session?a\tb",
        "/w/w/ses\rsion",
        "/w/w/ses\nsion",
        "/w/w/ses\0sion",
        "/w/w/ses\x01sion",
        "/w/w/ses\x7fsion",
        "/w/w/session?a\x01",
        "/w/w/session?a\x7f",
        "/w/w/session?\u{ef}",
        "/w/w/session#",
        "/w/w/session#a",
        "/w/w/session?a#b",
        "#",
    ] {
        refused.push(at(path));
    }
    for request in &refused {
        let mut connection = Connection::open(edge.http).await;
        let answer = connection.ask(request).await;
        assert_eq!((answer.status, answer.field("server")), (400, ""), "{request:?}");
        assert!(connection.is_closed().await, "what follows is anybody's guess: {request:?}");
    }
    assert_eq!(upstream.requests(), 0);
    assert_eq!(edge.decisions(), Vec::<Value>::new(), "refused before they are judged");
}

#[tokio::test]
async fn there_are_limits() {
    let upstream = Upstream::start("app").await;
    let edge = edge_on(&upstream).await;
    let long = |length: usize| {
        session(&edge, "GET", "").replace("session ", &format!("session?{} ", "a".repeat(length)))
    };
    let field = |length: usize| session(&edge, "GET", &format!("X-Long: {}\r\n", "a".repeat(length)));
    let fields = |count: usize| session(&edge, "GET", &"X-Many: a\r\n".repeat(count));
    for (request, status, told) in [
        (long(8 * 1024 - 14), 200, ""),
        (long(8 * 1024), 414, "target"),
        (long(100 * 1024), 414, "target"),
        (field(60 * 1024), 200, ""),
        (field(65 * 1024), 431, "head"),
        (field(2 * 1024 * 1024), 431, "head"),
        (fields(80), 200, ""),
        (fields(300), 431, "fields"),
        (session(&edge, "TRACE", ""), 405, "TRACE"),
        (format!("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n\r\n", edge.http), 405, "CONNECT"),
        (session(&edge, "POST", "Expect: y 100-continue\r\nContent-Length: 0\r\n"), 417, "Expect"),
    ] {
        let mut connection = Connection::open(edge.http).await;
        let answer = connection.ask(&request).await;
        assert_eq!(answer.status, status, "{} bytes: {answer:?}", request.len());
        // What was wrong is said, and not by whose library.
        let detail = serde_json::from_str::<Value>(&answer.body).unwrap()["detail"].to_string();
        assert!(status == 200 || detail.contains(told), "{answer:?}");
        assert_eq!(answer.field("server"), "");
        if status != 200 {
            assert!(connection.is_closed().await, "{status}");
        }
    }
    assert_eq!(upstream.requests(), 3);
}

#[tokio::test]
async fn websockets_are_for_sessions_and_other_upgrades_for_nobody() {
    let upstream = Upstream::start("app").await;
    let edge = edge_on(&upstream).await;
    let upgrade = |to| {
        [("Origin", LISTED), ("Connection", "Upgrade"), ("Upgrade", to), ("Sec-WebSocket-Version", "13")]
    };
    for path in ["loader.js", "assets/a", "frame", "trust"] {
        let answer = raw::get(edge.http, &format!("/w/w/{path}"), &upgrade("websocket")).await;
        assert_eq!(answer.status, 400, "{path}");
    }
    assert_eq!(upstream.requests(), 0);
    for to in ["h2c", "TLS/1.0, HTTP/1.1", "websocket, h2c"] {
        let answer = raw::get(edge.http, "/w/w/assets/a", &upgrade(to)).await;
        let told: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!((got(&told, "upgrade"), got(&told, "connection")), (None, None), "{to}");
    }
    // Half a handshake is none.
    let halves = [
        session(&edge, "GET", "Upgrade: websocket\r\nConnection: keep-alive\r\n"),
        session(&edge, "POST", "Upgrade: websocket\r\nConnection: Upgrade\r\n"),
    ];
    for half in halves {
        let answer = Connection::open(edge.http).await.ask(half).await;
        let told: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(got(&told, "upgrade"), None, "{told}");
    }
    assert_eq!(raw::get(edge.http, "/nowhere", &upgrade("websocket")).await.status, 404);
}

#[tokio::test]
async fn every_method_is_judged() {
    let upstream = Upstream::start("app").await;
    let edge = edge_on(&upstream).await;
    let mut connection = Connection::open(edge.http).await;
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"] {
        connection.send(raw::request(method, edge.http, "/w/w/session", &[("Origin", STRANGER)])).await;
        let denied = if method == "HEAD" { connection.head().await } else { connection.answer().await };
        assert_eq!(denied.status, 403, "{method}");
    }
    assert_eq!(upstream.requests(), 0);
}
