//! The forms that an asset comes in from memory: whole, in part, its head alone, or the word that it hasn't changed.

use super::{ASSET, LISTED, Origin, ask, get, get_with, ok};
use crate::support::raw::{self, Connection};

const FIELDS: &str = "Cache-Control: max-age=60\r\nETag: \"v1\"\r\nContent-Type: text/javascript\r\n\
                      Last-Modified: Mon, 23 Nov 2026 12:00:00 GMT\r\n";

#[tokio::test]
async fn every_form_comes_from_one_fetch() {
    let origin = Origin::start(|_, _| ok(FIELDS, "0123456789")).await;
    let edge = origin.edge().await;
    get(&edge, ASSET).await;

    let head = ask(&edge, "HEAD", ASSET, &[]).await;
    assert_eq!((head.status, head.field("content-length"), head.field("age")), (200, "10", "0"));
    assert_eq!((head.field("etag"), head.field("access-control-allow-origin")), ("\"v1\"", LISTED));

    let part = get_with(&edge, ASSET, &[("Range", "bytes=2-4")]).await;
    assert_eq!((part.status, part.body.as_str()), (206, "234"));
    assert_eq!((part.field("content-range"), part.field("content-length")), ("bytes 2-4/10", "3"));
    assert_eq!(part.field("access-control-allow-origin"), LISTED);
    let beyond = get_with(&edge, ASSET, &[("Range", "bytes=10-")]).await;
    assert_eq!((beyond.status, beyond.field("content-range")), (416, "bytes */10"));
    let several = get_with(&edge, ASSET, &[("Range", "bytes=0-1,4-5")]).await;
    assert_eq!((several.status, several.body.as_str()), (200, "0123456789"));

    for condition in [("If-None-Match", "W/\"v1\""), ("If-Modified-Since", "Mon, 23 Nov 2026 12:00:00 GMT")] {
        let known = get_with(&edge, ASSET, &[condition]).await;
        assert_eq!((known.status, known.body.as_str(), known.field("content-length")), (304, "", ""));
        assert_eq!(known.field("etag"), "\"v1\"");
        assert_eq!(known.field("vary"), "Origin, Referer, Sec-Fetch-Dest");
        assert_eq!(known.field("access-control-allow-origin"), LISTED);
        assert_eq!(known.field("cache-control"), "private, max-age=60");
    }
    assert_eq!(origin.count(), 1);
    ask(&edge, "GET", ASSET, &[("If-Match", "\"v0\"")]).await;
    assert_eq!(origin.count(), 2, "only the upstream can judge this one (RFC 9111 §4.3.2)");
}

/// One connection for all of them: each answer ends where its framing says.
#[tokio::test]
async fn a_connection_is_kept_over_every_form() {
    let origin = Origin::start(|_, _| ok(FIELDS, "0123456789")).await;
    let edge = origin.edge().await;
    get(&edge, ASSET).await;
    let mut connection = Connection::open(edge.http).await;
    for _ in 0..3 {
        for (method, fields, body) in [
            ("GET", &[][..], "0123456789"),
            ("HEAD", &[], ""),
            ("GET", &[("Range", "bytes=-1")], "9"),
            ("GET", &[("If-None-Match", "\"v1\"")], ""),
            ("GET", &[("Range", "bytes=99-")], ""),
        ] {
            connection.send(raw::request(method, edge.http, ASSET, fields)).await;
            if method == "HEAD" {
                assert_eq!(connection.head().await.field("connection"), "keep-alive");
            } else {
                assert_eq!(connection.answer().await.body, body, "{fields:?}");
            }
        }
    }
    let requests = raw::request("GET", edge.http, ASSET, &[]).repeat(3);
    connection.send(requests).await;
    for _ in 0..3 {
        assert_eq!(connection.answer().await.body, "0123456789", "requests sent without waiting");
    }
    assert_eq!(origin.count(), 1);
}

#[tokio::test]
async fn what_is_not_in_memory_goes_on_as_it_was_asked() {
    let origin = Origin::start(|head, _| match head.to_ascii_lowercase() {
        head if head.starts_with("head") => format!("HTTP/1.1 200 OK\r\n{FIELDS}Content-Length: 10\r\n\r\n"),
        head if head.contains("range: bytes=0-1") => format!(
            "HTTP/1.1 206 Partial Content\r\n{FIELDS}Content-Range: bytes 0-1/10\r\nContent-Length: 2\r\n\r\n01"
        ),
        head if head.contains("if-none-match: \"v1\"") => format!("HTTP/1.1 304 Not Modified\r\n{FIELDS}\r\n"),
        _ => ok(FIELDS, "0123456789"),
    })
    .await;
    let edge = origin.edge().await;
    for (method, fields, status) in [
        ("HEAD", &[][..], 200),
        ("GET", &[("Range", "bytes=0-1")], 206),
        ("GET", &[("If-None-Match", "\"v1\"")], 304),
    ] {
        for _ in 0..2 {
            assert_eq!(ask(&edge, method, ASSET, fields).await.status, status, "{method} {fields:?}");
        }
    }
    assert_eq!(origin.count(), 6, "no part was taken for the whole");
    assert_eq!(get(&edge, ASSET).await.body, "0123456789");
}

#[tokio::test]
async fn old_clients_are_served_too() {
    let origin = Origin::start(|head, _| {
        if head.contains("/chunks") {
            return format!(
                "HTTP/1.1 200 OK\r\n{FIELDS}Transfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n"
            );
        }
        ok(FIELDS, "0123456789")
    })
    .await;
    let edge = origin.edge().await;
    for path in [ASSET, "/w/w/assets/chunks"] {
        get(&edge, path).await;
        let request = format!("GET {path} HTTP/1.0\r\nHost: {}\r\nOrigin: {LISTED}\r\n\r\n", edge.http);
        let mut connection = Connection::open(edge.http).await;
        connection.send(request).await;
        let answer = connection.answer().await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "0123456789"), "{path}");
        assert_eq!(answer.field("content-length"), "10", "{path}");
        assert!(connection.is_closed().await, "{path}");
    }
    assert_eq!(origin.count(), 2);
}
