//! WebSockets: of a handshake that is refused a page learns nothing, so one too many is accepted, and closed with the reason.

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{A, B, SESSION, STRANGER, SYSTEM, decided, edge_with, from, spec, widget};
use crate::support::edge::Edge;
use crate::support::raw;
use crate::support::tls::EdgeTls;
use crate::support::websocket::{
    SOON, Socket, SocketUpstream, closed, handshake, hears_itself, open, open_offering, open_on,
};

async fn session(edge: &Edge, page: &str) -> Socket {
    super::session(edge, page).await.unwrap()
}

/// One that the edge has accepted is closed for this reason, and its connection ends.
async fn assert_refused<S: AsyncRead + AsyncWrite + Unpin>(mut socket: Socket<S>, reason: &str) {
    assert_eq!(closed(&mut socket).await, (1013, reason.to_owned()));
    assert!(timeout(SOON, socket.next()).await.unwrap().is_none(), "then the connection ends");
}

#[tokio::test]
async fn one_too_many_is_closed_with_the_reason() {
    let upstream = SocketUpstream::echo().await;
    let edge = edge_with(upstream.addr, &json!({ "widget": { "opens_per_minute": 2 } })).await;
    let mut sockets = [session(&edge, A).await, session(&edge, B).await];
    for _ in 0..3 {
        let (refused, _) = open(edge.http, SESSION, A).await.unwrap();
        assert_refused(refused, "limit_opens").await;
    }
    assert_eq!(upstream.heads().len(), 2, "nothing has reached the upstream");
    for socket in &mut sockets {
        crate::support::websocket::exchange(socket, "still here").await;
    }
    assert_eq!(edge.metric("embedgate_sessions_open").await, 2.0);
    assert_eq!(decided(&edge, "deny", "limit_opens").await, 3.0);
    let denied: Vec<Value> =
        edge.decisions().into_iter().filter(|line| line["reason"] == "limit_opens").collect();
    assert_eq!(denied.len(), 3, "one line each");
    let requests = edge.requests();
    for line in &denied {
        let of_it: Vec<_> =
            requests.iter().filter(|request| request["decision_id"] == line["decision_id"]).collect();
        assert_eq!(of_it.len(), 1, "{of_it:?}");
        assert_eq!((&of_it[0]["status"], &of_it[0]["widget"]), (&json!(101), &json!("w")));
        let path = format!("/v1/decisions/{}", line["decision_id"].as_str().unwrap());
        let found: Value = edge.admin(&path).await.json().await.unwrap();
        assert_eq!(found["decision"]["judged"]["reason"], "limit_opens", "{found}");
    }
}

#[tokio::test]
async fn it_is_the_same_over_tls() {
    let upstream = SocketUpstream::echo().await;
    let tls = EdgeTls::of("widgets.example");
    let mut spec = spec(upstream.addr, &json!([widget(&json!({ "widget": { "sessions": 1 } }))]));
    tls.add_to(&mut spec);
    let _edge = Edge::start(spec).await;
    let url = format!("wss://widgets.example{SESSION}");
    let (mut socket, _) = open_on(tls.http1().await, &url, A).await.unwrap();
    hears_itself(&mut socket).await;
    let (refused, _) = open_on(tls.http1().await, &url, A).await.unwrap();
    assert_refused(refused, "limit_sessions").await;
    assert_eq!(upstream.heads().len(), 1);
}

#[tokio::test]
async fn it_names_a_subprotocol_that_was_offered() {
    let upstream = SocketUpstream::echo().await;
    let edge = edge_with(upstream.addr, &json!({ "widget": { "sessions": 1 } })).await;
    let _socket = session(&edge, A).await;
    for (offered, named) in [
        ("chat, superchat", "chat"),
        ("embed-ticket.a.b, chat", "chat"),
        ("embed-ticket.a.b", "embed-ticket.a.b"),
    ] {
        let (refused, answer) = open_offering(edge.http, SESSION, A, offered).await.unwrap();
        assert_eq!(answer.headers()["sec-websocket-protocol"], named, "{offered}");
        assert_refused(refused, "limit_sessions").await;
    }
    let (_, answer) = open(edge.http, SESSION, A).await.unwrap();
    assert!(!answer.headers().contains_key("sec-websocket-protocol"), "none was offered");
    for absent in ["content-length", "transfer-encoding", "sec-websocket-extensions"] {
        assert!(!answer.headers().contains_key(absent), "{answer:?}");
    }
}

/// Nobody can accept such a handshake. One that a limit admits is the upstream's to refuse, as ever; one that is too many
/// counts like any, because an upstream might accept it.
#[tokio::test]
async fn a_handshake_that_is_none_is_refused_over_http() {
    let upstream = SocketUpstream::start(|mut asked| async move {
        let answer = b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut asked.stream, answer).await.unwrap();
    })
    .await;
    let edge = edge_with(upstream.addr, &json!({ "widget": { "opens_per_minute": 2 } })).await;
    let whole = handshake(SESSION, A, "");
    let without_key = whole.replace("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "");
    let old = whole.replace("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8");
    assert!(without_key != whole && old != whole);
    for malformed in [&without_key, &old] {
        assert_eq!(raw::send(edge.http, malformed.as_bytes()).await.status, 426, "{malformed}");
    }
    for malformed in [&without_key, &old] {
        let refused = raw::send(edge.http, malformed.as_bytes()).await;
        assert_eq!((refused.status, refused.field("access-control-allow-origin")), (429, A), "{malformed}");
        assert!(refused.body.contains("\"code\":\"limit_opens\""), "{refused:?}");
    }
    assert_eq!(upstream.heads().len(), 2);
}

#[tokio::test]
async fn the_bytes_are_a_handshake_and_one_frame() {
    let upstream = SocketUpstream::echo().await;
    let edge = edge_with(upstream.addr, &json!({ "address": { "sessions": 1 } })).await;
    let _socket = session(&edge, A).await;
    let bytes = raw::exchange(edge.http, handshake(SESSION, A, "").as_bytes()).await;
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let answer = raw::Answer::parse(&bytes).unwrap();
    assert_eq!(answer.status, 101);
    for (name, value) in [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
    ] {
        assert_eq!(answer.field(name), value, "{answer:?}");
    }
    assert_eq!(&bytes[end..], b"\x88\x10\x03\xf5limit_sessions", "Close 1013, not masked, and nothing more");
}

#[tokio::test]
async fn strangers_and_previews_use_nothing_up() {
    let upstream = SocketUpstream::echo().await;
    let limits = json!({ "widget": { "opens_per_minute": 1, "sessions": 1 } });
    let edge = edge_with(upstream.addr, &limits).await;
    for _ in 0..3 {
        assert!(open(edge.http, SESSION, STRANGER).await.is_err());
    }
    let mut previews = Vec::new();
    for _ in 0..3 {
        previews.push(session(&edge, SYSTEM).await);
    }
    let _socket = session(&edge, A).await;
    let (refused, _) = open(edge.http, SESSION, A).await.unwrap();
    // Of the two limits, the one that refuses for longer is told.
    assert_refused(refused, "limit_opens").await;
    previews.push(session(&edge, SYSTEM).await);
}

#[tokio::test]
async fn each_address_has_sessions_of_its_own() {
    let upstream = SocketUpstream::echo().await;
    let edge = edge_with(upstream.addr, &json!({ "address": { "sessions": 1 } })).await;
    let url = format!("ws://{}{SESSION}", edge.http);
    let mut sockets: Vec<Socket<TcpStream>> = Vec::new();
    for address in [[127, 0, 0, 1], [127, 0, 0, 2]] {
        let (mut socket, _) = open_on(from(address, &edge).await, &url, A).await.unwrap();
        hears_itself(&mut socket).await;
        sockets.push(socket);
        let (refused, _) = open_on(from(address, &edge).await, &url, A).await.unwrap();
        assert_refused(refused, "limit_sessions").await;
    }
}
