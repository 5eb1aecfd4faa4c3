//! What becomes of a connection.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{LISTED, STRANGER, edge_on, one_widget, session};
use crate::support::edge::{Edge, EdgeSpec};
use crate::support::eventually;
use crate::support::raw;
use crate::support::raw::Connection;
use crate::support::upstream::{Scripted, Upstream};

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
        assert_eq!(
            (answer.status, answer.field("connection")),
            (status, "keep-alive"),
            "{method} {path} {fields:?}"
        );
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
        raw::request(
            "POST",
            edge.http,
            "/w/w/session",
            &[("Origin", STRANGER), ("Content-Length", &length.to_string())],
        )
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
    let request =
        session(&edge, "GET", "X-Filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n");
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

#[tokio::test]
async fn without_room_for_another_connection_the_edge_waits_for_some() {
    const ROOM: usize = 10;
    let upstream = Upstream::start("app").await;
    let edge = edge_on(&upstream).await;
    let process = format!("/proc/{}", edge.id());
    let ask = async || {
        let mut connection = Connection::open(edge.http).await;
        connection.ask(raw::request("GET", edge.http, "/w/w/session", &[("Origin", STRANGER)])).await.status
    };
    assert_eq!(ask().await, 403);
    let limit = fs::read_dir(format!("{process}/fd")).unwrap().count() + ROOM;
    let limit = ["--pid", &edge.id().to_string(), &format!("--nofile={limit}")].map(str::to_owned);
    assert!(Command::new("prlimit").args(limit).status().unwrap().success());

    let mut clients = Vec::new();
    for _ in 0..ROOM * 3 {
        clients.push(TcpStream::connect(edge.http).await.unwrap());
    }
    let said = "no connection can be accepted";
    eventually("it is said", async || edge.log().contains(said)).await;
    let ticks = || {
        let stat = fs::read_to_string(format!("{process}/stat")).unwrap();
        let after_name = stat.rsplit_once(") ").unwrap().1;
        after_name.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum::<u64>()
    };
    let before = ticks();
    tokio::time::sleep(Duration::from_secs(1)).await;
    // Of 100 a second.
    assert!(ticks() - before < 20, "{} ticks", ticks() - before);
    assert_eq!(edge.log().matches(said).count(), 1, "{}", edge.log());

    drop(clients);
    assert_eq!(ask().await, 403);
}
