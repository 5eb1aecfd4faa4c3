//! A change of the rules meets open sessions: those it denies end at once, and nobody else notices.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use crate::support::edge::{Edge, EdgeSpec, WRITE_TOKEN, write_tokens};
use crate::support::events::EventStream;
use crate::support::streams::StreamUpstream;
use crate::support::tls::EdgeTls;
use crate::support::websocket::{
    SOON, Socket, SocketUpstream, closed, exchange, handshake, next, open, open_on,
};
use crate::support::{eventually, raw, scale};

const A: &str = "https://a.example";
const B: &str = "https://b.example";
const PATH: &str = "/w/w/session";

fn widget(id: &str, domains: &Value) -> Value {
    json!({ "id": id, "access": "enforce", "allowed_domains": domains })
}

fn both() -> Value {
    widget("w", &json!(["a.example", "b.example"]))
}

/// Two widgets, of which the first lets both origins in.
async fn edge_on(upstream: SocketAddr) -> Edge {
    let mut spec = EdgeSpec::on(upstream, &json!([both(), widget("other", &json!(["a.example"]))]));
    // All sessions are of one address.
    spec.edge = "bounds.connections_per_address = 20000".to_owned();
    Edge::start(spec).await
}

/// Makes these the first widget's rules, and waits until they are in force.
async fn save(edge: &Edge, w: &Value) {
    let before = edge.metric("embedgate_rules_generation").await;
    let widgets = if w.is_null() { json!([]) } else { json!([w]) };
    let mut widgets = widgets.as_array().unwrap().clone();
    widgets.push(widget("other", &json!(["a.example"])));
    let new = edge.rules().with_extension("new");
    std::fs::write(&new, json!({ "widgets": widgets }).to_string()).unwrap();
    std::fs::rename(new, edge.rules()).unwrap();
    eventually("the save is in force", async || edge.metric("embedgate_rules_generation").await > before)
        .await;
}

async fn session(edge: &Edge, path: &str, origin: &str) -> Socket {
    let (mut socket, _) = open(edge.http, path, origin).await.unwrap();
    assert_eq!(next(&mut socket).await, Message::text("hello"));
    exchange(&mut socket, "before").await;
    socket
}

async fn assert_revoked<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut Socket<S>) {
    assert_eq!(closed(socket).await, (1008, "origin no longer allowed".to_owned()));
    assert!(timeout(SOON, socket.next()).await.unwrap().is_none(), "then the connection ends");
}

#[tokio::test]
async fn a_removed_domain_closes_exactly_its_sessions() {
    let upstream = SocketUpstream::echo().await;
    let edge = edge_on(upstream.addr).await;
    let half = scale(2_000) / 2;
    let mut a = Vec::new();
    let mut b = Vec::new();
    for _ in 0..half {
        a.push(session(&edge, PATH, A).await);
        b.push(session(&edge, PATH, B).await);
    }
    let mut other = session(&edge, "/w/other/session", A).await;
    assert_eq!(edge.metric("embedgate_sessions_open").await, (2 * half + 1) as f64);

    save(&edge, &widget("w", &json!(["b.example"]))).await;
    let written = "embedgate_session_revocation_duration_seconds";
    // The clients read only now: they would take the time, on the same cores, that is measured here.
    eventually("all are told", async || edge.metric(&format!("{written}_count")).await >= half as f64).await;
    for socket in &mut a {
        assert_revoked(socket).await;
    }
    let metrics = edge.admin("/metrics").await.text().await.unwrap();
    let bucket = |le: &str| {
        let line = format!("{written}_bucket{{le=\"{le}\"}} ");
        metrics.lines().find_map(|text| text.strip_prefix(&line)?.parse::<usize>().ok()).unwrap()
    };
    let bounds = ["0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "+Inf"];
    let shares = bounds.map(|le| format!("{le}: {}", bucket(le))).join(", ");
    println!("{half} of {} sessions closed; seconds from in force to Close written: {shares}", 2 * half + 1);
    assert_eq!(bucket("+Inf"), half, "each once");
    assert!(bucket("0.05") * 100 >= half * 99, "p99 over 50 ms");
    assert_eq!(edge.metric("embedgate_sessions_revoked_total").await, half as f64);

    for socket in &mut b {
        exchange(socket, "after").await;
    }
    exchange(&mut other, "after").await;
    assert!(open(edge.http, PATH, A).await.is_err(), "and nobody new comes in");
    drop((b, other));
    eventually("no session is left", async || edge.metric("embedgate_sessions_open").await == 0.0).await;
}

#[tokio::test]
async fn kill_switch_deletion_and_policy_close_sessions() {
    let upstream = SocketUpstream::echo().await;
    let edge = edge_on(upstream.addr).await;
    for rules in [
        json!({ "id": "w", "enabled": false, "allowed_domains": ["a.example", "b.example"] }),
        Value::Null,
        widget("w", &json!([])),
    ] {
        let mut socket = session(&edge, PATH, A).await;
        let mut other = session(&edge, "/w/other/session", A).await;
        save(&edge, &rules).await;
        assert_revoked(&mut socket).await;
        exchange(&mut other, "after").await;
        save(&edge, &both()).await;
    }
    let mut socket = session(&edge, PATH, A).await;
    save(&edge, &json!({ "id": "w", "access": "monitor", "allowed_domains": ["b.example"] })).await;
    exchange(&mut socket, "monitored only").await;
    save(&edge, &json!({ "id": "w", "access": "open", "allowed_domains": [] })).await;
    exchange(&mut socket, "anybody may").await;

    let config = edge.folder().join("conf/embedgate.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}\n[policy]\nempty_allowlist = \"deny\"\n")).unwrap();
    let mut other = session(&edge, "/w/other/session", A).await;
    edge.signal("HUP");
    assert_revoked(&mut socket).await;
    exchange(&mut other, "after").await;
}

#[tokio::test]
async fn an_expiring_entry_closes_at_its_instant() {
    let upstream = SocketUpstream::echo().await;
    let edge = edge_on(upstream.addr).await;
    let at = Timestamp::from_millisecond(Timestamp::now().as_millisecond() + 2_000).unwrap();
    save(
        &edge,
        &widget("w", &json!([{ "pattern": "a.example", "expires_at": at.to_string() }, "b.example"])),
    )
    .await;
    let mut a = session(&edge, PATH, A).await;
    let mut b = session(&edge, PATH, B).await;
    assert_revoked(&mut a).await;
    let late = Timestamp::now().as_millisecond() - at.as_millisecond();
    println!("closed {late} ms after its entry's expiry");
    assert!((0..1_000).contains(&late), "{late}");
    exchange(&mut b, "after").await;
}

/// A frame that is half sent when its session is called back arrives whole, and the Close frame behind it.
#[tokio::test]
async fn a_large_frame_stays_whole() {
    const PAYLOAD: usize = 3 << 20;
    let upstream = SocketUpstream::start(|mut asked| async move {
        let answer = asked.accepted("");
        asked.stream.write_all(answer.as_bytes()).await.unwrap();
        let mut frame = vec![0x82, 127];
        frame.extend((PAYLOAD as u64).to_be_bytes());
        frame.extend(vec![7; PAYLOAD]);
        let half = frame.len() / 2;
        asked.stream.write_all(&frame[..half]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(600)).await;
        // The rest, and a frame that must not come.
        let _ = asked.stream.write_all(&[&frame[half..], &frame].concat()).await;
    })
    .await;
    let edge = edge_on(upstream.addr).await;
    let mut stream = TcpStream::connect(edge.http).await.unwrap();
    stream.write_all(handshake(PATH, A, "").as_bytes()).await.unwrap();
    let mut received = Vec::new();
    let reading = tokio::spawn(async move {
        timeout(SOON, stream.read_to_end(&mut received)).await.unwrap().unwrap();
        received
    });
    eventually("it is open", async || edge.metric("embedgate_sessions_open").await == 1.0).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    save(&edge, &widget("w", &json!(["b.example"]))).await;
    let received = reading.await.unwrap();
    let head = received.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let (frame, close) = received[head..].split_at(10 + PAYLOAD);
    assert!(frame[10..].iter().all(|byte| *byte == 7));
    assert_eq!(close, b"\x88\x1a\x03\xf0origin no longer allowed");
}

/// Nothing is sent yet when its rules change: it is denied like anybody else.
#[tokio::test]
async fn a_handshake_that_waits_for_its_upstream_is_denied() {
    let upstream = SocketUpstream::start(|asked| async move {
        tokio::time::sleep(SOON).await;
        drop(asked);
    })
    .await;
    let edge = edge_on(upstream.addr).await;
    let addr = edge.http;
    let asking = tokio::spawn(async move {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(handshake(PATH, A, "Connection: close\r\n").as_bytes()).await.unwrap();
        let mut bytes = vec![0; 4096];
        let read = timeout(SOON, stream.read(&mut bytes)).await.unwrap().unwrap();
        raw::Answer::parse(&bytes[..read]).unwrap()
    });
    eventually("it waits", async || edge.metric("embedgate_sessions_open").await == 1.0).await;
    save(&edge, &widget("w", &json!(["b.example"]))).await;
    let answer = asking.await.unwrap();
    assert_eq!((answer.status, answer.field("content-type")), (403, "application/problem+json"));
    eventually("no session is left", async || edge.metric("embedgate_sessions_open").await == 0.0).await;
}

/// Reads until the connection ends.
async fn stream_over_http1(edge: &Edge, path: &str, origin: &str) -> tokio::task::JoinHandle<Vec<u8>> {
    let mut stream = TcpStream::connect(edge.http).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    tokio::spawn(async move {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes).await;
        bytes
    })
}

#[tokio::test]
async fn streams_and_long_polls_end_over_http1() {
    let upstream = StreamUpstream::start().await;
    let edge = edge_on(upstream.addr).await;
    let mut events_a = stream_over_http1(&edge, "/w/w/session/events", A).await;
    let mut poll_a = stream_over_http1(&edge, "/w/w/session/poll", A).await;
    let events_b = stream_over_http1(&edge, "/w/w/session/events", B).await;
    let poll_b = stream_over_http1(&edge, "/w/w/session/poll", B).await;
    let other = stream_over_http1(&edge, "/w/other/session/events", A).await;
    eventually("all are open", async || edge.metric("embedgate_sessions_open").await == 5.0).await;
    eventually("events flow", async || upstream.events() > 20).await;
    save(&edge, &widget("w", &json!(["b.example"]))).await;
    let cut = timeout(SOON, &mut events_a).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&cut);
    assert!(text.starts_with("HTTP/1.1 200 OK") && text.contains("data: tick"), "{text}");
    assert!(!text.ends_with("0\r\n\r\n"), "cut, not ended: {text}");
    assert_eq!(timeout(SOON, &mut poll_a).await.unwrap().unwrap(), b"", "never answered");
    eventually("the others are open", async || edge.metric("embedgate_sessions_open").await == 3.0).await;
    let before = upstream.events();
    eventually("events go on", async || upstream.events() > before + 20).await;
    assert!(!events_b.is_finished() && !poll_b.is_finished() && !other.is_finished());
    assert_eq!(edge.metric("embedgate_sessions_revoked_total").await, 2.0);
    assert_eq!(edge.metric("embedgate_session_revocation_duration_seconds_count").await, 2.0);
    assert_eq!(
        edge.metric("embedgate_requests_total{class=\"session\",status=\"200\"}").await,
        1.0,
        "counted though cut"
    );
    upstream.answer_polls();
    eventually("the other poll is answered", async || edge.metric("embedgate_sessions_open").await == 2.0)
        .await;
    for task in [events_b, poll_b, other] {
        task.abort();
    }
}

/// An edge with a TLS listener.
async fn edge_with_tls(upstream: SocketAddr) -> (Edge, EdgeTls) {
    let tls = EdgeTls::of("chat.example");
    let mut spec = EdgeSpec::on(upstream, &json!([both(), widget("other", &json!(["a.example"]))]));
    tls.add_to(&mut spec);
    (Edge::start(spec).await, tls)
}

#[tokio::test]
async fn sessions_over_tls_are_told_too() {
    let upstream = SocketUpstream::echo().await;
    let (edge, tls) = edge_with_tls(upstream.addr).await;
    let connect = async |origin: &str| {
        let stream = tls.http1().await;
        let url = format!("ws://chat.example{PATH}");
        let (mut socket, _) = open_on(stream, &url, origin).await.unwrap();
        assert_eq!(next(&mut socket).await, Message::text("hello"));
        exchange(&mut socket, "before").await;
        socket
    };
    let (mut a, mut b) = (connect(A).await, connect(B).await);
    save(&edge, &widget("w", &json!(["b.example"]))).await;
    assert_revoked(&mut a).await;
    exchange(&mut b, "after").await;
}

/// One connection carries all of them: the denied streams are reset, the others go on.
#[tokio::test]
async fn streams_and_long_polls_end_over_http2() {
    let upstream = StreamUpstream::start().await;
    let (edge, tls) = edge_with_tls(upstream.addr).await;
    let client = tls.http2().await;
    let send = |path: &str, origin: &str| {
        let request = http::Request::get(format!("https://chat.example{path}")).header("origin", origin);
        client.clone().send_request(request.body(()).unwrap(), true).unwrap().0
    };
    let mut events_a = send("/w/w/session/events", A).await.unwrap().into_body();
    let mut events_b = send("/w/w/session/events", B).await.unwrap().into_body();
    let poll_a = send("/w/w/session/poll", A);
    let poll_b = send("/w/w/session/poll", B);
    eventually("all are open", async || edge.metric("embedgate_sessions_open").await == 4.0).await;
    assert_eq!(timeout(SOON, events_a.data()).await.unwrap().unwrap().unwrap(), "data: tick\n\n");
    save(&edge, &widget("w", &json!(["b.example"]))).await;
    let reset = async {
        loop {
            match events_a.data().await {
                Some(Ok(_)) => {}
                Some(Err(error)) => return error,
                None => panic!("ended as if it were complete"),
            }
        }
    };
    assert!(timeout(SOON, reset).await.unwrap().is_reset());
    assert!(timeout(SOON, poll_a).await.unwrap().unwrap_err().is_reset());
    for _ in 0..20 {
        let data = timeout(SOON, events_b.data()).await.unwrap().unwrap().unwrap();
        events_b.flow_control().release_capacity(data.len()).unwrap();
    }
    upstream.answer_polls();
    assert_eq!(timeout(SOON, poll_b).await.unwrap().unwrap().status(), 200);
    let again = send("/w/w/session/poll", A);
    assert_eq!(timeout(SOON, again).await.unwrap().unwrap().status(), 403);
    assert_eq!(edge.metric("embedgate_sessions_revoked_total").await, 2.0);
}

/// Whoever is cut can be told by whom, and for what.
#[tokio::test]
async fn a_session_that_a_change_has_cut_is_told_with_the_change() {
    let upstream = SocketUpstream::echo().await;
    let mut spec = EdgeSpec { source: "store", ..EdgeSpec::on(upstream.addr, &json!([both()])) };
    spec.edge = "bounds.connections_per_address = 20000".to_owned();
    let edge = Edge::start(spec).await;
    let mut events = EventStream::open(&edge, "?kind=session_ended").await;
    let mut other = EventStream::open(&edge, "?kind=session_ended&widget=other").await;
    let half = 50;
    let mut a = Vec::new();
    for _ in 0..half {
        a.push(session(&edge, PATH, A).await);
    }
    let mut b = session(&edge, PATH, B).await;
    write_tokens(&edge.tokens(), &format!("write {WRITE_TOKEN} on-call\n"));
    let (status, saved) = edge.put(&widget("w", &json!(["b.example"]))).await;
    assert_eq!(status, 200, "{saved}");
    for event in events.take(half).await {
        let data = &event.data;
        assert_eq!(
            (&*event.kind, &data["widget"], &data["embedder"]),
            ("session_ended", &json!("w"), &json!(A))
        );
        assert_eq!((&data["cause"], &data["reason"]), (&json!("change"), &json!("not_listed")));
        let change = [&data["generation"], &data["revision"], &data["actor"]];
        assert_eq!(change, [&saved["generation"], &json!(2), &json!("token:on-call")]);
        assert!(data["since"].as_str().unwrap() <= data["time"].as_str().unwrap());
    }
    for socket in &mut a {
        assert_revoked(socket).await;
    }
    exchange(&mut b, "after").await;
    let log = edge.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("session ended")).collect();
    let wanted = [
        "widget=\"w\"",
        "embedder=\"https://a.example\"",
        "generation=2",
        "revision=2",
        "actor=\"token:on-call\"",
    ];
    assert!(wanted.iter().all(|part| lines[0].contains(part)), "{}", lines[0]);
    assert_eq!(lines.len(), 20, "{log}");
    assert!(log.contains(&format!("more sessions ended more={}", half - 20)), "{log}");

    // A deletion leaves no revision in force.
    edge.api(Method::DELETE, "/v1/widgets/w").send().await.unwrap();
    let data = events.next().await.data;
    assert_eq!((&data["reason"], &data["embedder"]), (&json!("unknown_widget"), &json!(B)));
    assert!(data.get("revision").is_none() && data["actor"] == "token:on-call", "{data}");
    assert_eq!(other.within(Duration::from_millis(50)).await, None);
}

#[tokio::test]
async fn a_session_that_an_expiry_has_cut_is_told() {
    let upstream = SocketUpstream::echo().await;
    let edge =
        Edge::start(EdgeSpec { source: "store", ..EdgeSpec::on(upstream.addr, &json!([both()])) }).await;
    let expires_at = Timestamp::now() + Duration::from_millis(2_500);
    let list = json!([{ "pattern": "a.example", "expires_at": expires_at.to_string() }, "b.example"]);
    edge.put(&widget("w", &list)).await;
    let mut events = EventStream::open(&edge, "?kind=session_ended").await;
    let mut socket = session(&edge, PATH, A).await;
    let data = events.next().await.data;
    assert_eq!((&data["cause"], &data["reason"]), (&json!("expiry"), &json!("expired_entry")));
    assert!(data.get("actor").is_none() && data.get("revision").is_none(), "{data}");
    assert_revoked(&mut socket).await;
}
