//! The direct path and the proxy library's give the same answers, whatever an upstream says. A `GET` that says how
//! long its body is (`Content-Length: 0`) takes the library's.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::{LISTED, OK, assert_failed, failures, spec_on};
use crate::support::edge::Edge;
use crate::support::ports;
use crate::support::raw::{self, Connection};
use crate::support::upstream::Scripted;

/// What follows an answer.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    /// The next request's.
    Keep,
    Close,
}
use Then::{Close, Keep};

/// Answers; what is parted by `|` is sent with time in between.
const ANSWERS: &[(&str, &str, Then)] = &[
    ("length", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nETag: \"x\"\r\n\r\nbody", Keep),
    ("length-zero", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Keep),
    ("length-twice-the-same", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nbody", Keep),
    ("length-twice", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nbody!", Close),
    ("length-negative", "HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\nbody", Close),
    (
        "length-and-chunks",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
        Keep,
    ),
    ("more-than-length", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbodyHTTP/1.1 200 OK\r\n\r\n", Keep),
    (
        "chunks",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nbody\r\n|3\r\n!!!\r\n|0\r\n\r\n",
        Keep,
    ),
    ("chunks-upper", "HTTP/1.1 200 OK\r\nTRANSFER-ENCODING: Chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", Keep),
    ("chunks-none", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Keep),
    (
        "trailers",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n4\r\nbody\r\n0\r\nX-Sum: 1\r\n\r\n",
        Keep,
    ),
    ("chunks-broken", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\nzz\r\n", Close),
    (
        "encoded-twice",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
        Close,
    ),
    ("until-close", "HTTP/1.1 200 OK\r\n\r\nbo|dy", Close),
    ("until-close-nothing", "HTTP/1.1 200 OK\r\n\r\n", Close),
    ("old", "HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nbody", Close),
    ("old-until-close", "HTTP/1.0 200 OK\r\n\r\nbody", Close),
    (
        "interim",
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nServer: x\r\n\r\n|HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody",
        Keep,
    ),
    (
        "interims",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
        Keep,
    ),
    ("no-content", "HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n", Keep),
    ("not-modified", "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 400\r\n\r\n", Keep),
    ("redirect", "HTTP/1.1 302 Found\r\nLocation: /w/w/session/next\r\nContent-Length: 0\r\n\r\n", Keep),
    ("error", "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\noops", Keep),
    (
        "upgrade-required",
        "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n",
        Keep,
    ),
    ("own-reason", "HTTP/1.1 200 As You Wish\r\nContent-Length: 4\r\n\r\nbody", Keep),
    ("no-reason", "HTTP/1.1 200 \r\nContent-Length: 4\r\n\r\nbody", Keep),
    ("own-status", "HTTP/1.1 599 Odd\r\nContent-Length: 4\r\n\r\nbody", Keep),
    ("says-close", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody", Close),
    (
        "hop-by-hop",
        "HTTP/1.1 200 OK\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\nContent-Length: 4\r\n\r\nbody",
        Keep,
    ),
    (
        "stripped",
        "HTTP/1.1 200 OK\r\nServer: x\r\nX-Powered-By: y\r\nAccess-Control-Allow-Origin: *\r\nCDN-Cache-Control: max-age=9\r\nServer-Timing: a, embed-ticket;desc=b\r\nContent-Length: 4\r\n\r\nbody",
        Keep,
    ),
    (
        "fields-twice",
        "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nVary: Accept\r\nContent-Length: 4\r\n\r\nbody",
        Keep,
    ),
    ("field-folded", "HTTP/1.1 200 OK\r\nX-A: one\r\n two\r\nContent-Length: 4\r\n\r\nbody", Keep),
    ("field-bytes", "HTTP/1.1 200 OK\r\nX-A: é\r\nContent-Length: 4\r\n\r\nbody", Keep),
    ("field-spaced", "HTTP/1.1 200 OK\r\nX-A : 1\r\nContent-Length: 4\r\n\r\nbody", Keep),
    ("field-broken", "HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 4\r\n\r\nbody", Close),
    ("head-in-pieces", "HTTP/1.1 2|00 OK\r\nContent-|Length: 4\r\n\r|\nbo|dy", Keep),
    ("short-of-length", "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf", Close),
    ("short-of-chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", Close),
    ("short-of-head", "HTTP/1.1 200 OK\r\nContent-Le", Close),
    ("nothing", "", Close),
    ("nonsense", "SSH-2.0-OpenSSH_9.2\r\n\r\n", Close),
    ("huge-head", "HTTP/1.1 200 OK\r\nX-A: LONG\r\nContent-Length: 4\r\n\r\nbody", Keep),
    (
        "too-huge-head",
        "HTTP/1.1 200 OK\r\nX-A: LONGLONGLONGLONGLONGLONGLONGLONGLONGLONGLONGLONG\r\nContent-Length: 4\r\n\r\nbody",
        Close,
    ),
    ("too-many-fields", "HTTP/1.1 200 OK\r\nMANYContent-Length: 4\r\n\r\nbody", Close),
    ("large-body", "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nLONG", Keep),
];

/// What one request came to, without what differs each time.
#[derive(Debug, PartialEq)]
struct Outcome {
    heads: Vec<(String, Vec<String>)>,
    body: String,
    whole: bool,
    closed: bool,
}

impl Outcome {
    fn parse(mut bytes: &[u8], closed: bool) -> Self {
        let mut heads = Vec::new();
        while let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            bytes = &bytes[end + 4..];
            let (status, fields) = head.split_once("\r\n").unwrap_or((&head, ""));
            let mut fields: Vec<String> = fields
                .split("\r\n")
                .map(|line| line.split_once(": ").unwrap_or((line, "")))
                .map(|(name, value)| (name.to_ascii_lowercase(), value))
                .filter(|(name, _)| name != "date")
                .map(|(name, value)| format!("{name}: {value}"))
                .collect();
            fields.sort();
            let is_final = !status.contains(" 1");
            heads.push((status.to_owned(), fields));
            if is_final {
                break;
            }
        }
        let is_chunked =
            heads.last().is_some_and(|(_, fields)| fields.iter().any(|field| field.ends_with("chunked")));
        let (body, whole) =
            if is_chunked { unchunk(bytes) } else { (String::from_utf8_lossy(bytes).into_owned(), true) };
        // A failed request's id is its own.
        let body = serde_json::from_str::<Value>(&body).map_or(body, |mut problem| {
            problem.as_object_mut().unwrap().remove("decision_id");
            problem.to_string()
        });
        Self { heads, body, whole, closed }
    }
}

/// The pieces of a chunked body put together, and whether its end was there: where chunks end is of no meaning.
fn unchunk(mut bytes: &[u8]) -> (String, bool) {
    let mut body = String::new();
    while let Some(line) = memchr::memmem::find(bytes, b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..line]).unwrap(), 16).unwrap();
        bytes = &bytes[line + 2..];
        if size == 0 {
            return (body, bytes == b"\r\n");
        }
        body.push_str(&String::from_utf8_lossy(&bytes[..size.min(bytes.len())]));
        bytes = bytes.get(size + 2..).unwrap_or_default();
    }
    (body, false)
}

async fn outcome(edge: SocketAddr, request: String) -> Outcome {
    let mut stream = TcpStream::connect(edge).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let (mut bytes, mut chunk) = (Vec::new(), vec![0; 64 * 1024]);
    let closed = loop {
        // The first byte of an answer may be a while; what follows it is not.
        let silence = Duration::from_millis(if bytes.is_empty() { 10_000 } else { 1500 });
        match tokio::time::timeout(silence, stream.read(&mut chunk)).await {
            Ok(Ok(0) | Err(_)) => break true,
            Ok(Ok(read)) => bytes.extend_from_slice(&chunk[..read]),
            Err(_) => break false,
        }
    };
    Outcome::parse(&bytes, closed)
}

/// Answers each request with what its path names.
async fn answering(heads: Arc<Mutex<Vec<String>>>) -> Scripted {
    Scripted::start(move |mut connection, _| {
        let heads = Arc::clone(&heads);
        async move {
            while let Some((head, _)) = connection.request().await {
                let name = head.split(' ').nth(1).unwrap().rsplit('/').next().unwrap().to_owned();
                heads.lock().unwrap().push(head);
                let (_, answer, then) = ANSWERS.iter().find(|(answer, ..)| *answer == name).unwrap();
                let answer =
                    answer.replace("LONG", &"x".repeat(100_000)).replace("MANY", &"X-A: 1\r\n".repeat(300));
                for piece in answer.split('|') {
                    connection.send(piece).await;
                    tokio::time::sleep(Duration::from_millis(40)).await;
                }
                if *then == Close {
                    return;
                }
            }
        }
    })
    .await
}

#[tokio::test]
async fn both_ways_lead_to_the_same_answer() {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let upstream = answering(Arc::clone(&heads)).await;
    let mut spec = spec_on(&[upstream.addr], "");
    // What is in memory went no way at all.
    spec.more.push_str("[cache]\nbytes = \"0B\"\n");
    let edge = Edge::start(spec).await;
    for class in ["session", "assets"] {
        let pairs = ANSWERS.iter().map(async |(name, ..)| {
            let path = format!("/w/w/{class}/{name}");
            let fields =
                [("Origin", LISTED), ("X-Case", "1"), ("Connection", "keep-alive, X-Hop"), ("X-Hop", "1")];
            let direct = raw::request("GET", edge.http, &path, &fields);
            let library = direct.replace("X-Case", "Content-Length: 0\r\nX-Case");
            (name, outcome(edge.http, direct).await, outcome(edge.http, library).await)
        });
        for (name, direct, library) in join_all(pairs).await {
            assert_eq!(direct, library, "{class} {name}");
            assert!(!direct.heads.is_empty(), "{class} {name}");
        }
    }
    // That both ways were taken shows in how fields are spelt; what they say is the same.
    let heads = std::mem::take(&mut *heads.lock().unwrap());
    let mut said = BTreeMap::<bool, BTreeMap<String, Vec<String>>>::new();
    for head in &heads {
        let (request, fields) = head.split_once("\r\n").unwrap();
        let mut fields: Vec<String> = fields
            .lines()
            .filter(|line| {
                !line.is_empty() && !line.starts_with("Content-Length") && !line.starts_with("x-decision")
            })
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| format!("{}: {value}", name.to_ascii_lowercase()))
            .collect();
        fields.sort();
        said.entry(head.contains("X-Case")).or_default().insert(request.to_owned(), fields);
    }
    assert_eq!((said.len(), said[&true].len()), (2, 2 * ANSWERS.len()));
    assert_eq!(said[&true], said[&false]);
}

#[tokio::test]
async fn a_connection_that_was_just_closed_costs_no_request() {
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
    for n in 0..5 {
        let answer = raw::get(edge.http, "/w/w/session", &[("Origin", LISTED)]).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok"), "{n}");
    }
    assert!(heads.load(Ordering::SeqCst) > 0, "a connection was used again");
    failures(&edge, "closed", 0.0).await;
}

#[tokio::test]
async fn a_new_connection_that_breaks_off_is_not_tried_again() {
    let upstream = Scripted::start(|mut connection, _| async move {
        connection.request().await;
    })
    .await;
    let edge = Edge::start(spec_on(&[upstream.addr], "")).await;
    assert_failed(&raw::get(edge.http, "/w/w/session", &[("Origin", LISTED)]).await, 502);
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
    failures(&edge, "connect_refused", 0.0).await;
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
    crate::support::eventually("it is asked for", async || upstream.connections() == 1).await;
    drop(connection);
    assert_eq!(end.recv().await, Some(true));
}
