//! Requests that could be read in two ways, and connections that could be left in two states: what the edge refuses,
//! what it makes one, and that no upstream sees what was refused.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::edge::{Edge, EdgeSpec};
use crate::support::raw::{self, Connection};
use crate::support::upstream::{Scripted, Upstream, got};

const LISTED: &str = "https://example.com";
const STRANGER: &str = "https://stranger.example";

fn one_widget() -> Value {
    json!([{ "id": "w", "allowed_domains": ["example.com"] }])
}

async fn edge_on(upstream: &Upstream) -> Edge {
    Edge::start(EdgeSpec::on(upstream.addr, &one_widget())).await
}

/// A request to a session, with these lines after its `Host` and `Origin`.
fn session(edge: &Edge, method: &str, lines: &str) -> String {
    format!("{method} /w/w/session HTTP/1.1\r\nHost: {}\r\nOrigin: {LISTED}\r\n{lines}\r\n", edge.http)
}

// ---- refused -------------------------------------------------------------------------------------------------------

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
        "/w/w/x/../session", "/w/w/./session", "/w/w/session/..", "/w/w/%2e%2e/w/session", "/w/w/x/.%2E/session",
        "/w%2fw/session", "/w/w%2Fsession", "/w/w/session%5cx", "/w/w\\session", "/w/w//session", "//w/w/session",
        "/w/w/session%00", "/w/w/session%", "/w/w/session%2", "/w/w/session%zz", "/w/w/sess\u{ef}on", "w/w/session",
        "*", "?a=b",
    ] {
        refused.push(at(path));
    }
    for request in &refused {
        let mut connection = Connection::open(edge.http).await;
        let answer = connection.ask(request).await;
        assert_eq!(answer.status, 400, "{request:?}");
        assert!(connection.is_closed().await, "what follows is anybody's guess: {request:?}");
    }
    assert_eq!(upstream.requests(), 0);
    assert_eq!(edge.decisions(), Vec::<Value>::new(), "refused before they are judged");
}

#[tokio::test]
async fn there_are_limits() {
    let upstream = Upstream::start("app").await;
    let edge = edge_on(&upstream).await;
    let long = |length: usize| session(&edge, "GET", "").replace("session ", &format!("session?{} ", "a".repeat(length)));
    let field = |length: usize| session(&edge, "GET", &format!("X-Long: {}\r\n", "a".repeat(length)));
    let fields = |count: usize| session(&edge, "GET", &"X-Many: a\r\n".repeat(count));
    for (request, status) in [
        (long(8 * 1024 - 14), 200),
        (long(8 * 1024), 414),
        (field(60 * 1024), 200),
        (field(65 * 1024), 431),
        (fields(80), 200),
        (fields(300), 400),
        (session(&edge, "TRACE", ""), 405),
        (format!("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n\r\n", edge.http), 405),
    ] {
        let mut connection = Connection::open(edge.http).await;
        let answer = connection.ask(&request).await;
        assert_eq!(answer.status, status, "{} bytes: {answer:?}", request.len());
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
    let upgrade = |to| [("Origin", LISTED), ("Connection", "Upgrade"), ("Upgrade", to), ("Sec-WebSocket-Version", "13")];
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

// ---- made one ------------------------------------------------------------------------------------------------------

/// An upstream that notes every request head it is sent and answers each with `ok`.
async fn noting() -> (Scripted, Arc<Mutex<Vec<String>>>) {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&heads);
    let upstream = Scripted::start(move |mut connection: Connection<TcpStream>, _| {
        let noted = Arc::clone(&noted);
        async move {
            while let Some(head) = connection.until("\r\n\r\n").await {
                let chunked = head.to_lowercase().contains("transfer-encoding: chunked");
                noted.lock().unwrap().push(head);
                if chunked && connection.until("0\r\n\r\n").await.is_none() {
                    return;
                }
                connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            }
        }
    })
    .await;
    (upstream, heads)
}

#[tokio::test]
async fn a_length_beside_chunks_smuggles_nothing() {
    let (upstream, heads) = noting().await;
    let edge = Edge::start(EdgeSpec::on(upstream.addr, &one_widget())).await;
    let smuggled = session(&edge, "GET", "X-Smuggled: 1\r\n");
    for body in [format!("0\r\n\r\n{smuggled}"), format!("1\r\na\r\n0\r\n\r\n{smuggled}")] {
        let lines = format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n", body.len());
        let mut connection = Connection::open(edge.http).await;
        let answer = connection.ask(session(&edge, "POST", &lines) + body.as_str()).await;
        assert_eq!((answer.status, answer.field("connection")), (200, "close"));
        assert!(connection.is_closed().await, "what follows was a body to somebody");
    }
    let heads = heads.lock().unwrap();
    assert_eq!(heads.len(), 2, "{heads:?}");
    for head in heads.iter().map(|head| head.to_lowercase()) {
        assert!(!head.contains("content-length") && !head.contains("x-smuggled"), "{head}");
    }
}

#[tokio::test]
async fn broken_chunks_end_the_request_and_the_connection() {
    let (upstream, heads) = noting().await;
    let edge = Edge::start(EdgeSpec::on(upstream.addr, &one_widget())).await;
    let smuggled = session(&edge, "GET", "X-Smuggled: 1\r\n");
    for chunks in [
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "-1\r\n\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\n\r\n",
    ] {
        let request = session(&edge, "POST", "Transfer-Encoding: chunked\r\n") + chunks + smuggled.as_str();
        let answer = String::from_utf8(raw::exchange(edge.http, request.as_bytes()).await).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400") && !answer.contains(" 200 OK"), "{chunks:?}: {answer}");
    }
    let heads = heads.lock().unwrap();
    assert!(!heads.iter().any(|head| head.to_lowercase().contains("x-smuggled")), "{heads:?}");
}

#[tokio::test]
async fn a_request_inside_a_denied_body_is_a_body() {
    let (upstream, heads) = noting().await;
    let edge = Edge::start(EdgeSpec::on(upstream.addr, &one_widget())).await;
    let inside = session(&edge, "GET", "X-Smuggled: 1\r\n");
    let denied = format!(
        "POST /w/w/session HTTP/1.1\r\nHost: {}\r\nOrigin: {STRANGER}\r\nContent-Length: {}\r\n\r\n{inside}",
        edge.http,
        inside.len()
    );
    let mut connection = Connection::open(edge.http).await;
    assert_eq!(connection.ask(denied).await.status, 403);
    assert_eq!(connection.ask(session(&edge, "GET", "X-Open: 1\r\n")).await.body, "ok");
    let heads = heads.lock().unwrap();
    assert_eq!(heads.len(), 1, "{heads:?}");
    assert!(heads[0].to_lowercase().contains("x-open: 1"), "{heads:?}");
}

#[tokio::test]
async fn old_clients_are_served_in_their_own_version() {
    let upstream = Scripted::start(|mut connection, _| async move {
        while let Some((head, _)) = connection.request().await {
            let body = if head.contains("/chunks") {
                "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
            } else {
                "Content-Length: 2\r\n\r\nok"
            };
            connection.send(format!("HTTP/1.1 200 OK\r\n{body}")).await;
        }
    })
    .await;
    let edge = Edge::start(EdgeSpec::on(upstream.addr, &one_widget())).await;
    for path in ["/w/w/session/length", "/w/w/session/chunks"] {
        let mut connection = Connection::open(edge.http).await;
        connection.send(format!("GET {path} HTTP/1.0\r\nOrigin: {LISTED}\r\n\r\n")).await;
        let head = connection.head().await;
        assert_eq!((head.status, head.field("connection")), (200, "close"), "{path}");
        assert_eq!(head.field("transfer-encoding"), "", "{path}: HTTP/1.0 knows no chunks");
        assert_eq!(connection.rest().await, "ok", "{path}");
    }
}

// ---- connections ---------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_connection_outlives_what_the_edge_answers_itself() {
    let upstream = Upstream::start("app").await;
    let edge = edge_on(&upstream).await;
    let mut connection = Connection::open(edge.http).await;
    let preflight = ("Access-Control-Request-Method", "POST");
    for (method, path, fields, status) in [
        ("GET", "/w/w/session", &[("Origin", STRANGER)][..], 403),
        ("GET", "/w/w/loader.js", &[("Origin", STRANGER), ("Sec-Fetch-Dest", "script")], 200),
        ("GET", "/w/w/frame", &[("Referer", STRANGER), ("Sec-Fetch-Dest", "iframe")], 403),
        ("GET", "/w/nobody/trust", &[], 404),
        ("GET", "/nowhere", &[], 404),
        ("OPTIONS", "/w/w/session", &[("Origin", LISTED), preflight], 204),
        ("OPTIONS", "/w/w/session", &[("Origin", STRANGER), preflight], 204),
        ("GET", "/w/w/session", &[("Origin", LISTED)], 200),
    ] {
        let answer = connection.ask(raw::request(method, edge.http, path, fields)).await;
        assert_eq!((answer.status, answer.field("connection")), (status, "keep-alive"), "{method} {path} {fields:?}");
    }
    assert_eq!(upstream.requests(), 1);
}

#[tokio::test]
async fn requests_sent_without_waiting_are_answered_in_order() {
    let upstream = Upstream::start("app").await;
    let edge = edge_on(&upstream).await;
    let get = |path: &str, origin| raw::request("GET", edge.http, path, &[("Origin", origin)]);
    let all = [
        get("/w/w/session/1", STRANGER),
        get("/w/w/session/2", LISTED),
        get("/nowhere", LISTED),
        get("/w/w/session/4", LISTED),
        get("/w/w/session/5", STRANGER),
    ];
    let mut connection = Connection::open(edge.http).await;
    connection.send(all.concat()).await;
    for (n, status) in [403, 200, 404, 200, 403].into_iter().enumerate() {
        let answer = connection.answer().await;
        assert_eq!(answer.status, status, "answer {n}");
        if status == 200 {
            let told: Value = serde_json::from_str(&answer.body).unwrap();
            assert_eq!(told["target"], format!("/w/w/session/{}", n + 1));
        }
    }
    assert_eq!(upstream.requests(), 2);
}

#[tokio::test]
async fn a_second_request_does_not_disturb_the_first() {
    let (release, released) = tokio::sync::watch::channel(false);
    let upstream = Scripted::start(move |mut connection, _| {
        let mut released = released.clone();
        async move {
            while connection.request().await.is_some() {
                released.wait_for(|released| *released).await.unwrap();
                connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            }
        }
    })
    .await;
    let edge = Edge::start(EdgeSpec::on(upstream.addr, &one_widget())).await;
    let mut connection = Connection::open(edge.http).await;
    connection.send(session(&edge, "GET", "")).await;
    crate::support::eventually("the first is under way", async || upstream.connections() == 1).await;
    connection.send(session(&edge, "GET", "")).await;
    // Long enough for the edge to read it; were it not, the test would still hold.
    tokio::time::sleep(Duration::from_millis(50)).await;
    release.send(true).unwrap();
    for n in ["first", "second"] {
        let answer = connection.answer().await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok"), "{n}");
    }
}

#[tokio::test]
async fn a_small_unwanted_body_is_read_and_a_large_one_is_not() {
    let upstream = Upstream::start("app").await;
    let edge = edge_on(&upstream).await;
    let denied = |length: usize| {
        raw::request("POST", edge.http, "/w/w/session", &[
            ("Origin", STRANGER),
            ("Content-Length", &length.to_string()),
        ])
    };
    let mut connection = Connection::open(edge.http).await;
    for length in [0, 1, 64 * 1024] {
        let answer = connection.ask([denied(length).into_bytes(), vec![b'x'; length]].concat()).await;
        assert_eq!((answer.status, answer.field("connection")), (403, "keep-alive"), "{length}");
    }
    // More than socket buffers hold, from a client that sends all it has before it reads: were the connection reset
    // under it, it could lose the answer.
    let chunked = session(&edge, "POST", "Transfer-Encoding: chunked\r\n").replace(LISTED, STRANGER);
    for request in [denied(64 << 20), chunked] {
        let mut stream = TcpStream::connect(edge.http).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let chunk = [b"fff8\r\n".as_slice(), &[b'x'; 0xfff8], b"\r\n"].concat();
        for _ in 0..128 {
            stream.write_all(&chunk).await.expect("no reset");
        }
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("no reset");
        let answer = raw::Answer::parse(&answer).unwrap();
        assert_eq!((answer.status, answer.field("connection")), (403, "close"));
        assert!(answer.body.ends_with('}'), "{answer:?}");
    }
    assert_eq!(upstream.requests(), 0);
}

#[tokio::test]
async fn a_head_has_to_be_complete_in_time() {
    let upstream = Upstream::start("app").await;
    let mut spec = EdgeSpec::on(upstream.addr, &one_widget());
    spec.edge = "header_timeout = \"500ms\"".to_owned();
    let edge = Edge::start(spec).await;
    let started = Instant::now();
    let mut connection = Connection::open(edge.http).await;
    let request = session(&edge, "GET", "X-Filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n");
    connection.send(&request[..10]).await;
    let (mut stream, _) = connection.into_inner();
    // A byte now and then restarts every timeout between two reads, but not the one for the whole head.
    let dripped = async {
        for byte in request[10..].bytes().cycle() {
            if stream.write_all(&[byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), dripped).await.expect("the edge gives up");
    assert!(started.elapsed() >= Duration::from_millis(450), "{:?}", started.elapsed());
    assert_eq!(upstream.requests(), 0);

    let mut silent = Connection::open(edge.http).await;
    assert!(silent.is_closed().await, "one that says nothing at all");

    // Bodies and idle connections have their own time.
    let mut slow = Connection::open(edge.http).await;
    slow.send(session(&edge, "POST", "Content-Length: 3\r\n")).await;
    for byte in ["a", "b", "c"] {
        tokio::time::sleep(Duration::from_millis(250)).await;
        slow.send(byte).await;
    }
    assert_eq!(slow.answer().await.status, 200);
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(slow.ask(session(&edge, "GET", "")).await.status, 200);
}
