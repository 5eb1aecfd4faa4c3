//! Sessions that are open at once: what occupies one, and that its end frees it.

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{A, B, SESSION, TOKEN, ask, edge_with, room, save, session, token};
use crate::support::eventually;
use crate::support::raw::{Connection, request};
use crate::support::streams::StreamUpstream;
use crate::support::upstream::Upstream;
use crate::support::websocket::{SocketUpstream, closed, hears_itself, open};

#[tokio::test]
async fn every_end_frees_a_session() {
    let upstream = SocketUpstream::start(|asked| async move {
        let ends = asked.head.contains("/short");
        let mut socket = asked.greet().await;
        if ends {
            return;
        }
        while let Some(Ok(message)) = futures_util::StreamExt::next(&mut socket).await {
            let _ = match message.is_text() {
                true => futures_util::SinkExt::send(&mut socket, message).await,
                false => futures_util::SinkExt::flush(&mut socket).await,
            };
        }
    })
    .await;
    let edge = edge_with(upstream.addr, &json!({ "widget": { "sessions": 1 } })).await;
    let mut socket = session(&edge, A).await.unwrap();
    assert!(session(&edge, A).await.is_none() && session(&edge, B).await.is_none());

    socket.close(None).await.unwrap();
    closed(&mut socket).await;
    let socket = room(&edge, A).await;
    assert!(session(&edge, A).await.is_none());

    drop(socket);
    let mut socket = room(&edge, A).await;
    let (status, _) =
        edge.put(&json!({ "id": "w", "allowed_domains": ["b.example"], "limits": { "widget": { "sessions": 1 } } })).await;
    assert_eq!(status, 200);
    assert_eq!(closed(&mut socket).await.0, 1008);
    save(&edge, &json!({ "widget": { "sessions": 1 } })).await;
    let socket = room(&edge, A).await;

    drop(socket);
    eventually("no session is left", async || edge.metric("embedgate_sessions_open").await == 0.0).await;
    let (mut short, _) = open(edge.http, &format!("{SESSION}/short"), A).await.unwrap();
    while let Ok(Some(Ok(_))) =
        tokio::time::timeout(std::time::Duration::from_secs(10), futures_util::StreamExt::next(&mut short))
            .await
    {}
    let _socket = room(&edge, A).await;
    assert!(session(&edge, A).await.is_none());
}

#[tokio::test]
async fn an_upstream_that_declines_leaves_the_room() {
    let upstream = Upstream::start("app").await;
    let edge = edge_with(upstream.addr, &json!({ "widget": { "sessions": 1 } })).await;
    for _ in 0..3 {
        assert!(open(edge.http, SESSION, A).await.is_err(), "it answers 200");
        eventually("no session is left", async || edge.metric("embedgate_sessions_open").await == 0.0).await;
    }
    assert_eq!(upstream.requests(), 3, "each was asked");
}

#[tokio::test]
async fn a_stream_is_a_session_and_no_open() {
    let upstream = StreamUpstream::start().await;
    let limits = json!({ "widget": { "sessions": 1, "opens_per_minute": 1 } });
    let edge = edge_with(upstream.addr, &limits).await;
    let events = request(
        "GET",
        edge.http,
        &format!("{SESSION}/events"),
        &[("Origin", A), ("Accept", "text/event-stream")],
    );
    for _ in 0..3 {
        let mut stream = Connection::over(TcpStream::connect(edge.http).await.unwrap());
        stream.send(&events).await;
        assert_eq!(stream.head().await.status, 200);
        let refused = Connection::open(edge.http).await.ask(&events).await;
        assert_eq!(refused.status, 429, "{refused:?}");
        assert!(refused.body.contains("\"code\":\"limit_sessions\""), "{refused:?}");
        assert_eq!(refused.field("retry-after").parse::<u32>().unwrap(), 5);
        // Without the field, it is a call like any, until its answer proves to be a stream.
        let mut call = Connection::over(TcpStream::connect(edge.http).await.unwrap());
        call.send(&request("GET", edge.http, &format!("{SESSION}/events"), &[("Origin", A)])).await;
        assert_eq!(call.head().await.status, 200);
        drop(stream);
        eventually("one is left", async || edge.metric("embedgate_sessions_open").await == 1.0).await;
        assert_eq!(Connection::open(edge.http).await.ask(&events).await.status, 429, "it counts now");
        drop(call);
        eventually("no session is left", async || edge.metric("embedgate_sessions_open").await == 0.0).await;
    }
}

#[tokio::test]
async fn a_token_needs_room_for_its_session_and_takes_none() {
    let upstream = SocketUpstream::start(|mut asked| async move {
        if asked.head.starts_with("POST ") {
            asked.stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
            return;
        }
        let mut socket = asked.greet().await;
        while let Some(Ok(message)) = futures_util::StreamExt::next(&mut socket).await {
            let _ = futures_util::SinkExt::send(&mut socket, message).await;
        }
    })
    .await;
    let edge = edge_with(upstream.addr, &json!({ "widget": { "sessions": 1 } })).await;
    for _ in 0..3 {
        assert_eq!(token(&edge, A).await, 200);
    }
    let (mut socket, _) = open(edge.http, SESSION, A).await.unwrap();
    hears_itself(&mut socket).await;
    let refused = ask(&edge, "POST", TOKEN, &[("Origin", A), ("Content-Length", "0")]).await;
    assert_eq!(refused.status, 429);
    assert!(refused.body.contains("\"code\":\"limit_sessions\""), "{refused:?}");
    drop(socket);
    eventually("there is room for a token", async || token(&edge, A).await == 200).await;
}
