//! The way to the upstreams: TLS, timeouts, health, turns, reuse, WebSockets and streams.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::support::certificates::{Authority, H2, HTTP11};
use crate::support::edge::{Edge, EdgeSpec};
use crate::support::raw::{self, Answer, Connection};
use crate::support::upstream::{Scripted, Upstream};
use crate::support::{eventually, ports};

const LISTED: &str = "https://example.com";
const STRANGER: &str = "https://stranger.example";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn one_widget() -> Value {
    json!([{ "id": "w", "allowed_domains": ["example.com"] }])
}

/// The usual routes on an upstream `app` of these servers, with these keys more.
fn spec_on(servers: &[SocketAddr], keys: &str) -> EdgeSpec {
    let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
    let more = format!("[upstreams.app]\nservers = {servers:?}\n{keys}\n");
    EdgeSpec { more, ..EdgeSpec::on(SocketAddr::from(([127, 0, 0, 1], 1)), &one_widget()) }
}

async fn ask(edge: &Edge) -> Answer {
    raw::get(edge.http, "/w/w/session", &[("Origin", LISTED)]).await
}

/// An upstream whose answers say who it is.
async fn named(name: &'static str) -> Scripted {
    Scripted::start(move |mut connection, _| async move {
        while connection.request().await.is_some() {
            connection.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len())).await;
        }
    })
    .await
}

/// The answer to a request that the upstream failed: the page that asked can read it.
fn assert_failed(answer: &Answer, status: u16) {
    assert_eq!((answer.status, answer.field("content-type")), (status, "application/problem+json"), "{answer:?}");
    for (name, value) in [
        ("access-control-allow-origin", LISTED),
        ("cache-control", "no-store"),
        ("cross-origin-resource-policy", "cross-origin"),
        ("vary", "Origin, Referer, Sec-Fetch-Dest"),
        ("connection", "close"),
    ] {
        assert_eq!(answer.field(name), value, "{name}");
    }
    let problem: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((problem["status"].as_u64(), problem["decision_id"].as_str().map(str::len)), (Some(status.into()), Some(36)));
}

/// Waits for the count of failures of the upstream `app`.
async fn failures(edge: &Edge, kind: &str, count: f64) {
    let line = format!("embedgate_upstream_errors_total{{kind=\"{kind}\",upstream=\"app\"}}");
    eventually(&format!("{count} {kind}"), async || edge.metric(&line).await == count).await;
}

// ---- failures ------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn an_upstream_that_is_not_there_is_a_bad_gateway() {
    let edge = Edge::start(spec_on(&[ports::free()], "")).await;
    assert_failed(&ask(&edge).await, 502);
    failures(&edge, "ConnectRefused", 1.0).await;
    let frame = raw::get(edge.http, "/w/w/frame", &[("Referer", LISTED)]).await;
    assert_eq!((frame.status, frame.field("access-control-allow-origin")), (502, ""), "frames have no CORS");
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
                format!("[[routes]]\npath = \"/{{widget}}/{name}\"\nclass = \"session\"\nupstream = \"{name}\"\n")
            })
            .concat(),
    );
    let edge = Edge::start(spec).await;
    for path in ["/w/app", "/w/secret"] {
        let started = Instant::now();
        assert_failed(&raw::get(edge.http, path, &[("Origin", LISTED)]).await, 504);
        assert!(started.elapsed() >= Duration::from_millis(250), "{path}");
    }
    failures(&edge, "ReadTimedout", 1.0).await;
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
        let framing = if head.contains("/chunks") { "Transfer-Encoding: chunked\r\n\r\n4\r\n" } else { "Content-Length: 8\r\n\r\n" };
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
    failures(&edge, "ConnectionClosed", 2.0).await;
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

// ---- servers -------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn equal_servers_take_turns() {
    let (a, b) = (named("a").await, named("b").await);
    let edge = Edge::start(spec_on(&[a.addr, b.addr], "")).await;
    let mut answers = String::new();
    for _ in 0..6 {
        answers.push_str(&ask(&edge).await.body);
    }
    assert!(answers == "ababab" || answers == "bababa", "{answers}");
}

#[tokio::test]
async fn a_dead_server_costs_no_request() {
    let live = Upstream::start("live").await;
    let edge = Edge::start(spec_on(&[ports::free(), live.addr, ports::free()], "")).await;
    for n in 0..6 {
        let body = format!("body {n}");
        let request = format!(
            "POST /w/w/session HTTP/1.1\r\nHost: {}\r\nOrigin: {LISTED}\r\nContent-Length: {}\r\n\r\n{body}",
            edge.http,
            body.len()
        );
        let answer = Connection::open(edge.http).await.ask(request).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(serde_json::from_str::<Value>(&answer.body).unwrap()["body"], body);
    }
    failures(&edge, "ConnectRefused", 0.0).await;
}

#[tokio::test]
async fn servers_may_have_names() {
    let upstream = Upstream::start("app").await;
    for other in ["", ", \"nobody.invalid:80\""] {
        let servers = format!("[\"localhost:{}\"{other}]", upstream.addr.port());
        let mut spec = spec_on(&[], "");
        spec.more = spec.more.replace("[]", &servers);
        let edge = Edge::start(spec).await;
        for _ in 0..4 {
            assert_eq!(ask(&edge).await.status, 200, "{servers}: whichever address is tried first");
        }
    }
}

/// Checks often, and gives up and comes back at once.
const CHECKS: &str = "health_check = { interval = \"200ms\", timeout = \"150ms\", unhealthy_after = 1, PATH }";

#[tokio::test]
async fn a_server_that_fails_its_checks_rests_until_it_passes() {
    let well = Arc::new(AtomicBool::new(true));
    let said = Arc::clone(&well);
    let moody = Scripted::start(move |mut connection, _| {
        let said = Arc::clone(&said);
        async move {
            while let Some((head, _)) = connection.request().await {
                let status = if head.contains("/healthz") && !said.load(Ordering::SeqCst) { "500 Ill" } else { "200 OK" };
                connection.send(format!("HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\nmoody")).await;
            }
        }
    })
    .await;
    let steady = named("steady").await;
    let edge = Edge::start(spec_on(&[moody.addr, steady.addr], &CHECKS.replace("PATH", "path = \"/healthz\""))).await;
    let taken = async || {
        let answers = [ask(&edge).await, ask(&edge).await, ask(&edge).await, ask(&edge).await];
        assert!(answers.iter().all(|answer| answer.status == 200), "no request is lost: {answers:?}");
        answers.iter().filter(|answer| answer.body == "moody").count()
    };
    assert_eq!(taken().await, 2);
    well.store(false, Ordering::SeqCst);
    eventually("the server is taken out", async || taken().await == 0).await;
    well.store(true, Ordering::SeqCst);
    eventually("the server is brought back", async || taken().await == 2).await;
}

#[tokio::test]
async fn with_no_server_left_the_widget_is_unavailable_until_one_is_back() {
    let addr = ports::free();
    let edge = Edge::start(spec_on(&[addr], &CHECKS.replace(", PATH", ""))).await;
    eventually("the server is taken out", async || ask(&edge).await.status == 503).await;
    assert_failed(&ask(&edge).await, 503);
    let _server = Scripted::at(addr, |mut connection, _| async move {
        while connection.request().await.is_some() {
            connection.send(OK).await;
        }
    })
    .await;
    eventually("the server is brought back", async || ask(&edge).await.status == 200).await;
}

// ---- connections ---------------------------------------------------------------------------------------------------

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

// ---- TLS -----------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn an_upstreams_certificate_is_verified() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, authority: &Authority| {
        let path = folder.path().join(name);
        std::fs::write(&path, authority.pem()).unwrap();
        path
    };
    let (ours_file, theirs_file) = (file("ours.pem", &ours), file("theirs.pem", &theirs));
    let acceptor = ours.acceptor(&["app.internal"], &[]);
    let upstream = Scripted::start(move |connection, _| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(stream) = acceptor.accept(connection.into_inner().0).await else { return };
            let asked = stream.get_ref().1.server_name().unwrap_or_default().to_owned();
            let mut connection = Connection::over(stream);
            while connection.request().await.is_some() {
                connection.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{asked}", asked.len())).await;
            }
        }
    })
    .await;
    let mut spec = spec_on(&[upstream.addr], "");
    let mut routes = String::new();
    let cases = [
        ("good", format!("sni = \"app.internal\"\nca = {ours_file:?}"), 200),
        ("stranger", format!("sni = \"app.internal\"\nca = {theirs_file:?}"), 502),
        ("system", "sni = \"app.internal\"".to_owned(), 502),
        ("misnamed", format!("sni = \"other.internal\"\nca = {ours_file:?}"), 502),
        ("unverified", "sni = \"any.internal\"\nverify = false".to_owned(), 200),
    ];
    for (name, keys, _) in &cases {
        spec.more.push_str(&format!("[upstreams.{name}]\nservers = [\"{}\"]\ntls = true\n{keys}\n", upstream.addr));
        routes.push_str(&format!(
            "[[routes]]\npath = \"/{{widget}}/{name}\"\nclass = \"session\"\nupstream = \"{name}\"\n"
        ));
    }
    spec.routes = Some(routes);
    let edge = Edge::start(spec).await;
    for (name, _, status) in &cases {
        let answer = raw::get(edge.http, &format!("/w/{name}"), &[("Origin", LISTED)]).await;
        if *status == 200 {
            let asked = if *name == "good" { "app.internal" } else { "any.internal" };
            assert_eq!((answer.status, answer.body.as_str()), (200, asked), "{name}");
        } else {
            assert_failed(&answer, *status);
        }
    }
}

#[tokio::test]
async fn an_upstream_may_speak_http2_and_websockets_still_speak_http11() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let acceptor = authority.acceptor(&["app.internal"], &[H2, HTTP11]);
    let upstream = Scripted::start(move |connection, _| {
        let acceptor = acceptor.clone();
        async move {
            let stream = acceptor.accept(connection.into_inner().0).await.unwrap();
            if stream.get_ref().1.alpn_protocol() != Some(H2) {
                let mut connection = Connection::over(stream);
                let (head, _) = connection.request().await.unwrap();
                assert!(head.to_lowercase().contains("upgrade: websocket"), "{head}");
                connection.send("HTTP/1.1 418 Not now\r\nContent-Length: 0\r\n\r\n").await;
                return;
            }
            let mut connection = h2::server::handshake(stream).await.unwrap();
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                let fields = request.headers();
                let told = format!(
                    "{} {} {} {:?} {:?} {:?}",
                    request.method(),
                    request.uri().authority().unwrap(),
                    request.uri().path_and_query().unwrap(),
                    fields.get("x-widget-id"),
                    fields.get("x-forwarded-host"),
                    fields.get("connection"),
                );
                let mut body = respond.send_response(http::Response::new(()), false).unwrap();
                body.send_data(Bytes::from(told), true).unwrap();
            }
        }
    })
    .await;
    let keys = format!("tls = true\nhttp2 = true\nsni = \"app.internal\"\nca = {ca:?}");
    let edge = Edge::start(spec_on(&[upstream.addr], &keys)).await;
    let host = edge.http.to_string();
    for target in ["/w/w/session/a?b=c".to_owned(), format!("http://{host}/w/w/session/a?b=c")] {
        let answer = raw::get(edge.http, &target, &[("Origin", LISTED), ("Connection", "keep-alive")]).await;
        assert_eq!(answer.body, format!("GET {host} /w/w/session/a?b=c Some(\"w\") Some({host:?}) None"));
    }
    assert_eq!(upstream.connections(), 1);
    let upgrade = [
        ("Origin", LISTED),
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
    ];
    assert_eq!(raw::get(edge.http, "/w/w/session", &upgrade).await.status, 418);
}

// ---- WebSockets ----------------------------------------------------------------------------------------------------

/// An upstream that speaks the subprotocol `chat.v2` and repeats what it is told. What it was asked comes out of the
/// receiver.
async fn echo() -> (Scripted, mpsc::UnboundedReceiver<Request>) {
    let (asked, questions) = mpsc::unbounded_channel();
    let upstream = Scripted::start(move |connection, _| {
        let asked = asked.clone();
        async move {
            let (stream, read) = connection.into_inner();
            assert!(read.is_empty());
            #[expect(clippy::result_large_err, reason = "the library's own signature")]
            let answer = |request: &Request, mut response: Response| {
                asked.send(request.clone()).unwrap();
                if request.headers().contains_key("sec-websocket-protocol") {
                    response.headers_mut().insert("sec-websocket-protocol", "chat.v2".parse().unwrap());
                }
                response.headers_mut().insert("server", "boast/1.0".parse().unwrap());
                response.headers_mut().insert("access-control-allow-origin", "*".parse().unwrap());
                Ok(response)
            };
            let Ok(mut socket) = tokio_tungstenite::accept_hdr_async(stream, answer).await else { return };
            while let Some(Ok(message)) = socket.next().await {
                if message.is_text() || message.is_binary() {
                    socket.send(message).await.unwrap();
                }
            }
        }
    })
    .await;
    (upstream, questions)
}

type Handshake = (WebSocketStream<TcpStream>, tokio_tungstenite::tungstenite::handshake::client::Response);

/// Opens a WebSocket to `/w/w/session` with these fields.
async fn open(edge: &Edge, fields: &[(&'static str, &str)]) -> Result<Handshake, Error> {
    let mut request = format!("ws://{}/w/w/session?a=b", edge.http).into_client_request().unwrap();
    for (name, value) in fields {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    tokio_tungstenite::client_async(request, TcpStream::connect(edge.http).await.unwrap()).await
}

async fn assert_echo(socket: &mut WebSocketStream<TcpStream>, message: Message) {
    socket.send(message.clone()).await.unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(10), socket.next()).await.expect("an echo");
    assert_eq!(answer.unwrap().unwrap(), message);
}

#[tokio::test]
async fn a_websocket_passes_through_and_is_not_cut_for_being_silent() {
    let (upstream, mut questions) = echo().await;
    let mut spec = spec_on(&[upstream.addr], "read_timeout = \"500ms\"");
    spec.edge = "header_timeout = \"500ms\"".to_owned();
    let edge = Edge::start(spec).await;
    let fields = [("origin", LISTED), ("sec-websocket-protocol", "chat.v1, chat.v2")];
    let (mut socket, answer) = open(&edge, &fields).await.unwrap();
    assert_eq!(answer.headers()["sec-websocket-protocol"], "chat.v2", "the upstream's choice");
    for gone in ["server", "access-control-allow-origin"] {
        assert!(!answer.headers().contains_key(gone), "{gone}");
    }
    let asked = questions.recv().await.unwrap();
    assert_eq!(asked.uri(), "/w/w/session?a=b");
    for (name, value) in [
        ("x-widget-id", "w"),
        ("x-embedder-origin", LISTED),
        ("x-forwarded-for", "127.0.0.1"),
        ("sec-websocket-protocol", "chat.v1, chat.v2"),
        ("origin", LISTED),
    ] {
        assert_eq!(asked.headers()[name], value, "{name}");
    }
    assert_echo(&mut socket, Message::text("hello")).await;
    assert_echo(&mut socket, Message::binary(vec![7; 300_000])).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_echo(&mut socket, Message::text("still there")).await;
    socket.close(None).await.unwrap();
    let last = tokio::time::timeout(Duration::from_secs(10), socket.next()).await.expect("an end");
    assert!(matches!(last, Some(Ok(Message::Close(_)))), "{last:?}");
}

/// The library closes on a client that says nothing for a minute; an open WebSocket may.
#[tokio::test]
#[ignore = "takes more than a minute"]
async fn a_websocket_outlives_a_silent_minute() {
    let (upstream, _questions) = echo().await;
    let edge = Edge::start(spec_on(&[upstream.addr], "")).await;
    let (mut socket, _) = open(&edge, &[("origin", LISTED)]).await.unwrap();
    tokio::time::sleep(Duration::from_secs(65)).await;
    assert_echo(&mut socket, Message::text("still there")).await;
}

#[tokio::test]
async fn a_strangers_handshake_reaches_nobody() {
    let (upstream, _questions) = echo().await;
    let edge = Edge::start(spec_on(&[upstream.addr], "")).await;
    for fields in [&[("origin", STRANGER)][..], &[("origin", "null")], &[("origin", "https://EXAMPLE.com")], &[]] {
        match open(&edge, fields).await {
            Err(Error::Http(answer)) => assert_eq!(answer.status(), 403, "{fields:?}"),
            other => panic!("{fields:?}: {other:?}"),
        }
    }
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn a_handshake_that_the_upstream_refuses_is_an_ordinary_answer() {
    let upstream = Scripted::answering("HTTP/1.1 410 Gone\r\nContent-Length: 4\r\nServer: boast\r\n\r\nover").await;
    let edge = Edge::start(spec_on(&[upstream.addr], "")).await;
    match open(&edge, &[("origin", LISTED)]).await {
        Err(Error::Http(answer)) => {
            assert_eq!((answer.status().as_u16(), answer.body().as_deref()), (410, Some(b"over".as_slice())));
            assert!(!answer.headers().contains_key("server"));
            assert_eq!(answer.headers()["access-control-allow-origin"], LISTED);
        }
        other => panic!("{other:?}"),
    }
}
