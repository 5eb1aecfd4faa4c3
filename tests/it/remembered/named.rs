//! Which answers name sessions, and that no browser sees the names.

use http::Request;
use serde_json::{Value, json};

use super::{A, B, MediaServer, begin, call, remembered, spec};
use crate::support::edge::{Edge, EdgeSpec};
use crate::support::raw::{self, Connection, request};
use crate::support::tls::EdgeTls;
use crate::support::upstream::{Scripted, Upstream};
use crate::support::websocket::{Asked, SocketUpstream, open};

#[tokio::test]
async fn successful_answers_of_sessions_name_them() {
    let media = MediaServer::start().await;
    let edge = Edge::start(spec(&media, None)).await;
    begin(&edge, "w", A, &["room:alice"]).await;
    assert_eq!(remembered(&edge).await, 1);
    begin(&edge, "w", A, &["room:alice"]).await;
    assert_eq!(remembered(&edge).await, 1, "the same one");
    begin(&edge, "w", B, &["b1;max-age=3600,b2", "b3"]).await;
    begin(&edge, "other", A, &["room:alice"]).await;
    assert_eq!((remembered(&edge).await, edge.metric("embedgate_remembered_sessions ").await), (5, 5.0));
    for (lines, status) in [
        (&["begun=x", "status=404"][..], 404),
        (&["begun=x", "status=500"], 500),
        (&["begun=x", "status=302"], 302),
        (&["ended=room:alice", "status=403"], 403),
    ] {
        let answer = call(&edge, "w", A, lines).await;
        assert_eq!((answer.status, answer.field("x-widget-session")), (status, ""), "{lines:?}");
        assert_eq!(answer.field("x-widget-session-ended"), "");
    }
    let mut connection = Connection::open(edge.http).await;
    connection.send(request("HEAD", edge.http, "/w/w/session/token?begun=x", &[("Origin", A)])).await;
    assert_eq!(connection.head().await.field("x-widget-session"), "");
    assert_eq!(remembered(&edge).await, 5, "none of those has opened anything");
    call(&edge, "w", B, &["ended=room:alice,b1", "ended=unknown"]).await;
    assert_eq!(remembered(&edge).await, 3, "that of the other widget goes on");
    // A new one in place of an old one.
    call(&edge, "w", B, &["begun=b4", "ended=b3"]).await;
    assert_eq!(remembered(&edge).await, 3);
}

#[tokio::test]
async fn what_is_malformed_is_counted_and_has_a_line() {
    let media = MediaServer::start().await;
    let edge = Edge::start(spec(&media, None)).await;
    let answer = call(&edge, "w", A, &["begun=a/b,good", "begun=x;maxage=5", "ended=a%20b"]).await;
    assert_eq!((answer.status, remembered(&edge).await), (200, 1));
    let malformed = "embedgate_remembered_sessions_total{outcome=\"malformed\"}";
    assert_eq!(edge.metric(malformed).await, 3.0);
    assert!(edge.log().contains("upstream=\"app\""), "{}", edge.log());
}

#[tokio::test]
async fn answers_of_other_classes_name_none_and_show_none() {
    let fields = [("x-widget-session", "secret"), ("x-widget-session-ended", "secret")];
    let upstream = Upstream::with_fields("app", &fields).await;
    let edge = Edge::start(EdgeSpec {
        source: "store",
        ..EdgeSpec::on(upstream.addr, &json!([{ "id": "w", "allowed_domains": ["a.example"] }]))
    })
    .await;
    for path in ["loader.js", "loader.js", "assets/a.css", "frame", "trust", "session"] {
        let fields = [("Origin", A), ("Referer", "https://a.example/page"), ("Connection", "close")];
        let answer = raw::get(edge.http, &format!("/w/w/{path}"), &fields).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.fields.keys().all(|name| !name.starts_with("x-widget")), "{path}: {answer:?}");
        assert_eq!(remembered(&edge).await, u64::from(path == "session"), "{path}");
    }
}

#[tokio::test]
async fn neither_trailers_nor_interim_answers_name_any() {
    let upstream = Scripted::answering(
        "HTTP/1.1 103 Early Hints\r\nX-Widget-Session: early\r\nLink: </a>; rel=preload\r\n\r\n\
         HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Widget-Session\r\n\r\n\
         2\r\nok\r\n0\r\nX-Widget-Session: late\r\nX-Widget-Session-Ended: late\r\nX-Other: kept\r\n\r\n",
    )
    .await;
    let widgets = json!([{ "id": "w", "allowed_domains": ["a.example"] }]);
    let edge = Edge::start(EdgeSpec { source: "store", ..EdgeSpec::on(upstream.addr, &widgets) }).await;
    let fields = [("Origin", A), ("TE", "trailers"), ("Connection", "TE")];
    let mut connection = Connection::open(edge.http).await;
    connection.send(request("GET", edge.http, "/w/w/session", &fields)).await;
    let whole = connection.until("x-other: kept\r\n\r\n").await.unwrap();
    assert!(whole.contains("103") && !whole.to_ascii_lowercase().contains("x-widget-session:"), "{whole}");
    assert_eq!(remembered(&edge).await, 0);
}

#[tokio::test]
async fn a_websocket_names_one_with_its_101() {
    let upstream = SocketUpstream::start(|mut asked: Asked| async move {
        let answer = asked.accepted("X-Widget-Session: call-1\r\n");
        tokio::io::AsyncWriteExt::write_all(&mut asked.stream, answer.as_bytes()).await.unwrap();
        tokio::io::copy(&mut asked.stream, &mut tokio::io::sink()).await.unwrap();
    })
    .await;
    let widgets = json!([{ "id": "w", "allowed_domains": ["a.example"] }]);
    let edge = Edge::start(EdgeSpec { source: "store", ..EdgeSpec::on(upstream.addr, &widgets) }).await;
    let (socket, answer) = open(edge.http, "/w/w/session", A).await.unwrap();
    assert!(!answer.headers().contains_key("x-widget-session"), "{answer:?}");
    assert_eq!(remembered(&edge).await, 1);
    drop(socket);
    assert_eq!(remembered(&edge).await, 1, "it goes on elsewhere");
}

#[tokio::test]
async fn names_pass_over_http2() {
    let media = MediaServer::start().await;
    let (mut spec, tls) = (spec(&media, None), EdgeTls::of("chat.example"));
    tls.add_to(&mut spec);
    let edge = Edge::start(spec).await;
    let uri = "https://chat.example/w/w/session/token?begun=two&ended=one";
    let request = Request::builder().method("POST").uri(uri).header("origin", A).body(()).unwrap();
    let (answer, _) = tls.http2().await.send_request(request, true).unwrap();
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.headers().keys().all(|name| !name.as_str().starts_with("x-widget")), "{answer:?}");
    assert_eq!(remembered(&edge).await, 1);
}

#[tokio::test]
async fn a_dry_run_tells_how_many_would_be_revoked() {
    let media = MediaServer::start().await;
    let edge = Edge::start(spec(&media, None)).await;
    begin(&edge, "w", A, &["a1", "a2"]).await;
    begin(&edge, "w", B, &["b1"]).await;
    let document = json!({ "id": "w", "allowed_domains": ["b.example"] });
    let tried =
        edge.api(reqwest::Method::POST, "/v1/widgets/w/dry-run").json(&document).send().await.unwrap();
    let tried: Value = tried.json().await.unwrap();
    assert_eq!(tried["sessions"]["remembered"], json!({ "known": 3, "revoked": 2 }), "{tried}");
}
