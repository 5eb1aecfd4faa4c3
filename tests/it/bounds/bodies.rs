//! Bodies, both ways: how long a client may take for them, how large they may be, and what of an upstream they hold.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::RecvStream;
use h2::client::SendRequest;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::support::edge::{Edge, EdgeSpec};
use crate::support::raw::{Answer, Connection};
use crate::support::tls::EdgeTls;
use crate::support::upstream::{Scripted, Upstream};
use crate::support::{eventually, raw};

const LISTED: &str = "https://example.com";
const STRANGER: &str = "https://stranger.example";

/// `body_timeout` here.
const TIME: Duration = Duration::from_secs(1);
/// `body_min_rate` here, in bytes a second.
const RATE: usize = 256 * 1024;
/// More than the deadline of anything here, which also waits for processor time.
const LATE: Duration = Duration::from_secs(5);

/// An edge with short bounds on an upstream at this address. A body of 64 KiB is too large for `/w/{widget}/small`, and any
/// for `/w/{widget}/none`; what is at `/w/{widget}/stream` is a stream.
fn spec_on(upstream: SocketAddr) -> EdgeSpec {
    let mut spec = EdgeSpec::on(upstream, &json!([{ "id": "w", "allowed_domains": ["example.com"] }]));
    spec.more = format!(
        "[edge.bounds]\nbody_timeout = \"1s\"\nbody_min_rate = \"256KiB\"\n[upstreams.app]\nservers = [\"{upstream}\"]\n\
         read_timeout = \"20s\"\n"
    );
    let routes = [
        ("session", "session", ""),
        ("asset", "asset", ""),
        ("small", "session", "max_body = \"64KiB\""),
        ("none", "session", "max_body = \"0B\""),
        ("stream", "session", "stream = true"),
    ];
    let routes = routes.map(|(path, class, keys)| {
        format!(
            "[[routes]]\npath = \"/w/{{widget}}/{path}\"\nclass = \"{class}\"\nupstream = \"app\"\n{keys}\n"
        )
    });
    spec.routes = Some(routes.concat());
    spec
}

async fn edge_on(upstream: SocketAddr) -> Edge {
    Edge::start(spec_on(upstream)).await
}

fn head(edge: &Edge, method: &str, path: &str, lines: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nOrigin: {LISTED}\r\n{lines}\r\n", edge.http)
}

/// An answer of the edge's own that the page can read, and after which the connection closes.
fn assert_refused(answer: &Answer, status: u16) {
    let [of, cors, close] =
        ["content-type", "access-control-allow-origin", "connection"].map(|name| answer.field(name));
    assert_eq!((answer.status, of), (status, "application/problem+json"), "{answer:?}");
    assert_eq!((cors, close), (LISTED, "close"), "{answer:?}");
    let problem: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(problem["decision_id"].as_str().map(str::len), Some(36), "{problem}");
}

/// How many open connections have this address at their end: 1: the local one, 2: the remote one.
fn established(end: usize, addr: SocketAddr) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let addr = format!("0100007F:{:04X}", addr.port());
    let is_one = |line: &&str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        columns.get(end) == Some(&&*addr) && columns.get(3) == Some(&"01")
    };
    table.lines().filter(is_one).count()
}

fn within(began: Instant, least: Duration) {
    let lasted = began.elapsed();
    assert!((least..least + LATE).contains(&lasted), "{lasted:?}");
}

/// The bytes of each round, until the edge answers.
async fn drip(connection: &mut Connection<TcpStream>, piece: &str) -> Answer {
    let every = TIME / 8;
    for _ in 0..1000 {
        if let Ok(answer) = timeout(every, connection.head()).await {
            return answer;
        }
        connection.send(piece).await;
    }
    panic!("dripped for ever");
}

#[tokio::test]
async fn a_body_of_a_byte_now_and_then_is_ended_by_its_total() {
    let upstream = Upstream::start("app").await;
    let edge = edge_on(upstream.addr).await;
    for (lines, begin, piece) in [
        ("Content-Length: 100000\r\n", "", "x"),
        ("Content-Length: 100000\r\n", &*"x".repeat(20_000), "x"),
        ("Transfer-Encoding: chunked\r\n", "", "1\r\nx\r\n"),
        ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n", "1\r\nx\r\n"),
    ] {
        let mut connection = Connection::open(edge.http).await;
        let began = Instant::now();
        connection.send(head(&edge, "POST", "/w/w/session", lines) + begin).await;
        let mut answer = drip(&mut connection, piece).await;
        within(began, TIME);
        answer.body = connection.until("}").await.unwrap();
        assert_refused(&answer, 408);
    }
    assert_eq!(edge.upstream_errors().await, [""; 0]);
}

/// To ask for a stream of events is no leave to send a body as slowly as one likes.
#[tokio::test]
async fn a_slow_body_is_ended_whatever_is_asked_for() {
    let upstream = Upstream::start("app").await;
    let edge = edge_on(upstream.addr).await;
    let mut connection = Connection::open(edge.http).await;
    let began = Instant::now();
    let lines = "Accept: text/event-stream\r\nContent-Length: 100000\r\n";
    connection.send(head(&edge, "GET", "/w/w/session", lines)).await;
    assert_eq!(drip(&mut connection, "x").await.status, 408);
    within(began, TIME);
    assert_eq!(upstream.requests(), 0);
}

/// Whoever waits for a `100 Continue` is not the one who is late.
#[tokio::test]
async fn a_server_that_never_asks_for_the_body_is_late_itself() {
    let upstream = Scripted::start(|mut connection, _| async move {
        let _ = connection.rest().await;
    })
    .await;
    let mut spec = spec_on(upstream.addr);
    spec.more = spec.more.replace("read_timeout = \"20s\"", "read_timeout = \"2s\"");
    let edge = Edge::start(spec).await;
    let mut connection = Connection::open(edge.http).await;
    let began = Instant::now();
    let lines = "Expect: 100-continue\r\nContent-Length: 5\r\n";
    connection.send(head(&edge, "POST", "/w/w/session", lines)).await;
    assert_eq!(connection.head().await.status, 504);
    within(began, TIME * 2);
    let errors = "embedgate_upstream_errors_total{kind=\"read_timeout\",upstream=\"app\"}";
    assert_eq!(edge.metric(errors).await, 1.0);
}

#[tokio::test]
async fn a_body_that_never_comes_takes_no_server() {
    let upstream = Upstream::start("app").await;
    let edge = edge_on(upstream.addr).await;
    for lines in ["Content-Length: 9\r\n", "Transfer-Encoding: chunked\r\n"] {
        for begin in ["", if lines.starts_with('C') { "x" } else { "1" }] {
            let mut connection = Connection::open(edge.http).await;
            let began = Instant::now();
            connection.send(head(&edge, "POST", "/w/w/session", lines) + begin).await;
            sleep(TIME / 2).await;
            assert_eq!((upstream.requests(), established(2, upstream.addr)), (0, 0), "{lines}{begin}");
            assert_refused(&connection.answer().await, 408);
            within(began, TIME);
            assert!(connection.is_closed().await);
        }
    }
    // What waits for the server to want it reaches the server, and is not the server's fault, either.
    let mut connection = Connection::open(edge.http).await;
    let lines = "Content-Length: 9\r\nExpect: 100-continue\r\n";
    connection.send(head(&edge, "POST", "/w/w/session", lines)).await;
    let mut answer = connection.head().await;
    while answer.status == 100 {
        answer = connection.head().await;
    }
    assert_eq!((answer.status, upstream.requests()), (408, 1));
    assert_eq!(edge.upstream_errors().await, [""; 0]);
}

/// The answer to a request over HTTP/2 by a page of this origin.
async fn asked(client: &mut SendRequest<Bytes>, path: &str, origin: &str) -> http::Response<RecvStream> {
    let request = http::Request::get(format!("https://chat.example/w/w/{path}")).header("origin", origin);
    client.send_request(request.body(()).unwrap(), true).unwrap().0.await.unwrap()
}

/// Sends this over HTTP/2 a byte at a time.
async fn dripped_over_http2(
    client: &mut SendRequest<Bytes>,
    lines: &[(&str, &str)],
    every: Duration,
) -> (u16, String) {
    let mut request = http::Request::post("https://chat.example/w/w/session").header("origin", LISTED);
    for (name, value) in lines {
        request = request.header(*name, *value);
    }
    let (answer, mut body) = client.send_request(request.body(()).unwrap(), false).unwrap();
    let dripping = async {
        loop {
            sleep(every).await;
            if body.send_data(Bytes::from_static(b"x"), false).is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let answered = async {
        let mut answer = answer.await.unwrap();
        let mut text = Vec::new();
        while let Some(piece) = answer.body_mut().data().await {
            text.extend(piece.unwrap());
        }
        let cors = answer.headers().get("access-control-allow-origin").unwrap().to_str().unwrap();
        assert_eq!(cors, LISTED);
        (answer.status().as_u16(), String::from_utf8(text).unwrap())
    };
    tokio::select! {
        () = dripping => unreachable!(),
        answered = answered => answered,
    }
}

#[tokio::test]
async fn over_http2_a_slow_body_is_ended_and_its_connection_goes_on() {
    let upstream = Upstream::start("app").await;
    let tls = EdgeTls::of("chat.example");
    let mut spec = spec_on(upstream.addr);
    tls.add_to(&mut spec);
    let edge = Edge::start(spec).await;
    let mut client = tls.http2().await;
    for (lines, every) in [
        (&[][..], TIME / 8),
        (&[("content-length", "10000")], TIME / 8),
        (&[], TIME * 60),
        (&[("content-length", "10000")], TIME * 60),
    ] {
        let began = Instant::now();
        let (status, body) = dripped_over_http2(&mut client, lines, every).await;
        within(began, TIME);
        assert_eq!(status, 408, "{lines:?} {every:?}");
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(problem["decision_id"].as_str().map(str::len), Some(36));
    }
    assert_eq!(asked(&mut client, "session", LISTED).await.status(), 200);
    assert_eq!(edge.upstream_errors().await, [""; 0]);
}

/// A client that sends above the rate takes far longer than `body_timeout`, and a server that reads slowly is not the
/// client's fault.
#[tokio::test]
async fn a_body_that_keeps_the_rate_takes_its_time() {
    let upstream = Upstream::start("app").await;
    let edge = edge_on(upstream.addr).await;
    let piece = "x".repeat(2 * RATE / 8);
    for lines in [&*format!("Content-Length: {}\r\n", 32 * piece.len()), "Transfer-Encoding: chunked\r\n"] {
        let is_chunked = lines.starts_with('T');
        let mut connection = Connection::open(edge.http).await;
        let began = Instant::now();
        connection.send(head(&edge, "POST", "/w/w/session", lines)).await;
        for _ in 0..32 {
            sleep(TIME / 8).await;
            match is_chunked {
                true => connection.send(format!("{:x}\r\n{piece}\r\n", piece.len())).await,
                false => connection.send(&piece).await,
            }
        }
        if is_chunked {
            connection.send("0\r\n\r\n").await;
        }
        assert_eq!(connection.answer().await.status, 200);
        assert!(began.elapsed() > 3 * TIME);
    }

    let slow = Scripted::start(|connection, _| async move {
        let (mut stream, _) = connection.into_inner();
        let mut piece = vec![0; 256 * 1024];
        let mut left = 4 * 1024 * 1024_usize;
        while left > 0 {
            sleep(TIME / 4).await;
            left = left.saturating_sub(stream.read(&mut piece).await.unwrap());
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
        sleep(TIME).await;
    })
    .await;
    let edge = edge_on(slow.addr).await;
    let mut connection = Connection::open(edge.http).await;
    let began = Instant::now();
    connection
        .send(head(&edge, "POST", "/w/w/session", &format!("Content-Length: {}\r\n", 4 * 1024 * 1024)))
        .await;
    connection.send(vec![b'x'; 4 * 1024 * 1024]).await;
    assert_eq!(connection.answer().await.status, 200);
    assert!(began.elapsed() > 3 * TIME, "{:?}", began.elapsed());
    assert_eq!(edge.upstream_errors().await, [""; 0]);
}

/// An upstream with an answer of this length, which tells when a connection has ended.
async fn large(length: usize) -> (Scripted, mpsc::UnboundedReceiver<Duration>) {
    let (ended, end) = mpsc::unbounded_channel();
    let upstream = Scripted::start(move |mut connection, _| {
        let ended = ended.clone();
        async move {
            if connection.request().await.is_none() {
                return;
            }
            let began = Instant::now();
            let (mut stream, _) = connection.into_inner();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            let sent = async {
                stream.write_all(head.as_bytes()).await?;
                let piece = vec![b'x'; 64 * 1024];
                let mut left = length;
                while left > 0 {
                    let size = piece.len().min(left);
                    stream.write_all(&piece[..size]).await?;
                    left -= size;
                }
                stream.read_u8().await
            };
            let _ = sent.await;
            let _ = ended.send(began.elapsed());
        }
    });
    (upstream.await, end)
}

const LARGE: usize = 64 * 1024 * 1024;

/// A connection that reads into little memory.
async fn narrow(addr: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    socket.connect(addr).await.unwrap()
}

#[tokio::test]
async fn an_answer_that_nobody_takes_is_cut_and_its_server_freed() {
    let (upstream, mut ended) = large(LARGE).await;
    let edge = edge_on(upstream.addr).await;
    // Nothing is read, or a little now and then.
    for drip in [0, 1024] {
        let mut stream = narrow(edge.http).await;
        stream.write_all(head(&edge, "GET", "/w/w/session", "").as_bytes()).await.unwrap();
        let mut ended = std::pin::pin!(ended.recv());
        let mut piece = vec![0; drip];
        let lasted = loop {
            match timeout(TIME / 8, &mut ended).await {
                Ok(lasted) => break lasted.unwrap(),
                Err(_) if drip == 0 => {}
                Err(_) => {
                    stream.read_exact(&mut piece).await.unwrap();
                }
            }
        };
        assert!((TIME * 9 / 10..TIME + LATE).contains(&lasted), "{drip}: {lasted:?}");
        // The client is let go, too.
        eventually("it is closed", async || {
            let mut rest = vec![0; 1024 * 1024];
            !matches!(timeout(TIME, stream.read(&mut rest)).await, Ok(Ok(1..)) | Err(_))
        })
        .await;
    }
    assert_eq!(edge.upstream_errors().await, [""; 0]);
}

#[tokio::test]
async fn an_answer_that_is_taken_above_the_rate_is_not_cut() {
    const LENGTH: usize = 8 * 1024 * 1024;
    let (upstream, _ended) = large(LENGTH).await;
    let edge = edge_on(upstream.addr).await;
    let mut stream = narrow(edge.http).await;
    let began = Instant::now();
    stream.write_all(head(&edge, "GET", "/w/w/session", "").as_bytes()).await.unwrap();
    let (mut taken, mut piece) = (0, vec![0; RATE]);
    while taken < LENGTH {
        sleep(TIME / 32).await;
        let read = stream.read(&mut piece).await.unwrap();
        assert!(read > 0, "cut after {taken} bytes, {:?}", began.elapsed());
        taken += read;
    }
    assert!(began.elapsed() > 3 * TIME, "{:?}", began.elapsed());
}

#[tokio::test]
async fn over_http2_an_answer_that_nobody_takes_is_cut() {
    let (upstream, mut ended) = large(LARGE).await;
    let tls = EdgeTls::of("chat.example");
    let mut spec = spec_on(upstream.addr);
    tls.add_to(&mut spec);
    let edge = Edge::start(spec).await;
    // The windows of a stream and of the connection: none, little, and all that there can be.
    for (window, connection_window) in [(0, 65_535), (1 << 30, 65_535), (65_535, 1 << 30)] {
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(window).initial_connection_window_size(connection_window);
        let (mut client, connection) = builder.handshake::<_, Bytes>(tls.h2().await).await.unwrap();
        tokio::spawn(connection);
        let answer = asked(&mut client, "session", LISTED).await;
        assert_eq!(answer.status(), 200);
        let lasted = ended.recv().await.unwrap();
        assert!((TIME * 9 / 10..TIME + LATE).contains(&lasted), "{window}: {lasted:?}");
        // The connection serves others.
        drop(answer);
        assert_eq!(asked(&mut client, "none", STRANGER).await.status(), 403);
    }
    assert_eq!(edge.upstream_errors().await, [""; 0]);
}

/// A client that reads nothing of its connection: what waits there is not the stream's any more.
#[tokio::test]
async fn over_http2_a_connection_that_nobody_reads_is_ended() {
    let (upstream, mut ended) = large(LARGE).await;
    let tls = EdgeTls::of("chat.example");
    let mut spec = spec_on(upstream.addr);
    tls.add_to(&mut spec);
    let _edge = Edge::start(spec).await;
    let mut stream = tls.h2().await;
    let window = [0, 0, 4, 8, 0, 0, 0, 0, 0, 0x3f, 0xff, 0, 0];
    let settings = [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0x3f, 0xff, 0, 0];
    // HPACK: indexed fields, and literals without indexing.
    let mut fields = vec![0x82, 0x87, 0x04, 12];
    fields.extend(b"/w/w/session");
    fields.extend([0x01, 12]);
    fields.extend(b"chat.example");
    fields.extend([0x00, 6]);
    fields.extend(b"origin");
    fields.push(LISTED.len() as u8);
    fields.extend(LISTED.as_bytes());
    let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    sent.extend(settings);
    sent.extend(window);
    sent.extend([0, 0, fields.len() as u8, 1, 5, 0, 0, 0, 1]);
    sent.extend(fields);
    stream.write_all(&sent).await.unwrap();
    stream.flush().await.unwrap();
    let began = Instant::now();
    assert!(ended.recv().await.is_some());
    within(began, TIME * 9 / 10);
    eventually("it is gone", async || established(1, tls.addr) == 0).await;
    within(began, TIME * 9 / 10);
    drop(stream);
}

/// Events come when there are some, and a client may take them one by one; but not none of them.
#[tokio::test]
async fn a_stream_has_no_least_rate() {
    let (ended, mut end) = mpsc::unbounded_channel();
    let upstream = Scripted::start(move |mut connection, _| {
        let ended = ended.clone();
        async move {
            let (head, _) = connection.request().await.unwrap();
            connection.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n").await;
            let (mut stream, _) = connection.into_inner();
            if head.contains("x-flood") {
                let piece = vec![b'x'; 64 * 1024];
                while stream.write_all(&piece).await.is_ok() {}
                let _ = ended.send(());
                return;
            }
            for _ in 0..3 {
                sleep(TIME * 3 / 2).await;
                stream.write_all(b"data: tick\n\n").await.unwrap();
            }
        }
    })
    .await;
    let edge = edge_on(upstream.addr).await;
    for (path, lines) in [("/w/w/session", "Accept: text/event-stream\r\n"), ("/w/w/stream", "")] {
        // Silent for longer than the time for a body.
        let mut connection = Connection::open(edge.http).await;
        connection.send(head(&edge, "GET", path, lines)).await;
        let events = connection.until("0\r\n\r\n").await.expect("a whole stream");
        assert_eq!(events.matches("tick").count(), 3, "{path} {events:?}");
        // Slower than the rate.
        let mut stream = narrow(edge.http).await;
        let lines = format!("{lines}X-Flood: 1\r\n");
        stream.write_all(head(&edge, "GET", path, &lines).as_bytes()).await.unwrap();
        let mut piece = vec![0; RATE / 4];
        let began = Instant::now();
        while began.elapsed() < TIME * 4 {
            sleep(TIME / 2).await;
            stream.read_exact(&mut piece).await.unwrap();
        }
        assert!(end.try_recv().is_err(), "{path}");
        // Not at all.
        let began = Instant::now();
        assert!(timeout(TIME + LATE, end.recv()).await.unwrap().is_some());
        within(began, TIME / 2);
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_before_a_server_is_taken() {
    let upstream = Upstream::start("app").await;
    let edge = edge_on(upstream.addr).await;
    let post = |path: &str, origin: &str, length: usize| {
        let length = length.to_string();
        raw::request("POST", edge.http, path, &[("Origin", origin), ("Content-Length", &length)])
    };
    for (path, length) in [("/w/w/small", 65_537), ("/w/w/none", 1), ("/w/w/session", 10 * 1024 * 1024 + 1)] {
        let mut connection = Connection::open(edge.http).await;
        assert_refused(&connection.ask(post(path, LISTED, length)).await, 413);
        // Whoever is denied learns nothing of it.
        let denied = Connection::open(edge.http).await.ask(post(path, STRANGER, length)).await;
        assert_eq!(denied.status, 403, "{denied:?}");
    }
    assert_eq!(upstream.requests(), 0);
    for (path, length) in [("/w/w/small", 65_536), ("/w/w/none", 0)] {
        let mut connection = Connection::open(edge.http).await;
        let answer = connection.ask(post(path, LISTED, length) + &*"x".repeat(length)).await;
        assert_eq!(answer.status, 200, "{path}");
        let told: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(told["body"].as_str().map(str::len), Some(length), "{path}");
    }
    assert_eq!(edge.upstream_errors().await, [""; 0]);
}

/// An upstream that tells what it got of a request, and whether that was whole.
async fn listening(answer: &'static str) -> (Scripted, mpsc::UnboundedReceiver<String>) {
    let (told, tell) = mpsc::unbounded_channel();
    let upstream = Scripted::start(move |mut connection, _| {
        let told = told.clone();
        async move {
            connection.until("\r\n\r\n").await.unwrap();
            connection.send(answer).await;
            let _ = told.send(connection.rest().await);
        }
    });
    (upstream.await, tell)
}

#[tokio::test]
async fn a_body_that_grows_too_large_is_broken_off() {
    let chunk = format!("{:x}\r\n{}\r\n", 30_000, "x".repeat(30_000));
    let lines = "Transfer-Encoding: chunked\r\n";
    for (answer, status) in
        [("", 413), ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", 200)]
    {
        let (upstream, mut told) = listening(answer).await;
        let edge = edge_on(upstream.addr).await;
        let mut connection = Connection::open(edge.http).await;
        connection.send(head(&edge, "POST", "/w/w/small", lines) + &*chunk).await;
        if status == 200 {
            connection.until("2\r\nok\r\n").await.unwrap();
        }
        for _ in 0..2 {
            connection.send(&chunk).await;
        }
        connection.send("0\r\n\r\n").await;
        let got = told.recv().await.unwrap();
        assert!(got.len() < 65_536 && !got.ends_with("0\r\n\r\n"), "{} bytes", got.len());
        if status == 413 {
            assert_refused(&connection.answer().await, 413);
        } else {
            let rest = connection.rest().await;
            assert!(!rest.ends_with("0\r\n\r\n"), "{rest:?}");
        }
        assert_eq!(edge.upstream_errors().await, [""; 0]);
    }
    let upstream = Upstream::start("app").await;
    let edge = edge_on(upstream.addr).await;
    let mut connection = Connection::open(edge.http).await;
    connection.send(head(&edge, "POST", "/w/w/none", lines) + "1\r\nx\r\n").await;
    assert_refused(&connection.answer().await, 413);
    // No body is no body too large, however it is said.
    let mut connection = Connection::open(edge.http).await;
    connection.send(head(&edge, "POST", "/w/w/none", lines) + "0\r\n\r\n").await;
    assert_eq!((connection.answer().await.status, upstream.requests()), (200, 1));
}

#[tokio::test]
async fn over_http2_a_body_that_is_too_large_is_refused() {
    let upstream = Upstream::start("app").await;
    let tls = EdgeTls::of("chat.example");
    let mut spec = spec_on(upstream.addr);
    tls.add_to(&mut spec);
    let edge = Edge::start(spec).await;
    let mut client = tls.http2().await;
    for length in [None, Some(65_537)] {
        let mut request = http::Request::post("https://chat.example/w/w/small").header("origin", LISTED);
        if let Some(length) = length {
            request = request.header("content-length", length);
        }
        let (answer, mut body) = client.send_request(request.body(()).unwrap(), false).unwrap();
        tokio::spawn(async move {
            let mut left = Bytes::from(vec![b'x'; 65_537]);
            while !left.is_empty() {
                body.reserve_capacity(left.len());
                let Some(Ok(room)) = poll_fn(|context| body.poll_capacity(context)).await else { return };
                let piece = left.split_to(room.min(left.len()));
                if body.send_data(piece, false).is_err() {
                    return;
                }
            }
            poll_fn(|context| body.poll_reset(context)).await.ok();
        });
        assert_eq!(answer.await.unwrap().status(), 413, "{length:?}");
    }
    assert_eq!(edge.upstream_errors().await, [""; 0]);
}

#[tokio::test]
async fn a_reload_changes_the_time_of_open_connections() {
    let upstream = Upstream::start("app").await;
    let mut spec = spec_on(upstream.addr);
    spec.more = spec.more.replace("body_timeout = \"1s\"", "body_timeout = \"30s\"");
    let edge = Edge::start(spec).await;
    let mut connection = Connection::open(edge.http).await;
    assert_eq!(connection.ask(head(&edge, "GET", "/w/w/session", "")).await.status, 200);
    let path = edge.folder().join("conf/embedgate.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("body_timeout = \"30s\"", "body_timeout = \"1s\"")).unwrap();
    edge.signal("HUP");
    eventually("it is in force", async || {
        edge.metric("embedgate_reloads_total{outcome=\"done\"}").await == 1.0
    })
    .await;
    let began = Instant::now();
    connection.send(head(&edge, "POST", "/w/w/session", "Content-Length: 1\r\n")).await;
    assert_refused(&connection.answer().await, 408);
    within(began, TIME);
}
