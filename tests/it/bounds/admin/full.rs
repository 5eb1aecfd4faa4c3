//! Listeners of which every place is taken: by strangers who come and go, or by callers.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use super::{AT_ONCE, put};
use crate::admin_api::mutual_tls::Operators;
use crate::support::edge::{Edge, EdgeSpec, READ_TOKEN};
use crate::support::raw::Connection;
use crate::support::{eventually, ports};

/// Opens connections of another address without end, and says nothing on them.
fn flood(addr: SocketAddr) -> (Arc<AtomicUsize>, Vec<tokio::task::JoinHandle<()>>) {
    let opened = Arc::new(AtomicUsize::new(0));
    let flooders = (0..4).map(|_| {
        let opened = Arc::clone(&opened);
        tokio::spawn(async move {
            let mut open: VecDeque<TcpStream> = VecDeque::new();
            loop {
                let socket = TcpSocket::new_v4().unwrap();
                socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
                match timeout(AT_ONCE, socket.connect(addr)).await {
                    Ok(Ok(stream)) => open.push_back(stream),
                    _ => sleep(Duration::from_millis(1)).await,
                }
                opened.fetch_add(1, Ordering::Relaxed);
                if open.len() > 100 {
                    open.pop_front();
                }
            }
        })
    });
    let flooders = flooders.collect();
    (opened, flooders)
}

async fn with_probe() -> (Edge, SocketAddr) {
    let probe = ports::free();
    let mut spec = EdgeSpec::stored(&json!([{ "id": "w", "allowed_domains": ["example.com"] }]));
    spec.more = format!("[admin.probe]\nlisten = \"{probe}\"\n");
    (Edge::start(spec).await, probe)
}

async fn metric(probe: SocketAddr, name: &str) -> f64 {
    let text = reqwest::get(format!("http://{probe}/metrics")).await.unwrap().text().await.unwrap();
    text.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_keeps_no_operator_out() {
    let (operators, probe) = (Operators::new(), ports::free());
    let edge = operators.edge_with(&format!("[admin.probe]\nlisten = \"{probe}\"\n"));
    let operator = operators.clients.issue(&["operator"]);
    let ready = async || operators.status(&edge, Some(&operator), READ_TOKEN).await == Some(200);
    eventually("the listener answers", ready).await;
    let (opened, flooders) = flood(edge.admin);
    eventually("it is full", async || opened.load(Ordering::Relaxed) > 500).await;
    for number in 0..10 {
        let asked = timeout(AT_ONCE, operators.status(&edge, Some(&operator), READ_TOKEN)).await;
        assert_eq!(asked, Ok(Some(200)), "call {number}");
    }
    flooders.iter().for_each(tokio::task::JoinHandle::abort);
    let given_up = metric(probe, "embedgate_admin_tls_handshakes_total{outcome=\"made_room\"}").await;
    assert!(given_up > 100.0, "{given_up}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_keeps_no_probe_out() {
    let (_edge, probe) = with_probe().await;
    let (opened, flooders) = flood(probe);
    eventually("it is full", async || opened.load(Ordering::Relaxed) > 500).await;
    for number in 0..20 {
        let ready = timeout(AT_ONCE, Client::new().get(format!("http://{probe}/readyz")).send()).await;
        assert_eq!(ready.expect("an answer at once").unwrap().status(), 200, "call {number}");
    }
    flooders.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn probes_that_have_asked_are_not_kept_for_ever() {
    let (_edge, probe) = with_probe().await;
    let request = format!("GET /livez HTTP/1.1\r\nHost: {probe}\r\n\r\n");
    let mut idle = Vec::new();
    for _ in 0..64 {
        let mut connection = Connection::open(probe).await;
        assert_eq!(connection.ask(&request).await.status, 200);
        idle.push(connection);
    }
    // New ones that have asked nothing yet push out those, and not each other.
    let mut new = Vec::new();
    for _ in 0..32 {
        new.push(Connection::open(probe).await);
    }
    for connection in &mut new {
        assert_eq!(connection.ask(&request).await.status, 200);
    }
    for connection in &mut idle[..32] {
        assert!(connection.is_closed().await);
    }
}

#[tokio::test]
async fn those_who_may_only_read_keep_no_writer_out() {
    let (edge, probe) = with_probe().await;
    let call = |line: &str, more: &str| {
        let host = edge.admin;
        format!("{line} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {READ_TOKEN}\r\n{more}\r\n")
    };
    // Bodies that do not come.
    let withheld = "Content-Type: application/json\r\nContent-Length: 9\r\nExpect: 100-continue\r\n";
    let mut reading = Vec::new();
    for number in 0..200 {
        let mut connection = Connection::open(edge.admin).await;
        if number < 64 {
            connection.send(call("GET /v1/events", "")).await;
            connection.until("event: listening").await.expect("the first event");
        } else {
            connection.send(call("POST /v1/explain", withheld)).await;
            let answer = connection.head().await;
            let told = (answer.status, answer.field("retry-after"), answer.field("connection"));
            let expected = if number < 112 { (100, "", "") } else { (503, "5", "close") };
            assert_eq!(told, expected, "{number}");
        }
        reading.push(connection);
    }
    let killed = json!({ "id": "w", "enabled": false, "allowed_domains": ["example.com"] });
    let (status, _) = timeout(AT_ONCE, edge.put(&killed)).await.expect("a kill switch at once");
    assert_eq!(status, 200);
    // Callers who may change rules can take the rest. Then nobody has to leave, and what comes is closed.
    let mut writing = Vec::new();
    for _ in 0..16 {
        let mut connection = Connection::open(edge.admin).await;
        connection.send(put(edge.admin, 9).replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n")).await;
        assert_eq!(connection.head().await.status, 100);
        writing.push(connection);
    }
    let refused = "embedgate_connections_refused_total{reason=\"admin\"}";
    assert_eq!(metric(probe, refused).await, 0.0);
    assert!(Connection::open(edge.admin).await.is_closed().await);
    assert_eq!(metric(probe, refused).await, 1.0);
    // Whoever ends a call gives back what it had.
    drop(reading);
    let read = async || {
        let status = Client::new().get(format!("http://{}/v1/status", edge.admin)).bearer_auth(READ_TOKEN);
        status.send().await.is_ok_and(|answer| answer.status() == 200)
    };
    eventually("there is room for readers again", read).await;
}

#[tokio::test]
async fn a_page_of_large_documents_ends_early() {
    let large = |number: usize| {
        let filler = "x".repeat(200_000);
        json!({ "id": format!("w{number:02}"), "access": "open", "labels": { "filler": filler } })
    };
    let edge = Edge::start(EdgeSpec::stored(&json!((0..50).map(large).collect::<Vec<_>>()))).await;
    for query in ["", "&access=open"] {
        let (mut found, mut after, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let call = edge.api(Method::GET, &format!("/v1/widgets?limit=1000{query}{after}"));
            let text = call.send().await.unwrap().text().await.unwrap();
            assert!(text.len() < (4 << 20) + 300_000, "{} bytes", text.len());
            let page: Value = serde_json::from_str(&text).unwrap();
            let widgets = page["widgets"].as_array().unwrap();
            found.extend(widgets.iter().map(|widget| widget["id"].as_str().unwrap().to_owned()));
            pages += 1;
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        assert_eq!(found, (0..50).map(|number| format!("w{number:02}")).collect::<Vec<_>>(), "{query}");
        assert_eq!(pages, 3, "{query}");
    }
}
