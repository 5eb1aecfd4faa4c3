//! The admin listener and the one for probes: callers that are slow, many or unknown keep no operator out.

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::edge::{Edge, EdgeSpec, READ_TOKEN, WRITE_TOKEN};
use crate::support::raw::{Answer, Connection};
use crate::support::{eventually, ports};

mod encrypted;
mod full;

/// Time for anything that must not wait.
const AT_ONCE: Duration = Duration::from_secs(2);

/// What the deadlines of ten, thirty and sixty seconds may be late on a busy machine.
const LATE: Duration = Duration::from_secs(6);

/// A way to be slow, and how many seconds it is put up with.
#[derive(Clone, Copy, Debug)]
enum Slow {
    Silent,
    HalfHead,
    DrippedHead,
    Idle,
    NoBody,
    DrippedBody,
    ReadsNothing,
}

const SLOW: [(Slow, u64); 7] = [
    (Slow::Silent, 10),
    (Slow::HalfHead, 10),
    (Slow::DrippedHead, 10),
    (Slow::Idle, 60),
    (Slow::NoBody, 30),
    (Slow::DrippedBody, 30),
    (Slow::ReadsNothing, 30),
];

fn put(addr: SocketAddr, length: usize) -> String {
    format!(
        "PUT /v1/widgets/slow HTTP/1.1\r\nHost: {addr}\r\nAuthorization: Bearer {WRITE_TOKEN}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    )
}

impl Slow {
    /// Is slow in this way until the other side has had enough. Returns what it said at last.
    async fn until_ended<S: AsyncRead + AsyncWrite + Unpin>(self, stream: S, addr: SocketAddr) -> String {
        let mut connection = Connection::over(stream);
        let probe = format!("GET /metrics HTTP/1.1\r\nHost: {addr}\r\n\r\n");
        match self {
            Self::Silent => {}
            Self::HalfHead => connection.send("GET /livez HTTP/1.1\r\nHost: ").await,
            Self::DrippedHead => connection.send("GET /livez HTTP/1.1\r\nX: ").await,
            Self::Idle => assert_eq!(connection.ask(&probe).await.status, 200),
            Self::NoBody => connection.send(put(addr, 1000)).await,
            Self::DrippedBody => connection.send(put(addr, 1000)).await,
            // More than the system takes for somebody who does not read.
            Self::ReadsNothing => connection.send(probe.repeat(2000)).await,
        }
        let (mut stream, _) = connection.into_inner();
        let drips = matches!(self, Self::DrippedHead | Self::DrippedBody);
        let reads = !matches!(self, Self::ReadsNothing);
        let mut said = Vec::new();
        loop {
            let mut chunk = [0; 4096];
            let read = async {
                match reads {
                    true => tokio::io::AsyncReadExt::read(&mut stream, &mut chunk).await,
                    false => std::future::pending().await,
                }
            };
            match timeout(Duration::from_millis(500), read).await {
                Ok(Ok(0) | Err(_)) => break,
                Ok(Ok(read)) => said.extend_from_slice(&chunk[..read]),
                Err(_) if drips => {
                    if stream.write_all(b"x").await.is_err() {
                        break;
                    }
                }
                // A closed connection shows to those who read nothing when they write.
                Err(_) if !reads => {
                    let written = timeout(Duration::from_millis(100), stream.write_all(b"G")).await;
                    if matches!(written, Ok(Err(_))) {
                        break;
                    }
                }
                Err(_) => {}
            }
        }
        String::from_utf8_lossy(&said).into_owned()
    }

    /// Fails unless it is ended in time, and told so where it can be told.
    async fn is_ended<S: AsyncRead + AsyncWrite + Unpin>(self, stream: S, addr: SocketAddr, seconds: u64) {
        let (begun, limit) = (Instant::now(), Duration::from_secs(seconds));
        // It takes a while until the system takes no more.
        let full = Duration::from_secs(if matches!(self, Self::ReadsNothing) { 20 } else { 0 });
        let said = timeout(limit + full + LATE, self.until_ended(stream, addr)).await;
        let said = said.unwrap_or_else(|_| panic!("{self:?} goes on after {limit:?}"));
        let took = begun.elapsed();
        assert!(took + Duration::from_secs(1) > limit, "{self:?} is ended after {took:?}, not {limit:?}");
        if matches!(self, Self::NoBody | Self::DrippedBody) {
            let answer = Answer::parse(said.as_bytes()).unwrap_or_else(|| panic!("{self:?}: {said}"));
            assert_eq!((answer.status, answer.field("connection")), (408, "close"), "{said}");
            assert!(answer.body.contains("\"body_timeout\""), "{said}");
        }
    }
}

async fn stored() -> Edge {
    Edge::start(EdgeSpec::stored(&json!([{ "id": "w", "allowed_domains": ["example.com"] }]))).await
}

/// The number of sockets that the process has.
fn sockets(edge: &Edge) -> usize {
    let open = fs::read_dir(format!("/proc/{}/fd", edge.id())).unwrap();
    let links = open.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
}

async fn silent(addr: SocketAddr, count: usize) -> Vec<TcpStream> {
    let mut silent = Vec::with_capacity(count);
    for _ in 0..count {
        silent.push(TcpStream::connect(addr).await.unwrap());
    }
    silent
}

#[tokio::test]
async fn whoever_is_slow_is_ended_in_time() {
    let probe = ports::free();
    let mut spec = EdgeSpec::stored(&json!([{ "id": "w", "allowed_domains": ["example.com"] }]));
    spec.more = format!("[admin.probe]\nlisten = \"{probe}\"\n");
    let edge = Edge::start(spec).await;
    let before = sockets(&edge);
    let at = |addr: SocketAddr| {
        SLOW.into_iter()
            .filter(move |(slow, _)| addr != probe || !matches!(slow, Slow::NoBody | Slow::DrippedBody))
            .map(move |(slow, seconds)| async move {
                slow.is_ended(TcpStream::connect(addr).await.unwrap(), addr, seconds).await;
            })
    };
    tokio::join!(join_all(at(edge.admin)), join_all(at(probe)));
    eventually("all is given back", async || sockets(&edge) <= before).await;
}

#[tokio::test]
async fn silent_strangers_keep_no_operator_out() {
    let probe = ports::free();
    let mut spec = EdgeSpec::stored(&json!([{ "id": "w", "allowed_domains": ["example.com"] }]));
    spec.more = format!("[admin.probe]\nlisten = \"{probe}\"\n");
    let edge = Edge::start(spec).await;
    let before = sockets(&edge);
    let mut working = Connection::open(edge.admin).await;
    working
        .send(format!(
            "GET /v1/events HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {READ_TOKEN}\r\n\r\n",
            edge.admin
        ))
        .await;
    working.until("event: listening").await.expect("the first event");
    let strangers = (silent(edge.admin, 300).await, silent(probe, 300).await);
    let begun = Instant::now();
    let killed = json!({ "id": "w", "enabled": false, "allowed_domains": ["example.com"] });
    let (status, answer) = timeout(AT_ONCE, edge.put(&killed)).await.expect("a kill switch at once");
    assert_eq!((status, &answer["widget"]["enabled"]), (200, &json!(false)));
    for addr in [edge.admin, probe] {
        let ready = timeout(AT_ONCE, Client::new().get(format!("http://{addr}/readyz")).send()).await;
        assert_eq!(ready.expect("an answer at once").unwrap().status(), 200);
    }
    let deleted = edge.api(Method::DELETE, "/v1/widgets/w").send();
    assert_eq!(timeout(AT_ONCE, deleted).await.expect("a deletion at once").unwrap().status(), 200);
    assert!(begun.elapsed() < Duration::from_secs(8), "before the strangers' own time was over");
    working.until("event: swap").await.expect("whoever is at work stays");
    let most = before + 128 + 64 + 2;
    assert!(sockets(&edge) <= most, "{} sockets, at most {most}", sockets(&edge));
    drop(strangers);
    eventually("the log tells of it", async || edge.log().contains("the admin listener was full")).await;
    assert!(edge.log().matches("was full").count() <= 4, "{}", edge.log());
}

#[tokio::test]
async fn calls_without_a_known_token_are_slow_counted_and_told_once() {
    let edge = stored().await;
    let url = format!("http://{}/v1/status", edge.admin);
    let calls = (0..100).map(async |number: usize| {
        let call = Client::new().get(&url);
        let call = if number < 40 { call } else { call.bearer_auth(format!("secret-guess-{number}")) };
        let begun = Instant::now();
        let status = call.send().await.unwrap().status().as_u16();
        (status, begun.elapsed())
    });
    for (status, took) in join_all(calls).await {
        assert!(status == 401 && took >= Duration::from_millis(100), "{status} after {took:?}");
    }
    assert_eq!(edge.metric("embedgate_admin_unauthorized_total{token=\"missing\"}").await, 40.0);
    assert_eq!(edge.metric("embedgate_admin_unauthorized_total{token=\"unknown\"}").await, 60.0);
    eventually("the log tells of all", async || {
        let log = edge.log();
        let lines = log.lines().filter(|line| line.contains("without a known token"));
        let told =
            lines.filter_map(|line| line.split_once("calls=")?.1.split(' ').next()?.parse::<u32>().ok());
        told.sum::<u32>() == 100
    })
    .await;
    let log = edge.log();
    assert!(log.matches("without a known token").count() <= 3, "{log}");
    assert!(log.contains("peer=\"127.0.0.1:") && !log.contains("secret-guess"), "{log}");
}

#[tokio::test]
async fn a_refused_body_is_not_read() {
    let edge = stored().await;
    let call = |head: &str| format!("POST /v1/batch HTTP/1.1\r\nHost: {}\r\n{head}\r\n", edge.admin);
    let token = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let typed = "Content-Type: application/x-ndjson\r\n";
    for (head, status) in [
        ("Content-Length: 50000000\r\n".to_owned(), 401),
        ("Expect: 100-continue\r\nContent-Length: 50000000\r\n".to_owned(), 401),
        ("Transfer-Encoding: chunked\r\n".to_owned(), 401),
        (format!("{}Content-Length: 50000000\r\n", token("unknown")), 401),
        (format!("{}{typed}Content-Length: 50000000\r\n", token(READ_TOKEN)), 403),
        (format!("{}{typed}Content-Length: 70000000\r\n", token(WRITE_TOKEN)), 413),
        (format!("{}Content-Length: 50000000\r\n", token(WRITE_TOKEN)), 415),
    ] {
        let mut connection = Connection::open(edge.admin).await;
        connection.send(call(&head)).await;
        // Some of it is on its way already.
        connection.send(vec![b'x'; 100_000]).await;
        let answer = connection.answer().await;
        assert_eq!((answer.status, answer.field("connection")), (status, "close"), "{head}");
        assert!(connection.is_closed().await, "{head}");
    }
    // What was read, or has no body, keeps its connection.
    let mut kept = Connection::open(edge.admin).await;
    for _ in 0..2 {
        let refused = kept.ask(format!("GET /v1/status HTTP/1.1\r\nHost: {}\r\n\r\n", edge.admin)).await;
        assert_eq!((refused.status, refused.field("connection")), (401, ""));
        let saved = kept.ask(put(edge.admin, 2) + "{}").await;
        assert_eq!((saved.status, saved.field("connection")), (422, ""), "{saved:?}");
    }
}

#[tokio::test]
async fn large_bodies_take_turns_and_small_calls_do_not_wait() {
    let edge = stored().await;
    let head = |length: &str| {
        format!(
            "POST /v1/batch HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {WRITE_TOKEN}\r\n\
             Content-Type: application/x-ndjson\r\n{length}\r\n\r\n",
            edge.admin
        )
    };
    let large = format!("Content-Length: {}", 60 << 20);
    let mut first = Connection::open(edge.admin).await;
    first.send(head(&format!("{large}\r\nExpect: 100-continue"))).await;
    assert_eq!(first.head().await.status, 100, "its body is read");
    let mut refused = Vec::new();
    for length in [large.as_str(), "Transfer-Encoding: chunked"] {
        let mut second = Connection::open(edge.admin).await;
        second.send(head(length)).await;
        refused.push(second);
    }
    // One that reads nothing before it has sent everything learns of it, too.
    let mut sending = Connection::open(edge.admin).await;
    sending.send(head(&large)).await;
    let sending = tokio::spawn(async move {
        sending.send(vec![b' '; 60 << 20]).await;
        sending.answer().await.status
    });
    let killed = json!({ "id": "w", "enabled": false, "allowed_domains": ["example.com"] });
    assert_eq!(timeout(AT_ONCE, edge.put(&killed)).await.expect("a kill switch at once").0, 200);
    let batch = edge.api(Method::POST, "/v1/batch").header("content-type", "application/x-ndjson");
    let small = timeout(AT_ONCE, batch.body("{\"put\":{\"id\":\"n\",\"access\":\"open\"}}").send()).await;
    assert_eq!(small.expect("a small batch at once").unwrap().status(), 200);
    for mut connection in refused {
        let answer = connection.answer().await;
        let told = (answer.status, answer.field("retry-after"), answer.field("connection"));
        assert_eq!(told, (503, "5", "close"));
        assert!(answer.body.contains("\"too_busy\""), "{answer:?}");
    }
    assert_eq!(sending.await.unwrap(), 503);
    // Whoever leaves gives back what it had.
    drop(first);
    eventually("there is room again", async || {
        let mut next = Connection::open(edge.admin).await;
        next.send(head("Transfer-Encoding: chunked")).await;
        let answer = next.ask("0\r\n\r\n").await;
        answer.status == 200
    })
    .await;
}

#[tokio::test]
async fn readers_of_events_have_a_maximum() {
    let edge = stored().await;
    let open = async || edge.api(Method::GET, "/v1/events").send().await.unwrap();
    let mut readers = Vec::new();
    for _ in 0..100 {
        let reader = open().await;
        assert_eq!(reader.status(), 200);
        readers.push(reader);
    }
    let refused = open().await;
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (503, &"5".parse().unwrap()));
    let problem: Value = refused.json().await.unwrap();
    assert_eq!(problem["code"], "too_many_readers");
    readers.pop();
    eventually("a place is free", async || open().await.status() == 200).await;
}
