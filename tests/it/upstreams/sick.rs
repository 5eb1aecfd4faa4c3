//! Sick servers: they lose their share of the requests, and get it back when they are well.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::{LISTED, OK, ask, assert_failed, failures, named, spec_on};
use crate::support::edge::Edge;
use crate::support::raw::{self, Connection};
use crate::support::upstream::Scripted;
use crate::support::{eventually, ports};

const SOON: &str = "read_timeout = \"250ms\"\nconnect_timeout = \"250ms\"";

/// A server that is sick, for as long as this is kept.
enum Sick {
    Scripted(Scripted),
    /// Nothing listens there.
    Gone(SocketAddr),
    /// Its queue is full, so that connections to it are never opened.
    Full {
        listener: TcpListener,
        _waiting: Vec<TcpStream>,
    },
}

impl Sick {
    const KINDS: [&str; 7] =
        ["hangs", "closes at once", "closes", "is gone", "half a head", "half a head, then hangs", "is full"];

    async fn start(kind: &str) -> Self {
        let told = match kind {
            "is gone" => return Self::Gone(ports::free()),
            "is full" => return Self::full().await,
            "half a head" | "half a head, then hangs" => "HTTP/1.1 200 OK\r\nContent-Le",
            _ => "",
        };
        let (at_once, hangs) = (kind == "closes at once", kind.ends_with("hangs"));
        let script = move |mut connection: Connection<TcpStream>, _| async move {
            if at_once || connection.request().await.is_none() {
                return;
            }
            connection.send(told).await;
            if hangs {
                std::future::pending::<()>().await;
            }
        };
        Self::Scripted(Scripted::start(script).await)
    }

    async fn full() -> Self {
        let addr = ports::free();
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(addr).unwrap();
        let listener = socket.listen(1).unwrap();
        let mut waiting = Vec::new();
        while let Ok(connected) =
            tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(addr)).await
        {
            waiting.push(connected.unwrap());
        }
        Self::Full { listener, _waiting: waiting }
    }

    fn addr(&self) -> SocketAddr {
        match self {
            Self::Scripted(server) => server.addr,
            Self::Gone(addr) => *addr,
            Self::Full { listener, .. } => listener.local_addr().unwrap(),
        }
    }
}

/// The answers to so many requests, one after the other.
async fn answers(edge: &Edge, method: &str, count: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for n in 0..count {
        let mut fields = vec![("Origin", LISTED)];
        if method == "POST" {
            fields.push(("Content-Length", "4"));
        }
        let body = if method == "POST" { "body" } else { "" };
        let request = raw::request(method, edge.http, &format!("/w/w/session/{n}"), &fields) + body;
        statuses.push(Connection::open(edge.http).await.ask(request).await.status);
    }
    statuses
}

async fn is_healthy(edge: &Edge, server: SocketAddr) -> bool {
    let line = format!("embedgate_upstream_healthy{{server=\"{server}\",upstream=\"app\"}}");
    let text = edge.admin("/metrics").await.text().await.unwrap();
    let told = text.lines().find_map(|told| told.strip_prefix(&line)).unwrap_or_else(|| panic!("{text}"));
    told.trim() == "1"
}

#[tokio::test]
async fn a_sick_server_costs_no_request_that_may_be_repeated() {
    for kind in Sick::KINDS {
        let (sick, well) = (Sick::start(kind).await, named("well").await);
        let edge = Edge::start(spec_on(&[sick.addr(), well.addr], SOON)).await;
        assert!(is_healthy(&edge, sick.addr()).await && is_healthy(&edge, well.addr).await);
        for _ in 0..15 {
            for method in ["GET", "PUT", "OPTIONS", "DELETE"] {
                assert_eq!(answers(&edge, method, 1).await, [200], "{kind}: {method}");
            }
        }
        assert!(!is_healthy(&edge, sick.addr()).await, "{kind}");
        assert!(is_healthy(&edge, well.addr).await, "{kind}");
    }
}

#[tokio::test]
async fn a_sick_server_costs_one_request_that_may_not_be_repeated() {
    for kind in Sick::KINDS {
        let (sick, well) = (Sick::start(kind).await, named("well").await);
        let edge = Edge::start(spec_on(&[sick.addr(), well.addr], SOON)).await;
        let failed = answers(&edge, "POST", 60).await.into_iter().filter(|status| *status != 200).count();
        // Where no connection can be opened, nothing was sent, and another server is asked.
        let most = usize::from(!matches!(kind, "is gone" | "is full"));
        assert!(failed <= most, "{kind}: {failed} of 60");
    }
}

#[tokio::test]
async fn a_server_that_hangs_is_waited_for_once() {
    let hang = || async {
        Scripted::start(|mut connection, _| async move {
            connection.request().await;
            std::future::pending::<()>().await;
        })
        .await
    };
    let (a, b, c) = (hang().await, hang().await, hang().await);
    let edge = Edge::start(spec_on(&[a.addr, b.addr, c.addr], SOON)).await;
    for (path, tries) in [("/w/w/session", 2), ("/w/w/session/again", 4)] {
        let started = Instant::now();
        let request = raw::request("GET", edge.http, path, &[("Origin", LISTED)]);
        assert_failed(&Connection::open(edge.http).await.ask(request).await, 504);
        let took = started.elapsed();
        assert!(took >= Duration::from_millis(490) && took < Duration::from_secs(2), "{took:?}");
        assert_eq!(a.connections() + b.connections() + c.connections(), tries);
        failures(&edge, "read_timeout", tries as f64).await;
    }
}

/// A server that fails for as long as `is_sick` says so.
async fn moody(is_sick: &Arc<AtomicBool>) -> Scripted {
    let is_sick = Arc::clone(is_sick);
    Scripted::start(move |mut connection, _| {
        let is_sick = Arc::clone(&is_sick);
        async move {
            if connection.request().await.is_some() && !is_sick.load(Ordering::SeqCst) {
                let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nmoody";
                connection.send(answer).await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_server_is_back_as_soon_as_one_request_is_answered() {
    let is_sick = Arc::new(AtomicBool::new(true));
    let (moody, well) = (moody(&is_sick).await, named("well").await);
    let edge = Edge::start(spec_on(&[moody.addr, well.addr], SOON)).await;
    assert_eq!(answers(&edge, "GET", 10).await, [200; 10]);
    assert!(!is_healthy(&edge, moody.addr).await);
    let before = moody.connections();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    // One request tries the server, and is answered by the other one.
    let asked = join_all((0..20).map(|_| ask(&edge))).await;
    assert!(asked.iter().all(|answer| answer.body == "well"), "{asked:?}");
    assert_eq!(moody.connections(), before + 1);

    is_sick.store(false, Ordering::SeqCst);
    eventually("the server is back", async || ask(&edge).await.body == "moody").await;
    assert!(is_healthy(&edge, moody.addr).await);
    let answers = [ask(&edge).await, ask(&edge).await, ask(&edge).await, ask(&edge).await];
    assert_eq!(answers.iter().filter(|answer| answer.body == "moody").count(), 2, "it has its share again");

    let log = edge.log();
    for line in ["server taken out", "server is back"] {
        let told: Vec<&str> = log.lines().filter(|told| told.contains(line)).collect();
        assert_eq!(told.len(), 1, "{line}: {log}");
        for part in ["upstream=app", &format!("server={:?}", moody.addr.to_string())] {
            assert!(told[0].contains(part), "{part}: {}", told[0]);
        }
    }
}

#[tokio::test]
async fn a_server_that_fails_some_requests_is_not_taken_out() {
    let picky = || async {
        Scripted::start(|mut connection, _| async move {
            while let Some((head, _)) = connection.request().await {
                if head.contains("/bad ") {
                    return;
                }
                connection.send(OK).await;
            }
        })
        .await
    };
    let (a, b) = (picky().await, picky().await);
    let edge = Edge::start(spec_on(&[a.addr, b.addr], SOON)).await;
    for _ in 0..10 {
        // Both fail it, on a kept connection or a new one.
        let bad = raw::get(edge.http, "/w/w/session/bad", &[("Origin", LISTED)]).await;
        assert_failed(&bad, 502);
        assert_eq!(answers(&edge, "GET", 4).await, [200; 4]);
    }
    assert!(is_healthy(&edge, a.addr).await && is_healthy(&edge, b.addr).await);
    assert!(!edge.log().contains("taken out"), "{}", edge.log());
}

#[tokio::test]
async fn with_all_servers_out_they_are_tried_all_the_same() {
    let addresses = [ports::free(), ports::free()];
    let edge = Edge::start(spec_on(&addresses, SOON)).await;
    for method in ["GET", "POST"] {
        assert_eq!(answers(&edge, method, 10).await, [502; 10]);
    }
    assert!(!is_healthy(&edge, addresses[0]).await && !is_healthy(&edge, addresses[1]).await);
    failures(&edge, "connect_refused", 40.0).await;
    let serve = |addr| {
        Scripted::at(addr, |mut connection, _| async move {
            while connection.request().await.is_some() {
                connection.send(OK).await;
            }
        })
    };
    let _servers = (serve(addresses[0]).await, serve(addresses[1]).await);
    for method in ["POST", "GET"] {
        assert_eq!(answers(&edge, method, 4).await, [200; 4], "at once");
    }
    eventually("both are back", async || {
        ask(&edge).await.status == 200
            && is_healthy(&edge, addresses[0]).await
            && is_healthy(&edge, addresses[1]).await
    })
    .await;
}

#[tokio::test]
async fn clients_that_leave_are_not_the_servers_fault() {
    let slow = Scripted::start(|mut connection, _| async move {
        connection.request().await;
        connection.is_closed().await;
    })
    .await;
    let edge = Edge::start(spec_on(&[slow.addr], "")).await;
    for n in 1..=5 {
        let mut connection = Connection::open(edge.http).await;
        connection.send(raw::request("GET", edge.http, "/w/w/session", &[("Origin", LISTED)])).await;
        eventually("it is asked", async || slow.connections() == n).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(is_healthy(&edge, slow.addr).await);
    assert!(!edge.log().contains("taken out"));
}

#[tokio::test]
async fn answers_are_timed_by_upstream() {
    let (sick, well) = (Sick::start("hangs").await, named("well").await);
    let edge = Edge::start(spec_on(&[sick.addr(), well.addr], SOON)).await;
    assert_eq!(answers(&edge, "GET", 4).await, [200; 4]);
    let of = |part: &str| format!("embedgate_upstream_duration_seconds_{part}{{upstream=\"app\"}}");
    assert_eq!(edge.metric(&of("count")).await, 4.0);
    let sum = edge.metric(&of("sum")).await;
    assert!(sum >= 0.24, "the time at the server that failed counts: {sum}");
}
