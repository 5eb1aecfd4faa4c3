//! WebSockets through the edge: none is lost, what passes passes untouched, and every end reaches the other side.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::support::edge::{Edge, EdgeSpec};
use crate::support::websocket::{
    self, SOON, SocketUpstream, closed, exchange, field, handshake, masked, next, open,
};
use crate::support::{eventually, ports, raw, scale};

const LISTED: &str = "https://example.com";
const PATH: &str = "/w/w/session";

fn widgets() -> Value {
    json!([{ "id": "w", "allowed_domains": ["example.com"] }])
}

async fn edge_on(upstream: &SocketUpstream) -> Edge {
    Edge::start(EdgeSpec::on(upstream.addr, &widgets())).await
}

/// With `keys` of `[edge]`.
async fn edge_with(upstream: &SocketUpstream, keys: &str) -> Edge {
    Edge::start(EdgeSpec { edge: keys.to_owned(), ..EdgeSpec::on(upstream.addr, &widgets()) }).await
}

/// The upstream's 101 and its first frame come in one packet, before anybody could have looked for the request's
/// body: the race that loses tunnels in the proxy library (its issue 946).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_tunnel_is_lost() {
    let upstream = SocketUpstream::echo().await;
    let edge = edge_on(&upstream).await;
    let (count, clients) = (scale(2_000), 16);
    let turns = Arc::new(AtomicUsize::new(0));
    let started = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..clients {
        let (turns, addr) = (Arc::clone(&turns), edge.http);
        tasks.push(tokio::spawn(async move {
            let mut alive = 0;
            while turns.fetch_add(1, Ordering::Relaxed) < count {
                let (mut socket, _) = open(addr, PATH, LISTED).await.expect("101");
                assert_eq!(next(&mut socket).await, Message::text("hello"));
                exchange(&mut socket, "and back").await;
                socket.close(None).await.unwrap();
                assert_eq!(closed(&mut socket).await.0, 1005);
                alive += 1;
            }
            alive
        }));
    }
    let mut alive = 0;
    for task in tasks {
        alive += task.await.unwrap();
    }
    println!("{alive} of {count} tunnels alive, {clients} clients, {:?}", started.elapsed());
    assert_eq!(alive, count);
    assert_eq!(edge.metric("embedgate_requests_total{class=\"session\",status=\"101\"}").await, count as f64);
    eventually("no session is left", async || edge.metric("embedgate_sessions_open").await == 0.0).await;
}

#[tokio::test]
async fn what_is_sent_behind_the_handshake_is_not_lost() {
    let upstream = SocketUpstream::echo().await;
    let edge = edge_on(&upstream).await;
    for _ in 0..20 {
        let mut request = handshake(PATH, LISTED, "").into_bytes();
        request.extend(masked("early"));
        let bytes = raw::exchange(edge.http, &request).await;
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        assert!(bytes.starts_with(b"HTTP/1.1 101 "), "{:?}", String::from_utf8_lossy(&bytes));
        assert_eq!(
            &bytes[end..],
            b"\x81\x05hello\x81\x05early",
            "the upstream's early bytes, then the browser's"
        );
    }
}

#[tokio::test]
async fn the_handshake_passes_both_ways() {
    let upstream = SocketUpstream::start(|mut asked| async move {
        let more = "Server: app/1\r\nAccess-Control-Allow-Origin: *\r\nKeep-Alive: timeout=5\r\nX-App: 1\r\n\
                    Sec-WebSocket-Protocol: chat.v2\r\nSec-WebSocket-Extensions: permessage-deflate\r\n";
        let answer = asked.accepted(more);
        asked.stream.write_all(answer.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        asked.stream.read_to_end(&mut rest).await.unwrap();
    })
    .await;
    let edge = edge_on(&upstream).await;
    let more = "Sec-WebSocket-Protocol: chat.v1, chat.v2\r\nSec-WebSocket-Extensions: permessage-deflate; \
                client_max_window_bits\r\nX-Widget-Id: forged\r\nX-Embedder-Origin: forged\r\nCookie: a=b\r\n";
    let answer = raw::send(edge.http, handshake(PATH, LISTED, more).as_bytes()).await;
    assert_eq!(answer.status, 101);
    for (name, value) in [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ("sec-websocket-protocol", "chat.v2"),
        ("sec-websocket-extensions", "permessage-deflate"),
        ("x-app", "1"),
        ("server", ""),
        ("access-control-allow-origin", ""),
        ("keep-alive", ""),
        ("content-length", ""),
        ("transfer-encoding", ""),
    ] {
        assert_eq!(answer.field(name), value, "{name}");
    }
    let heads = upstream.heads();
    assert_eq!(heads.len(), 1);
    for (name, value) in [
        ("host", "localhost"),
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", "chat.v1, chat.v2"),
        ("sec-websocket-extensions", "permessage-deflate; client_max_window_bits"),
        ("x-widget-id", "w"),
        ("x-widget-environment", "production"),
        ("x-embedder-origin", LISTED),
        ("x-forwarded-for", "127.0.0.1"),
        ("cookie", "a=b"),
    ] {
        assert_eq!(field(&heads[0], name), value, "{name}");
    }
    assert_eq!(field(&heads[0], "x-decision-id"), edge.decisions()[0]["decision_id"]);
}

#[tokio::test]
async fn pings_are_the_two_ends_own_business() {
    let upstream = SocketUpstream::echo().await;
    let edge = edge_on(&upstream).await;
    let (mut socket, _) = open(edge.http, PATH, LISTED).await.unwrap();
    assert_eq!(next(&mut socket).await, Message::text("hello"));
    socket.send(Message::Ping("are you there".into())).await.unwrap();
    assert_eq!(next(&mut socket).await, Message::Pong("are you there".into()));
}

#[tokio::test]
async fn a_denied_handshake_reaches_no_upstream() {
    let upstream = SocketUpstream::echo().await;
    let edge = edge_on(&upstream).await;
    let Err(Error::Http(answer)) = open(edge.http, PATH, "https://stranger.example").await else {
        panic!("not denied");
    };
    assert_eq!(answer.status(), 403);
    for more in ["Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"] {
        assert_eq!(
            raw::send(edge.http, handshake(PATH, LISTED, more).as_bytes()).await.status,
            400,
            "{more}"
        );
    }
    for path in ["/w/w/frame", "/w/w/loader.js", "/w/w/trust"] {
        assert_eq!(raw::send(edge.http, handshake(path, LISTED, "").as_bytes()).await.status, 400, "{path}");
    }
    let host = handshake("/", LISTED, "").replace("localhost", "site.localhost");
    assert_eq!(raw::send(edge.http, host.as_bytes()).await.status, 400, "the demo's page");
    assert_eq!(upstream.heads(), [""; 0]);
    assert_eq!(edge.metric("embedgate_sessions_open").await, 0.0);
}

#[tokio::test]
async fn an_upstream_that_declines_is_heard() {
    let upstream = SocketUpstream::start(|mut asked| async move {
        let answer: &[u8] = match asked.head.split(' ').nth(1).unwrap() {
            "/w/w/session/426" => {
                b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 426 Upgrade Required\r\nServer: app\r\n\
                  Upgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 9\r\n\r\nversion 8"
            }
            "/w/w/session/endless" => b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end",
            "/w/w/session/204" => b"HTTP/1.1 204 No Content\r\n\r\n",
            "/w/w/session/h2c" => b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
            _ => b"",
        };
        asked.stream.write_all(answer).await.unwrap();
    })
    .await;
    let edge = edge_on(&upstream).await;
    let ask = async |path: &str| {
        let next = format!(
            "GET {PATH}/204 HTTP/1.1\r\nHost: localhost\r\nOrigin: {LISTED}\r\nConnection: close\r\n\r\n"
        );
        let requests = handshake(&format!("{PATH}/{path}"), LISTED, "");
        (raw::send(edge.http, requests.as_bytes()).await, next)
    };
    let (answer, _) = ask("426").await;
    assert_eq!((answer.status, answer.body.as_str()), (426, "version 8"));
    for (name, value) in [
        ("server", ""),
        ("upgrade", "websocket"),
        ("x-content-type-options", "nosniff"),
        ("access-control-allow-origin", LISTED),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(answer.field(name), value, "{name}");
    }
    let (answer, _) = ask("endless").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "d\r\nuntil the end\r\n0\r\n\r\n"));
    let (answer, _) = ask("204").await;
    assert_eq!((answer.status, answer.body.as_str(), answer.field("transfer-encoding")), (204, "", ""));
    for path in ["h2c", "nothing"] {
        let (answer, _) = ask(path).await;
        assert_eq!(
            (answer.status, answer.field("content-type")),
            (502, "application/problem+json"),
            "{path}"
        );
    }
    assert_eq!(edge.metric("embedgate_requests_total{class=\"session\",status=\"426\"}").await, 1.0);
    eventually("no session is left", async || edge.metric("embedgate_sessions_open").await == 0.0).await;
}

#[tokio::test]
async fn servers_that_cannot_be_reached_are_passed_over() {
    let upstream = SocketUpstream::echo().await;
    let dead = ports::free();
    let mut spec = EdgeSpec::on(upstream.addr, &widgets());
    spec.more = format!("[upstreams.app]\nservers = [\"{dead}\", \"{}\"]\n", upstream.addr);
    let edge = Edge::start(spec).await;
    for _ in 0..4 {
        let (mut socket, _) = open(edge.http, PATH, LISTED).await.unwrap();
        assert_eq!(next(&mut socket).await, Message::text("hello"));
    }
    // The first failure sends WebSockets elsewhere.
    let errors = "embedgate_upstream_errors_total{kind=\"connect_refused\",upstream=\"app\"}";
    assert!(edge.metric(errors).await <= 2.0);
}

#[tokio::test]
async fn an_upstream_that_fails_is_a_problem_of_the_edge() {
    let silent = SocketUpstream::start(|asked| async move {
        tokio::time::sleep(SOON).await;
        drop(asked);
    })
    .await;
    let dead = ports::free();
    for (addr, status, kind) in [(dead, 502, "connect_refused"), (silent.addr, 504, "read_timeout")] {
        let mut spec = EdgeSpec::on(addr, &widgets());
        spec.more = format!("[upstreams.app]\nservers = [\"{addr}\"]\nread_timeout = \"200ms\"\n");
        let edge = Edge::start(spec).await;
        let answer = raw::send(edge.http, handshake(PATH, LISTED, "").as_bytes()).await;
        let told = (answer.status, answer.field("content-type"), answer.field("access-control-allow-origin"));
        assert_eq!(told, (status, "application/problem+json", LISTED));
        let errors = format!("embedgate_upstream_errors_total{{kind=\"{kind}\",upstream=\"app\"}}");
        assert_eq!(edge.metric(&errors).await, 1.0, "{}", edge.admin("/metrics").await.text().await.unwrap());
    }
}

#[tokio::test]
async fn a_close_reaches_the_other_side() {
    let (heard, hears) = oneshot::channel();
    let heard = Arc::new(std::sync::Mutex::new(Some(heard)));
    let upstream = SocketUpstream::start(move |asked| {
        let heard = Arc::clone(&heard);
        async move {
            if asked.head.contains("/close") {
                let mut socket = asked.greet().await;
                let close = tokio_tungstenite::tungstenite::protocol::CloseFrame {
                    code: 4_001.into(),
                    reason: "app".into(),
                };
                socket.close(Some(close)).await.unwrap();
                while socket.next().await.is_some() {}
                return;
            }
            let mut socket = asked.greet().await;
            let Some(Ok(Message::Close(Some(close)))) = socket.next().await else { panic!("no close") };
            heard
                .lock()
                .unwrap()
                .take()
                .unwrap()
                .send((u16::from(close.code), close.reason.to_string()))
                .unwrap();
        }
    })
    .await;
    let edge = edge_on(&upstream).await;
    let (mut socket, _) = open(edge.http, &format!("{PATH}/close"), LISTED).await.unwrap();
    assert_eq!(closed(&mut socket).await, (4_001, "app".to_owned()));
    assert!(timeout(SOON, socket.next()).await.unwrap().is_none(), "then the connection ends");

    let (mut socket, _) = open(edge.http, PATH, LISTED).await.unwrap();
    let close =
        tokio_tungstenite::tungstenite::protocol::CloseFrame { code: 4_002.into(), reason: "page".into() };
    socket.close(Some(close)).await.unwrap();
    assert_eq!(timeout(SOON, hears).await.unwrap().unwrap(), (4_002, "page".to_owned()));
    eventually("no session is left", async || edge.metric("embedgate_sessions_open").await == 0.0).await;
}

#[tokio::test]
async fn half_closed_and_broken_connections_end_both_sides() {
    let upstream = SocketUpstream::start(|mut asked| async move {
        let answer = asked.accepted("");
        asked.stream.write_all(answer.as_bytes()).await.unwrap();
        if asked.head.contains("/abrupt") {
            // A connection that is dropped with something unread is reset.
            tokio::time::sleep(Duration::from_millis(200)).await;
            return;
        }
        let mut said = Vec::new();
        asked.stream.read_to_end(&mut said).await.unwrap();
        asked.stream.write_all(&[b"after the end of ", &said[..]].concat()).await.unwrap();
    })
    .await;
    let edge = edge_on(&upstream).await;

    let mut stream = TcpStream::connect(edge.http).await.unwrap();
    stream.write_all(handshake(PATH, LISTED, "").as_bytes()).await.unwrap();
    stream.write_all(b"my half").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    timeout(SOON, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    assert!(answer.ends_with(b"\r\n\r\nafter the end of my half"), "{:?}", String::from_utf8_lossy(&answer));

    let mut stream = TcpStream::connect(edge.http).await.unwrap();
    stream.write_all(handshake(&format!("{PATH}/abrupt"), LISTED, "").as_bytes()).await.unwrap();
    stream.write_all(b"never read").await.unwrap();
    let mut answer = Vec::new();
    let _ = timeout(SOON, stream.read_to_end(&mut answer)).await.expect("the browser's side ends");
    drop(stream);
    eventually("no session is left", async || edge.metric("embedgate_sessions_open").await == 0.0).await;
}

#[tokio::test]
async fn limits_close_with_a_reason() {
    let upstream = SocketUpstream::echo().await;
    let edge = edge_with(&upstream, "tunnel_idle_timeout = \"400ms\"").await;
    let (mut socket, _) = open(edge.http, PATH, LISTED).await.unwrap();
    assert_eq!(next(&mut socket).await, Message::text("hello"));
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        exchange(&mut socket, "still here").await;
    }
    let silent = Instant::now();
    assert_eq!(closed(&mut socket).await, (1001, "idle for too long".to_owned()));
    assert!(silent.elapsed() >= Duration::from_millis(390), "{:?}", silent.elapsed());

    let edge = edge_with(&upstream, "tunnel_idle_timeout = \"0s\"\ntunnel_lifetime = \"600ms\"").await;
    let (mut socket, _) = open(edge.http, PATH, LISTED).await.unwrap();
    assert_eq!(closed(&mut socket).await, (1001, "open for too long".to_owned()));
    assert_eq!(edge.metric("embedgate_sessions_revoked_total").await, 0.0, "nobody was denied");
}

/// What is sent to a browser that reads nothing stays with the sender, but for what the sockets hold.
#[tokio::test]
async fn a_slow_reader_holds_its_writer_back() {
    const MOST: usize = 24 << 20;
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&accepted);
    let upstream = SocketUpstream::start(move |mut asked| {
        let count = Arc::clone(&count);
        async move {
            let answer = asked.accepted("");
            asked.stream.write_all(answer.as_bytes()).await.unwrap();
            let frame = [&[0x82, 126, 0xff, 0xff][..], &[7; 65_535]].concat();
            while count.load(Ordering::Relaxed) < 4 * MOST {
                if asked.stream.write_all(&frame).await.is_err() {
                    break;
                }
                count.fetch_add(frame.len(), Ordering::Relaxed);
            }
        }
    })
    .await;
    let edge = edge_on(&upstream).await;
    let before = edge.resident_bytes();
    let mut stream = TcpStream::connect(edge.http).await.unwrap();
    stream.write_all(handshake(PATH, LISTED, "").as_bytes()).await.unwrap();
    let mut last = usize::MAX;
    eventually("the writer waits", async || {
        tokio::time::sleep(Duration::from_millis(200)).await;
        std::mem::replace(&mut last, accepted.load(Ordering::Relaxed)) == last
    })
    .await;
    println!("{last} bytes in flight, {} more in memory", edge.resident_bytes().saturating_sub(before));
    assert!(last < MOST, "{last}");
    // A third of what is in flight; the allocator takes memory in large pieces.
    assert!(edge.resident_bytes() < before + (8 << 20), "{before} {}", edge.resident_bytes());
    // Once it reads, the rest comes.
    let mut received = 0;
    let mut chunk = vec![0; 1 << 16];
    while received < 2 * last {
        received += timeout(SOON, stream.read(&mut chunk)).await.unwrap().unwrap();
    }
}

/// A tunnel that waits costs memory; how much is printed, and must not come near the library's buffers.
#[tokio::test]
async fn an_idle_tunnel_is_small() {
    let upstream = SocketUpstream::echo().await;
    let edge = edge_on(&upstream).await;
    let mut sockets = Vec::new();
    let open_some = async |sockets: &mut Vec<websocket::Socket>, count: usize| {
        for _ in 0..count {
            let (mut socket, _) = open(edge.http, PATH, LISTED).await.unwrap();
            assert_eq!(next(&mut socket).await, Message::text("hello"));
            sockets.push(socket);
        }
        edge.resident_bytes()
    };
    let before = open_some(&mut sockets, 50).await;
    let after = open_some(&mut sockets, 400).await;
    let each = after.saturating_sub(before) / 400;
    println!("an idle tunnel holds {each} bytes");
    assert!(each < 48 * 1024, "{each}");
    assert_eq!(edge.metric("embedgate_sessions_open").await, 450.0);
}
