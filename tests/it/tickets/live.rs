//! Sessions that rest on a ticket obey the rules of the moment, and outlive the ticket.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::json;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use super::{SESSION, SITE, call, given, own, renew, save, session, spec, ticket};
use crate::support::edge::Edge;
use crate::support::eventually;
use crate::support::raw::Connection;
use crate::support::streams::StreamUpstream;
use crate::support::websocket::{SOON, Socket, SocketUpstream, closed, exchange, next, open_offering};

async fn opened(edge: &Edge, ticket: &str) -> Socket {
    let offered = format!("embed-ticket.{ticket}");
    let (mut socket, _) = open_offering(edge.http, SESSION, &own(edge), &offered).await.unwrap();
    assert_eq!(next(&mut socket).await, Message::text("hello"));
    socket
}

#[tokio::test]
async fn a_removed_page_ends_what_its_ticket_opened() {
    let upstream = SocketUpstream::echo().await;
    let edge = Edge::start(spec(upstream.addr)).await;
    save(&edge, &json!(["a.example", "b.example"])).await;
    let held = given(&call(&edge, "w", &[("Origin", SITE)]).await);
    let mut a = opened(&edge, &held).await;
    let mut b = opened(&edge, &ticket(&edge, "w", "https://b.example", 60)).await;
    exchange(&mut a, "before").await;

    save(&edge, &json!(["b.example"])).await;
    assert_eq!(closed(&mut a).await, (1008, "origin no longer allowed".to_owned()));
    assert!(timeout(SOON, a.next()).await.unwrap().is_none(), "then the connection ends");
    exchange(&mut b, "after").await;
    assert_eq!(edge.metric("embedgate_sessions_revoked_total").await, 1.0);
    assert_eq!(session(&edge, &held).await.status, 403, "good for a minute, and of no use");
    assert_eq!(renew(&edge, "w", &held).await.status, 403);

    save(&edge, &json!(["a.example", "b.example"])).await;
    exchange(&mut opened(&edge, &held).await, "again").await;
}

#[tokio::test]
async fn a_removed_page_ends_its_streams() {
    let upstream = StreamUpstream::start().await;
    let edge = Edge::start(spec(upstream.addr)).await;
    let (own, ticket) = (own(&edge), ticket(&edge, "w", SITE, 60));
    let mut streams = Vec::new();
    // On the edge's own lane, and on the library's.
    for more in ["Accept: */*", "Connection: close"] {
        let request = format!(
            "GET /w/w/session/events HTTP/1.1\r\nHost: localhost\r\nOrigin: {own}\r\n{more}\r\n\
             Authorization: Embed {ticket}\r\n\r\n"
        );
        let mut stream = Connection::open(edge.http).await;
        stream.send(request).await;
        assert_eq!(stream.head().await.status, 200);
        stream.until("data: tick").await.unwrap();
        streams.push(stream);
    }
    save(&edge, &json!(["b.example"])).await;
    for mut stream in streams {
        assert!(!timeout(SOON, stream.rest()).await.unwrap().ends_with("0\r\n\r\n"), "cut, not ended");
    }
    assert_eq!(edge.metric("embedgate_sessions_revoked_total").await, 2.0);
}

#[tokio::test]
async fn its_end_is_not_the_session_s() {
    let upstream = SocketUpstream::echo().await;
    let mut spec = spec(upstream.addr);
    // Its end is a whole second: one second could be over at once.
    spec.more.push_str("[tickets]\nlifetime = \"2s\"\n");
    let edge = Edge::start(spec).await;
    let held = given(&call(&edge, "w", &[("Origin", SITE)]).await);
    let mut socket = opened(&edge, &held).await;
    eventually("the ticket is over", async || {
        tokio::time::sleep(Duration::from_millis(100)).await;
        session(&edge, &held).await.status == 403
    })
    .await;
    exchange(&mut socket, "still here").await;
    // Judged again, by rules that still admit the page.
    save(&edge, &json!(["a.example", "b.example"])).await;
    exchange(&mut socket, "still here").await;
    // And a reconnecting iframe goes on with the old one.
    let fresh = given(&renew(&edge, "w", &held).await);
    exchange(&mut opened(&edge, &fresh).await, "and again").await;
    save(&edge, &json!(["b.example"])).await;
    assert_eq!(closed(&mut socket).await.0, 1008, "the page is remembered, not the ticket");
}
