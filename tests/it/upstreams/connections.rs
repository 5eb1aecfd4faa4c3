//! Reuse, repetition and streams.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;

use super::{LISTED, OK, ask, assert_failed, named, spec_on};
use crate::support::edge::Edge;
use crate::support::raw;
use crate::support::raw::Connection;
use crate::support::upstream::Scripted;

#[tokio::test]
async fn connections_are_used_again() {
    let upstream = named("app").await;
    let edge = Edge::start(spec_on(&[upstream.addr], "idle_timeout = \"400ms\"")).await;
    for _ in 0..10 {
        assert_eq!(ask(&edge).await.status, 200);
    }
    // Each of two workers may have opened one.
    let kept = upstream.connections();
    assert!(kept <= 2, "{kept} connections for ten requests");
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert_eq!(ask(&edge).await.status, 200);
    assert_eq!(upstream.connections(), kept + 1, "unused connections are not kept for ever");
}

#[tokio::test]
async fn only_what_may_be_repeated_is_sent_twice() {
    let heads = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&heads);
    // Each connection answers once and breaks off at its second request.
    let upstream = Scripted::start(move |mut connection, _| {
        let seen = Arc::clone(&seen);
        async move {
            connection.request().await;
            connection.send(OK).await;
            if connection.request().await.is_some() {
                seen.fetch_add(1, Ordering::SeqCst);
            }
        }
    })
    .await;
    let mut spec = spec_on(&[upstream.addr], "");
    // One worker: one pool of connections.
    spec.edge = "workers = 1".to_owned();
    let edge = Edge::start(spec).await;
    let send = async |method: &str| {
        let fields = [("Origin", LISTED), ("Content-Length", "0")];
        Connection::open(edge.http).await.ask(raw::request(method, edge.http, "/w/w/session", &fields)).await
    };
    assert_eq!(send("GET").await.status, 200);
    assert_failed(&send("POST").await, 502);
    assert_eq!(heads.load(Ordering::SeqCst), 1, "what the server did with it is not known");
    assert_eq!(send("GET").await.status, 200);
    assert_eq!(send("GET").await.status, 200, "again, on a new connection");
    assert_eq!(heads.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn streams_are_passed_on_as_they_come() {
    let (next, upstream_waits) = mpsc::unbounded_channel::<()>();
    let waits = Arc::new(tokio::sync::Mutex::new(upstream_waits));
    let upstream = Scripted::start(move |mut connection, _| {
        let waits = Arc::clone(&waits);
        async move {
            connection.request().await.unwrap();
            connection.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n").await;
            for n in 0..3 {
                connection.send(format!("9\r\ndata: {n}\n\n\r\n")).await;
                // The next one only once this one was seen.
                waits.lock().await.recv().await.unwrap();
            }
            connection.send("0\r\n\r\n").await;
        }
    })
    .await;
    let edge = Edge::start(spec_on(&[upstream.addr], "")).await;
    let mut connection = Connection::open(edge.http).await;
    connection.send(raw::request("GET", edge.http, "/w/w/session/events", &[("Origin", LISTED)])).await;
    let head = connection.head().await;
    assert_eq!((head.status, head.field("content-type")), (200, "text/event-stream"));
    for n in 0..3 {
        connection.until(&format!("data: {n}\n\n")).await.unwrap();
        next.send(()).unwrap();
    }
    connection.until("0\r\n\r\n").await.unwrap();
}
