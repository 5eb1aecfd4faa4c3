//! Heads over the limits, and heads that are small on the wire and large in memory (CVE-2026-49975).

use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;

use super::{Held, LISTED, QUICK, SESSION, edge_on, is_served};
use crate::support::edge::Edge;
use crate::support::frames::{END_HEADERS, END_STREAM, Frames, HEADERS, block, frame, get, literal};
use crate::support::raw::{self, Connection};
use crate::support::tls::EdgeTls;

/// Sends a request over HTTP/2, and tells the status and the body of its answer.
async fn ask(client: &SendRequest<Bytes>, target: &str, fields: &[(&str, &str)]) -> (u16, String) {
    let mut request = Request::get(format!("https://chat.example{target}"));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let mut client = client.clone().ready().await.unwrap();
    let (answer, _) = client.send_request(request.body(()).unwrap(), true).unwrap();
    let (head, mut body) = answer.await.unwrap().into_parts();
    let mut text = Vec::new();
    while let Some(piece) = body.data().await {
        text.extend_from_slice(&piece.unwrap());
    }
    (head.status.as_u16(), String::from_utf8(text).unwrap())
}

#[tokio::test]
async fn heads_over_the_limits_are_told_what_is_too_long() {
    let upstream = Held::start().await;
    let bounds = "bounds = { header_bytes = \"8KiB\", header_fields = 20 }";
    let (edge, tls) = edge_on(upstream.upstream.addr, bounds).await;
    let client = tls.http2().await;
    let (value, crumb) = ("a".repeat(4000), ("cookie", "a=b"));
    let long = [LISTED, ("x-one", &value), ("x-two", &value), ("x-three", &value)];
    let mut many = vec![LISTED];
    many.resize(21, crumb);
    let target = format!("{QUICK}?{}", "a".repeat(8200));
    for (target, fields, status, told) in [
        (QUICK, &long[..3], 200, "ok"),
        (QUICK, &long[..], 431, "too long"),
        (QUICK, &many[..15], 200, "ok"),
        (QUICK, &many[..], 431, "too many header fields"),
        (&target, &[LISTED][..], 414, "the request target is longer than 8 KiB"),
    ] {
        let over_http2 = ask(&client, target, fields).await;
        let request = raw::request("GET", edge.http, target, fields);
        let over_http1 = Connection::open(edge.http).await.ask(request).await;
        for (got, body) in [over_http2, (over_http1.status, over_http1.body)] {
            assert_eq!(got, status, "{body}");
            assert!(body.contains(told), "{body}");
            for name in ["h2", "httparse", "pingora", "hyper"] {
                assert!(!body.contains(name), "{body}");
            }
        }
    }
    // Twice the limit is refused by the library, without a text, and the connection goes on.
    let huge = vec![("x", value.as_str()); 5];
    assert_eq!(ask(&client, QUICK, &huge).await, (431, String::new()));
    assert_eq!(ask(&client, QUICK, &[LISTED]).await.0, 200);
}

/// Sends as many heads as there may be requests at once, again and again, and tells by how much the edge has grown most.
async fn grown(edge: &Edge, tls: &EdgeTls, begin: &[u8], head: &[u8], flags: u8) -> usize {
    let mut client = Frames::open(tls).await;
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, begin)).await;
    assert!(client.await_frame(HEADERS, 1).await.is_some());
    tokio::time::sleep(Duration::from_millis(200)).await;
    let (before, mut most, mut next) = (edge.resident_bytes(), 0, 3);
    for _ in 0..5 {
        let mut heads = Vec::new();
        for _ in 0..100 {
            // No frame is longer than 16 KiB.
            let mut pieces = head.chunks(16_384).peekable();
            let mut kind = HEADERS;
            while let Some(piece) = pieces.next() {
                let last = if pieces.peek().is_none() { END_HEADERS } else { 0 };
                let first = if kind == HEADERS { flags } else { 0 };
                heads.extend(frame(kind, first | last, next, piece));
                kind = 9;
            }
            next += 2;
        }
        if !client.send(heads).await {
            break;
        }
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            most = most.max(edge.resident_bytes().saturating_sub(before));
        }
        client.arrived();
    }
    most
}

#[tokio::test]
async fn heads_that_grow_in_memory_are_bounded() {
    let upstream = Held::start().await;
    let (edge, tls) = edge_on(upstream.upstream.addr, "").await;
    // What any connection costs for the first time is not theirs.
    for _ in 0..20 {
        assert!(is_served(&tls).await);
    }
    let begin = |entries: &[(&str, &str)]| {
        let mut begin = block(0x82, QUICK, &[LISTED]);
        for (name, value) in entries {
            literal(&mut begin, 0x40, name, value);
        }
        begin
    };
    let session = block(0x82, SESSION, &[LISTED]);
    let with = |references: usize| [session.clone(), vec![0x80 | 62; references]].concat();
    let large = "a".repeat(4000);
    let value = "b".repeat(620);
    let honest: Vec<(&str, &str)> =
        std::iter::once(LISTED).chain((0..90).map(|_| ("x", value.as_str()))).collect();
    let crumbs: Vec<(&str, &str)> =
        std::iter::once(LISTED).chain((0..98).map(|_| ("cookie", "a=b"))).collect();
    for (name, begin, head) in [
        ("references to a small entry", begin(&[("a", "")]), with(3900)),
        ("more references than are kept", begin(&[("a", "")]), with(15_000)),
        ("references to a large entry", begin(&[("a", &large)]), with(16)),
        ("more references to a large entry", begin(&[("a", &large)]), with(120)),
        ("references to a cookie", begin(&[("cookie", "")]), with(3000)),
        ("static references", begin(&[]), [session.clone(), vec![0x80 | 16; 2000]].concat()),
        ("large heads within the limits", begin(&[]), block(0x82, SESSION, &honest)),
        ("cookies in pieces", begin(&[]), block(0x82, SESSION, &crumbs)),
    ] {
        for flags in [END_STREAM, 0] {
            let grown = grown(&edge, &tls, &begin, &head, flags).await;
            println!("{name}, {flags}: {} KiB", grown / 1024);
            assert!(grown < 16 << 20, "{name}: {grown}");
            assert!(is_served(&tls).await);
        }
    }
    let mut client = Frames::open(&tls).await;
    client.send(get(1, QUICK, &[LISTED])).await;
    assert!(client.await_frame(HEADERS, 1).await.is_some());
}
