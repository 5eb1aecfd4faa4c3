//! Connections: how many there may be, of whom they are said to be, and what is left when there is no room.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

use crate::support::edge::{Edge, EdgeSpec};
use crate::support::eventually;
use crate::support::raw::{self, Connection};
use crate::support::tls::EdgeTls;
use crate::support::upstream::{Scripted, Upstream, got};

const SITE: &str = "https://example.com";

fn spec(upstream: &Upstream, edge: &str) -> EdgeSpec {
    let mut spec = EdgeSpec::on(upstream.addr, &json!([{ "id": "w", "allowed_domains": ["example.com"] }]));
    spec.edge = edge.to_owned();
    spec
}

fn request(edge: &Edge) -> String {
    raw::request("GET", edge.http, "/w/w/assets/a.js", &[("Origin", SITE)])
}

/// A connection from this address of the loopback network.
async fn from(address: [u8; 4], to: SocketAddr) -> Connection<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((Ipv4Addr::from(address), 0))).unwrap();
    Connection::over(socket.connect(to).await.unwrap())
}

async fn is_served(mut connection: Connection<TcpStream>, edge: &Edge) -> Option<Connection<TcpStream>> {
    use tokio::io::AsyncWriteExt;
    let (mut stream, _) = connection.into_inner();
    // One that is refused may be closed already.
    let _ = stream.write_all(request(edge).as_bytes()).await;
    connection = Connection::over(stream);
    let answered = connection.until("\r\n\r\n").await;
    answered.is_some_and(|head| head.starts_with("HTTP/1.1 200")).then_some(connection)
}

fn refused(reason: &str) -> String {
    format!("embedgate_connections_refused_total{{reason=\"{reason}\"}}")
}

#[tokio::test]
async fn an_address_has_its_bound_and_others_go_on() {
    let upstream = Upstream::start("app").await;
    let edge = Edge::start(spec(&upstream, "bounds.connections_per_address = 3")).await;
    let open = format!("embedgate_connections{{listener=\"{}\"}}", edge.http);
    eventually("the edge's own look is over", async || edge.metric(&open).await == 0.0).await;
    let mut kept = Vec::new();
    for _ in 0..3 {
        kept.push(is_served(from([127, 0, 0, 2], edge.http).await, &edge).await.unwrap());
    }
    assert!(is_served(from([127, 0, 0, 2], edge.http).await, &edge).await.is_none());
    assert!(is_served(from([127, 0, 0, 3], edge.http).await, &edge).await.is_some());
    assert_eq!(edge.metric(&refused("connections_per_address")).await, 1.0);
    assert!(edge.metric(&open).await >= 3.0);
    kept.pop();
    eventually("there is room again", async || {
        is_served(from([127, 0, 0, 2], edge.http).await, &edge).await.is_some()
    })
    .await;
    drop(kept);
    eventually("none is open", async || edge.metric(&open).await == 0.0).await;
}

#[tokio::test]
async fn trusted_proxies_have_no_bound_of_their_own() {
    let upstream = Upstream::start("app").await;
    let bounds = "trusted_proxies = [\"127.0.0.2/32\"]\nbounds.connections_per_address = 1";
    let edge = Edge::start(spec(&upstream, bounds)).await;
    let mut kept = Vec::new();
    for _ in 0..5 {
        kept.push(is_served(from([127, 0, 0, 2], edge.http).await, &edge).await.unwrap());
    }
    let _stranger = is_served(from([127, 0, 0, 3], edge.http).await, &edge).await.unwrap();
    assert!(is_served(from([127, 0, 0, 3], edge.http).await, &edge).await.is_none());
}

#[tokio::test]
async fn all_have_a_bound_which_a_reload_changes() {
    let upstream = Upstream::start("app").await;
    let edge = Edge::start(spec(&upstream, "bounds.connections = 4")).await;
    let mut kept = Vec::new();
    eventually("four are open", async || {
        let more = from([127, 0, 0, 2 + kept.len() as u8], edge.http).await;
        kept.extend(is_served(more, &edge).await);
        kept.len() == 4
    })
    .await;
    assert!(is_served(from([127, 0, 0, 9], edge.http).await, &edge).await.is_none());
    assert!(edge.metric(&refused("connections")).await >= 1.0);
    assert!(edge.log().contains("connections are refused: edge.bounds.connections"), "{}", edge.log());
    let path = edge.folder().join("conf/embedgate.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("bounds.connections = 4", "bounds.connections = 5")).unwrap();
    let answer = edge.api(reqwest::Method::POST, "/v1/reload").send().await.unwrap();
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["in_force"], json!(["edge.bounds"]));
    kept.push(is_served(from([127, 0, 0, 9], edge.http).await, &edge).await.unwrap());
    for mut connection in kept {
        assert_eq!(connection.ask(request(&edge)).await.status, 200, "kept ones are served");
    }
}

/// A connection that a load balancer passes on.
async fn passed_on(edge: &Edge, balancer: [u8; 4], header: &str) -> Connection<TcpStream> {
    let mut connection = from(balancer, edge.http).await;
    connection.send(header).await;
    connection
}

#[tokio::test]
async fn a_load_balancer_says_whose_a_connection_is() {
    let upstream = Upstream::start("app").await;
    let bounds =
        "trusted_proxies = [\"127.0.0.2/32\"]\nbounds.connections_per_address = 2\nheader_timeout = \"1s\"";
    let prepared = Edge::prepare(spec(&upstream, bounds));
    let listener = format!("[\"{}\"]", prepared.http);
    let speaks = |command: &mut Command| {
        command.env("EMBEDGATE__EDGE__PROXY_PROTOCOL", listener);
    };
    let edge = prepared.start_in(speaks).await;

    let header = "PROXY TCP4 192.0.2.7 198.51.100.1 1234 443\r\n";
    let mut first = passed_on(&edge, [127, 0, 0, 2], header).await;
    let answer = first.ask(request(&edge)).await;
    let told: Value = serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("{answer:?}"));
    assert_eq!(got(&told, "x-forwarded-for"), Some("192.0.2.7"));
    let claim = request(&edge)
        .replace("\r\n\r\n", "\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\n\r\n");
    let told: Value = serde_json::from_str(&first.ask(claim).await.body).unwrap();
    assert_eq!(got(&told, "x-forwarded-for"), Some("192.0.2.7"), "the client is no trusted proxy");
    assert_eq!(got(&told, "x-forwarded-proto"), Some("http"));

    // The bound is the client's own, not the load balancer's.
    let second = is_served(passed_on(&edge, [127, 0, 0, 2], header).await, &edge).await;
    assert!(second.is_some());
    assert!(is_served(passed_on(&edge, [127, 0, 0, 2], header).await, &edge).await.is_none());
    let other = "PROXY TCP6 2001:db8::7 2001:db8::1 1234 443\r\n";
    assert!(is_served(passed_on(&edge, [127, 0, 0, 2], other).await, &edge).await.is_some());
    let check = passed_on(&edge, [127, 0, 0, 2], "PROXY UNKNOWN\r\n").await;
    assert!(is_served(check, &edge).await.is_some(), "a check of the load balancer's own");

    let before = edge.metric(&refused("proxy_protocol")).await;
    assert!(
        is_served(passed_on(&edge, [127, 0, 0, 3], header).await, &edge).await.is_none(),
        "no trusted proxy"
    );
    assert!(is_served(from([127, 0, 0, 2], edge.http).await, &edge).await.is_none(), "no header");
    let began = Instant::now();
    let mut silent = passed_on(&edge, [127, 0, 0, 2], "PROXY TCP4 192.0.2").await;
    assert!(silent.is_closed().await);
    assert!(began.elapsed() >= Duration::from_millis(900), "{:?}", began.elapsed());
    assert_eq!(edge.metric(&refused("proxy_protocol")).await, before + 3.0);
}

#[tokio::test]
async fn the_header_comes_before_tls() {
    let upstream = Upstream::start("app").await;
    let tls = EdgeTls::of("chat.example");
    let mut spec = spec(&upstream, "");
    tls.add_to(&mut spec);
    let listener = format!("proxy_protocol = [\"{}\"]\ntrusted_proxies = [\"127.0.0.0/8\"]\n", tls.addr);
    spec.edge = listener + spec.edge.as_str();
    let edge = Edge::start(spec).await;
    let mut stream = TcpStream::connect(tls.addr).await.unwrap();
    let addresses = [&[192, 0, 2, 9, 198, 51, 100, 1][..], &[4, 210, 1, 187]].concat();
    let header = [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", &addresses[..]].concat();
    tokio::io::AsyncWriteExt::write_all(&mut stream, &header).await.unwrap();
    let client = tls.authority.client(&[&rustls::version::TLS13], &[b"http/1.1"]);
    let connector = TlsConnector::from(std::sync::Arc::new(client));
    let stream = connector.connect("chat.example".try_into().unwrap(), stream).await.unwrap();
    let answer = Connection::over(stream).ask(request(&edge)).await;
    let told: Value = serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("{answer:?}"));
    assert_eq!(
        (got(&told, "x-forwarded-for"), got(&told, "x-forwarded-proto")),
        (Some("192.0.2.9"), Some("https"))
    );
}

/// Starts an edge that may open this many files.
async fn with_descriptors(most: usize, spec: EdgeSpec) -> Edge {
    let limit = |command: &mut Command| {
        let program = command.get_program().to_owned();
        let folder = command.get_current_dir().unwrap().to_owned();
        *command = Command::new("/bin/sh");
        let out = std::fs::File::create(folder.join("out.log")).unwrap();
        let run = format!("ulimit -n {most}; exec \"$0\"");
        command.args(["-c", &run]).arg(program).current_dir(folder).stdout(out).env_clear();
    };
    Edge::start_with(limit, spec).await
}

#[tokio::test]
async fn clients_leave_descriptors_for_everything_else() {
    let upstream = Upstream::start("app").await;
    let edge = with_descriptors(256, spec(&upstream, "")).await;
    assert!(edge.log().contains("so at most 64 connections are accepted"), "{}", edge.log());
    let mut kept = Vec::new();
    for _ in 0..20 {
        kept.push(is_served(from([127, 0, 0, 2], edge.http).await, &edge).await.unwrap());
    }
    let mut crowd = Vec::new();
    for _ in 0..400 {
        crowd.push(TcpStream::connect(edge.http).await.unwrap());
    }
    let open = format!("embedgate_connections{{listener=\"{}\"}}", edge.http);
    eventually("it is full", async || edge.metric(&open).await == 64.0).await;
    assert!(is_served(from([127, 0, 0, 2], edge.http).await, &edge).await.is_none());
    // The control plane, and those who were here before, are served as always.
    let (status, _) = edge.put(&json!({ "id": "w", "allowed_domains": ["example.com", "b.example"] })).await;
    assert!(status == 200 || status == 409, "{status}");
    for connection in &mut kept {
        assert_eq!(connection.ask(request(&edge)).await.status, 200);
    }
    drop(crowd);
    let began = Instant::now();
    eventually("there is room again", async || {
        is_served(from([127, 0, 0, 2], edge.http).await, &edge).await.is_some()
    })
    .await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test]
async fn upstreams_leave_descriptors_for_everything_else() {
    // It answers nobody.
    let upstream = Scripted::start(|mut connection, _| async move {
        let _ = connection.rest().await;
    })
    .await;
    let tls = EdgeTls::of("chat.example");
    let mut spec = EdgeSpec::on(upstream.addr, &json!([{ "id": "w", "allowed_domains": ["example.com"] }]));
    tls.add_to(&mut spec);
    let edge = with_descriptors(256, spec).await;
    let (mut clients, mut open, mut refused) = (Vec::new(), Vec::new(), 0);
    for _ in 0..2 {
        let mut client = tls.http2().await;
        for _ in 0..99 {
            client = client.ready().await.unwrap();
            let asked = http::Request::post("https://chat.example/w/w/session").header("origin", SITE);
            let (answer, _) = client.send_request(asked.body(()).unwrap(), true).unwrap();
            open.push(answer);
        }
        clients.push(client);
    }
    for answer in open {
        let answered = tokio::time::timeout(Duration::from_millis(20), answer).await;
        refused += usize::from(matches!(answered, Ok(Ok(answer)) if answer.status() == 503));
    }
    assert!((10..150).contains(&refused), "{refused} are more than there is room for");
    let metrics = edge.admin("/metrics").await.text().await.unwrap();
    let healthy = format!("embedgate_upstream_healthy{{server=\"{}\",upstream=\"app\"}} 1", upstream.addr);
    assert!(metrics.contains(&healthy), "{metrics}");
    assert_eq!(edge.upstream_errors().await, [""; 0], "it is not the upstream's failure");
}

#[tokio::test]
async fn one_that_is_kept_is_closed_when_it_was_idle_for_too_long() {
    let upstream = Upstream::start("app").await;
    let edge = Edge::start(spec(&upstream, "bounds.idle_timeout = \"3s\"")).await;
    let mut kept = Connection::open(edge.http).await;
    // Each request begins the time anew.
    for _ in 0..3 {
        assert_eq!(kept.ask(request(&edge)).await.status, 200);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let since = Instant::now();
    assert!(kept.is_closed().await);
    assert!(since.elapsed() < Duration::from_secs(30), "{:?}", since.elapsed());
}
