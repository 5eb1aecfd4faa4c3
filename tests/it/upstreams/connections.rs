//! Reuse, repetition and streams.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use super::{LISTED, OK, ask, assert_failed, assert_few_refused, failures, named, spec_on};
use crate::support::edge::Edge;
use crate::support::raw::{self, Connection};
use crate::support::upstream::Scripted;
use crate::support::{eventually, ports};

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
    let (upstream, broken) = Scripted::breaking(OK).await;
    let mut spec = spec_on(&[upstream.addr], "");
    // One worker: one pool of connections.
    spec.edge = "workers = 1".to_owned();
    let edge = Edge::start(spec).await;
    let (zero, length, chunks) = (
        ("Content-Length", "0", ""),
        ("Content-Length", "4", "body"),
        ("Transfer-Encoding", "chunked", "4\r\nbody\r\n0\r\n\r\n"),
    );
    for (method, framing, is_repeated) in [
        ("GET", None, true),
        ("OPTIONS", None, true),
        ("POST", None, false),
        ("POST", Some(zero), false),
        ("POST", Some(length), false),
        ("POST", Some(chunks), false),
        ("PUT", Some(length), true),
        ("DELETE", None, true),
        ("GET", Some(length), true),
        ("GET", Some(chunks), true),
    ] {
        // A connection that breaks off at its next request.
        assert_eq!(ask(&edge).await.status, 200);
        let before = broken.load(Ordering::SeqCst);
        let mut fields = vec![("Origin", LISTED)];
        fields.extend(framing.map(|(name, value, _)| (name, value)));
        let body = framing.map(|(.., body)| body).unwrap_or_default();
        let request = raw::request(method, edge.http, "/w/w/session", &fields) + body;
        let answer = Connection::open(edge.http).await.ask(request).await;
        assert_eq!(broken.load(Ordering::SeqCst), before + 1, "{method} {framing:?}");
        if is_repeated {
            assert_eq!(answer.status, 200, "{method} {framing:?}: again, on a new connection");
        } else {
            // What the server did with it is not known.
            assert_failed(&answer, 502);
        }
    }
}

#[tokio::test]
async fn a_connection_that_was_just_closed_costs_no_request() {
    let (upstream, broken) = Scripted::breaking(OK).await;
    let mut spec = spec_on(&[upstream.addr], "");
    // One worker: one pool of connections.
    spec.edge = "workers = 1".to_owned();
    let edge = Edge::start(spec).await;
    for n in 0..5 {
        let answer = ask(&edge).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok"), "{n}");
    }
    assert!(broken.load(Ordering::SeqCst) > 0, "a connection was used again");
    failures(&edge, "closed", 0.0).await;
}

#[tokio::test]
async fn a_new_connection_that_breaks_off_is_not_tried_again() {
    let upstream = Scripted::start(|mut connection, _| async move {
        connection.request().await;
    })
    .await;
    let edge = Edge::start(spec_on(&[upstream.addr], "")).await;
    assert_failed(&ask(&edge).await, 502);
    assert_eq!(upstream.connections(), 1);
    failures(&edge, "closed", 1.0).await;
}

#[tokio::test]
async fn a_server_that_is_not_there_is_passed_over() {
    let upstream = Scripted::answering(OK).await;
    let edge = Edge::start(spec_on(&[ports::free(), upstream.addr, ports::free()], "")).await;
    let mut connection = Connection::open(edge.http).await;
    for n in 0..6 {
        let answer =
            connection.ask(raw::request("GET", edge.http, "/w/w/session", &[("Origin", LISTED)])).await;
        assert_eq!(answer.status, 200, "{n}");
    }
    assert_few_refused(&edge).await;
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

#[tokio::test]
async fn a_client_that_sends_far_ahead_and_leaves_holds_no_stream() {
    let ended = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&ended);
    let upstream = Scripted::start(move |mut connection, _| {
        let told = Arc::clone(&told);
        async move {
            connection.request().await.unwrap();
            connection.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n").await;
            told.store(connection.is_closed().await, Ordering::SeqCst);
        }
    })
    .await;
    let edge = Edge::start(spec_on(&[upstream.addr], "")).await;
    let request = raw::request("GET", edge.http, "/w/w/session/events", &[("Origin", LISTED)]);
    let mut connection = Connection::open(edge.http).await;
    connection.send(&request).await;
    assert_eq!(connection.head().await.status, 200);
    let (mut stream, _) = connection.into_inner();
    // The edge may close before it has taken all of it.
    let _ = stream.write_all(request.repeat(1000).as_bytes()).await;
    drop(stream);
    eventually("the upstream's connection ends", async || ended.load(Ordering::SeqCst)).await;
}
