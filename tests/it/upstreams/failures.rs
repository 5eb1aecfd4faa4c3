//! Upstreams that fail, and clients that leave.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::{LISTED, ask, assert_failed, failures, spec_on};
use crate::support::edge::Edge;
use crate::support::raw::Connection;
use crate::support::upstream::Scripted;
use crate::support::{eventually, ports, raw};

#[tokio::test]
async fn an_upstream_that_is_not_there_is_a_bad_gateway() {
    let edge = Edge::start(spec_on(&[ports::free()], "")).await;
    assert_failed(&ask(&edge).await, 502);
    failures(&edge, "connect_refused", 1.0).await;
    let frame = raw::get(edge.http, "/w/w/frame", &[("Referer", LISTED)]).await;
    assert_failed(&frame, 502);
    let mut connection = Connection::open(edge.http).await;
    let upload = format!(
        "POST /w/w/session HTTP/1.1\r\nHost: {}\r\nOrigin: {LISTED}\r\nContent-Length: 100000\r\n\r\n{}",
        edge.http,
        "x".repeat(100_000)
    );
    assert_failed(&connection.ask(upload).await, 502);
    assert!(connection.is_closed().await);
}

#[tokio::test]
async fn an_upstream_that_says_nothing_runs_out_of_time() {
    let silent = Scripted::start(|mut connection, _| async move {
        connection.rest().await;
    })
    .await;
    let keys = "read_timeout = \"300ms\"\n\
                [upstreams.secret]\nservers = [\"ADDR\"]\ntls = true\nsni = \"a.example\"\nconnect_timeout = \"300ms\"";
    let mut spec = spec_on(&[silent.addr], &keys.replace("ADDR", &silent.addr.to_string()));
    spec.routes = Some(
        ["app", "secret"]
            .map(|name| {
                format!(
                    "[[routes]]\npath = \"/{{widget}}/{name}\"\nclass = \"session\"\nupstream = \"{name}\"\n"
                )
            })
            .concat(),
    );
    let edge = Edge::start(spec).await;
    for path in ["/w/app", "/w/secret"] {
        let started = Instant::now();
        assert_failed(&raw::get(edge.http, path, &[("Origin", LISTED)]).await, 504);
        assert!(started.elapsed() >= Duration::from_millis(250), "{path}");
    }
    failures(&edge, "read_timeout", 1.0).await;
}

#[tokio::test]
async fn an_upstream_that_talks_nonsense_is_a_bad_gateway() {
    for nonsense in ["SSH-2.0-OpenSSH_9.2\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", ""] {
        let upstream = Scripted::start(move |mut connection, _| async move {
            connection.request().await;
            connection.send(nonsense).await;
        })
        .await;
        let edge = Edge::start(spec_on(&[upstream.addr], "")).await;
        assert_failed(&ask(&edge).await, 502);
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_seen_to() {
    let upstream = Scripted::start(|mut connection, _| async move {
        let (head, _) = connection.request().await.unwrap();
        let framing = if head.contains("/chunks") {
            "Transfer-Encoding: chunked\r\n\r\n4\r\n"
        } else {
            "Content-Length: 8\r\n\r\n"
        };
        connection.send(format!("HTTP/1.1 200 OK\r\n{framing}half")).await;
    })
    .await;
    let edge = Edge::start(spec_on(&[upstream.addr], "")).await;
    for path in ["/w/w/session/length", "/w/w/session/chunks"] {
        let mut connection = Connection::open(edge.http).await;
        connection.send(raw::request("GET", edge.http, path, &[("Origin", LISTED)])).await;
        assert_eq!(connection.head().await.status, 200);
        let rest = connection.rest().await;
        assert!(rest.contains("half") && !rest.ends_with("0\r\n\r\n"), "{path}: {rest:?}");
    }
    failures(&edge, "closed", 2.0).await;
}

#[tokio::test]
async fn a_client_that_leaves_is_not_waited_for() {
    let (ended, mut end) = mpsc::unbounded_channel();
    let upstream = Scripted::start(move |mut connection, _| {
        let ended = ended.clone();
        async move {
            connection.request().await.unwrap();
            connection.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n").await;
            ended.send(connection.is_closed().await).unwrap();
        }
    })
    .await;
    let edge = Edge::start(spec_on(&[upstream.addr], "")).await;
    let mut connection = Connection::open(edge.http).await;
    connection.send(raw::request("GET", edge.http, "/w/w/session", &[("Origin", LISTED)])).await;
    connection.until("data: 1\n\n").await.unwrap();
    drop(connection);
    assert_eq!(end.recv().await, Some(true));
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_is_not_waited_for() {
    let (ended, mut end) = mpsc::unbounded_channel();
    let upstream = Scripted::start(move |mut connection, _| {
        let ended = ended.clone();
        async move {
            connection.request().await.unwrap();
            ended.send(connection.is_closed().await).unwrap();
        }
    })
    .await;
    let edge = Edge::start(spec_on(&[upstream.addr], "")).await;
    let mut connection = Connection::open(edge.http).await;
    connection.send(raw::request("GET", edge.http, "/w/w/assets/a", &[("Origin", LISTED)])).await;
    eventually("it is asked for", async || upstream.connections() == 1).await;
    drop(connection);
    assert_eq!(end.recv().await, Some(true));
}
