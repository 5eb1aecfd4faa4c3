//! TLS and HTTP/2 toward the upstream.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::{LISTED, OK, ask, assert_failed, spec_on};
use crate::support::certificates::{Authority, H2};
use crate::support::edge::Edge;
use crate::support::raw::{self, Connection};
use crate::support::tls::UpstreamTls;
use crate::support::upstream::Scripted;
use crate::support::{eventually, ports};

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
                connection
                    .send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{asked}", asked.len()))
                    .await;
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
        spec.more.push_str(&format!(
            "[upstreams.{name}]\nservers = [\"{}\"]\ntls = true\n{keys}\n",
            upstream.addr
        ));
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
    let tls = UpstreamTls::new();
    let acceptor = tls.acceptor();
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
    let edge = Edge::start(spec_on(&[upstream.addr], &tls.keys())).await;
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

#[tokio::test]
async fn a_health_check_asks_for_the_name_that_requests_ask_for() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let acceptor = authority.acceptor(&["app.internal"], &[]);
    let checked = Arc::new(Mutex::new(Vec::<String>::new()));
    let told = Arc::clone(&checked);
    let upstream = Scripted::start(move |connection, _| {
        let (acceptor, told) = (acceptor.clone(), Arc::clone(&told));
        async move {
            let Ok(stream) = acceptor.accept(connection.into_inner().0).await else { return };
            let asked = stream.get_ref().1.server_name().unwrap_or_default().to_owned();
            let mut connection = Connection::over(stream);
            while let Some((head, _)) = connection.request().await {
                if head.starts_with("GET /healthz ") {
                    told.lock().push(asked.clone());
                }
                connection.send(OK).await;
            }
        }
    })
    .await;
    let (first, port) = (ports::free(), upstream.addr.port());
    for (servers, keys, name) in [
        (
            format!("[\"{}\"]", upstream.addr),
            format!("sni = \"app.internal\"\nhost = \"chat.example.net:8443\"\nca = {ca:?}"),
            "app.internal",
        ),
        // Each server's own name, not that of the first.
        (format!("[\"{first}\", \"localhost:{port}\"]"), "verify = false".to_owned(), "localhost"),
    ] {
        let check = "health_check = { path = \"/healthz\", interval = \"500ms\", timeout = \"400ms\" }";
        let mut spec = spec_on(&[], &format!("tls = true\n{keys}\n{check}"));
        spec.more = spec.more.replace("servers = []", &format!("servers = {servers}"));
        let edge = Edge::start(spec).await;
        // More often than a server that fails them is left in.
        eventually(&format!("it is checked as {name}"), async || {
            checked.lock().iter().filter(|asked| *asked == name).count() > 3
        })
        .await;
        assert_eq!(ask(&edge).await.status, 200, "{name}");
        let out = format!("server={:?}", upstream.addr.to_string());
        let log = edge.log();
        assert!(!log.lines().any(|line| line.contains("server taken out") && line.contains(&out)), "{log}");
    }
}
