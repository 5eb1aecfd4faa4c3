//! TLS and HTTP/2 toward the upstream.

use bytes::Bytes;

use super::{LISTED, assert_failed, spec_on};
use crate::support::certificates::{Authority, H2};
use crate::support::edge::Edge;
use crate::support::raw::{self, Connection};
use crate::support::tls::UpstreamTls;
use crate::support::upstream::Scripted;

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
