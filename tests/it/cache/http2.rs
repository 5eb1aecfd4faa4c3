//! HTTP/2 on both sides.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use http::{Request, Response, StatusCode};
use serde_json::json;

use super::{ASSET, LISTED, Origin, get, ok, outcomes, widget};
use crate::support::edge::{Edge, EdgeSpec};
use crate::support::tls::{EdgeTls, UpstreamTls};
use crate::support::upstream::Scripted;

async fn browse(
    client: &SendRequest<Bytes>,
    method: &str,
    fields: &[(&str, &str)],
) -> (Response<()>, String) {
    let mut request = Request::builder().method(method).uri(format!("https://chat.example{ASSET}"));
    for (name, value) in [("origin", LISTED)].iter().chain(fields) {
        request = request.header(*name, *value);
    }
    let (answer, _) = client.clone().send_request(request.body(()).unwrap(), true).unwrap();
    let (head, mut stream) = answer.await.unwrap().into_parts();
    let mut body = BytesMut::new();
    while let Some(piece) = stream.data().await {
        let piece = piece.unwrap();
        stream.flow_control().release_capacity(piece.len()).unwrap();
        body.extend_from_slice(&piece);
    }
    (Response::from_parts(head, ()), String::from_utf8(body.to_vec()).unwrap())
}

/// What an upstream makes of a body is nobody else's answer, whether or not the head says that there is one.
#[tokio::test]
async fn a_get_with_a_body_fills_nothing() {
    let origin = Origin::start(|_, _| ok("Cache-Control: max-age=60\r\n", "answer")).await;
    let tls = EdgeTls::of("chat.example");
    let mut spec = origin.spec();
    tls.add_to(&mut spec);
    let _edge = Edge::start(spec).await;
    let client = tls.http2().await;
    for (round, is_fat) in (1..).zip([true, true, false]) {
        if is_fat {
            let request = Request::get(format!("https://chat.example{ASSET}")).header("origin", LISTED);
            let (answer, mut body) = client.clone().send_request(request.body(()).unwrap(), false).unwrap();
            body.send_data(Bytes::from_static(b"body"), true).unwrap();
            assert_eq!(answer.await.unwrap().status(), StatusCode::OK);
        } else {
            assert_eq!(browse(&client, "GET", &[]).await.1, "answer");
        }
        assert_eq!(origin.count(), round, "each is asked for");
    }
    browse(&client, "GET", &[]).await;
    assert_eq!(origin.count(), 3, "and one without a body is kept");
}

#[tokio::test]
async fn browsers_get_every_form_over_http2() {
    let large = "0123456789".repeat(20_000);
    let body = large.clone();
    let origin = Origin::start(move |_, before| match before {
        0 => ok("Cache-Control: max-age=2, stale-if-error=60\r\nETag: \"v1\"\r\n", &body),
        1 => "HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=2, stale-if-error=60\r\n\r\n".to_owned(),
        _ => "HTTP/1.1 503 Unwell\r\nContent-Length: 6\r\n\r\nunwell".to_owned(),
    })
    .await;
    let tls = EdgeTls::of("chat.example");
    let mut spec = origin.spec();
    tls.add_to(&mut spec);
    let edge = Edge::start(spec).await;
    let client = tls.http2().await;

    for round in 0..3 {
        let (head, body) = browse(&client, "GET", &[]).await;
        assert_eq!((head.status(), body.len()), (StatusCode::OK, large.len()), "round {round}");
        assert_eq!(head.headers()["access-control-allow-origin"], LISTED);
        let (head, body) = browse(&client, "HEAD", &[]).await;
        assert_eq!((head.status(), body.as_str()), (StatusCode::OK, ""));
        assert_eq!(head.headers()["content-length"], large.len().to_string());
        let (head, body) = browse(&client, "GET", &[("range", "bytes=10-14")]).await;
        assert_eq!((head.status(), body.as_str()), (StatusCode::PARTIAL_CONTENT, "01234"));
        let (head, body) = browse(&client, "GET", &[("if-none-match", "\"v1\"")]).await;
        assert_eq!((head.status(), body.as_str()), (StatusCode::NOT_MODIFIED, ""));
        // Validated in the second round, and standing in for an error in the third.
        assert_eq!(origin.count(), round + 1);
        tokio::time::sleep(Duration::from_millis(2200)).await;
    }
    assert_eq!((outcomes(&edge, "revalidated").await, outcomes(&edge, "miss").await), (1.0, 1.0));
    let log = edge.log();
    assert!(
        !log.contains("already") && !log.contains("end of stream"),
        "what the upstream said was held back: {log}"
    );
}

#[tokio::test]
async fn an_upstream_may_speak_http2() {
    let tls = UpstreamTls::new();
    let acceptor = tls.acceptor();
    let count = Arc::new(AtomicUsize::new(0));
    let asked = Arc::clone(&count);
    let upstream = Scripted::start(move |connection, _| {
        let (acceptor, asked) = (acceptor.clone(), Arc::clone(&asked));
        async move {
            let stream = acceptor.accept(connection.into_inner().0).await.unwrap();
            let mut connection = h2::server::handshake(stream).await.unwrap();
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                let before = asked.fetch_add(1, Ordering::SeqCst);
                let answer = Response::builder().header("cache-control", "max-age=1, stale-if-error=60");
                if request.headers().get("if-none-match").is_some_and(|tag| tag == "\"v1\"") {
                    let status = if before == 1 { 304 } else { 503 };
                    respond.send_response(answer.status(status).body(()).unwrap(), true).unwrap();
                    continue;
                }
                let answer = answer.header("etag", "\"v1\"").body(()).unwrap();
                // No length: the end of the stream is the end of the body.
                let mut body = respond.send_response(answer, false).unwrap();
                body.send_data(Bytes::from("bo"), false).unwrap();
                body.send_data(Bytes::from("dy"), true).unwrap();
            }
        }
    })
    .await;
    let mut spec = EdgeSpec::on(upstream.addr, &json!([widget("w")]));
    spec.more = format!("[upstreams.app]\nservers = [\"{}\"]\n{}", upstream.addr, tls.keys());
    let edge = Edge::start(spec).await;
    for round in 0..3 {
        for _ in 0..2 {
            let answer = get(&edge, ASSET).await;
            assert_eq!((answer.status, answer.body.as_str()), (200, "body"), "round {round}");
        }
        assert_eq!(count.load(Ordering::SeqCst), round + 1, "asked, validated, failed");
        tokio::time::sleep(Duration::from_millis(1200)).await;
    }
    assert_eq!(outcomes(&edge, "stale").await, 2.0);
}
