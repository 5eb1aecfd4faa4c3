#![allow(clippy::unwrap_used)]

use std::time::Duration;

use http::StatusCode;

use super::*;
use crate::edge::cache::fixtures::{admission, request, stored};

const BODY: &str = "0123456789";

const FIELDS: [(&str, &str); 4] = [
    ("content-type", "text/javascript"),
    ("etag", "\"v1\""),
    ("last-modified", "Mon, 23 Nov 2026 12:00:00 GMT"),
    ("cache-control", "public, max-age=60"),
];

/// Status, body and the fields of one answer to these request fields.
fn answered(method: &str, fields: &[(&'static str, &str)]) -> (u16, String, Fields) {
    let request = request(method, fields);
    let hit = Hit::new(Arc::new(stored(StatusCode::OK, &FIELDS, BODY)), Instant::now());
    let (head, body) = hit.answer(&request, &admission(None));
    (head.status.as_u16(), String::from_utf8(body.to_vec()).unwrap(), head.fields.clone())
}

/// RFC 9110 §13: `If-None-Match` by weak comparison, before `If-Modified-Since`.
#[test]
fn a_browser_that_has_it_is_told_so() {
    for (fields, status) in [
        (&[("if-none-match", "\"v1\"")][..], 304),
        (&[("if-none-match", "W/\"v1\"")], 304),
        (&[("if-none-match", "\"v0\", \"v1\"")], 304),
        (&[("if-none-match", "*")], 304),
        (&[("if-none-match", "\"v0\"")], 200),
        (&[("if-none-match", "\"v0\""), ("if-modified-since", "Mon, 23 Nov 2026 12:00:00 GMT")], 200),
        (&[("if-modified-since", "Mon, 23 Nov 2026 12:00:00 GMT")], 304),
        (&[("if-modified-since", "Mon, 23 Nov 2026 11:59:59 GMT")], 200),
        (&[("if-modified-since", "yesterday")], 200),
        (&[("if-none-match", "\"v1\""), ("range", "bytes=0-1")], 304),
    ] {
        for method in ["GET", "HEAD"] {
            let (answer, body, headers) = answered(method, fields);
            assert_eq!(answer, status, "{method} {fields:?}");
            assert_eq!(body, if status == 200 && method == "GET" { BODY } else { "" }, "{method} {fields:?}");
            assert_eq!(headers.text("content-length").is_some(), status == 200, "{method} {fields:?}");
            assert_eq!(headers.text("etag").unwrap(), "\"v1\"");
            assert!(headers.text("cache-control").is_some() && headers.text("vary").is_some(), "{headers:?}");
        }
    }
}

/// RFC 9110 §14.
#[test]
fn a_range_is_cut_out() {
    let whole = || (200, BODY.to_owned(), None);
    let part = |body: &str, range: &str| (206, body.to_owned(), Some(range.to_owned()));
    let beyond = || (416, String::new(), Some("bytes */10".to_owned()));
    for (fields, expected) in [
        (&[("range", "bytes=0-3")][..], part("0123", "bytes 0-3/10")),
        (&[("range", "bytes=4-")], part("456789", "bytes 4-9/10")),
        (&[("range", "bytes=-3")], part("789", "bytes 7-9/10")),
        (&[("range", "bytes=8-99")], part("89", "bytes 8-9/10")),
        (&[("range", "bytes=-99")], part(BODY, "bytes 0-9/10")),
        (&[("range", "bytes=10-")], beyond()),
        (&[("range", "bytes=5-2")], beyond()),
        (&[("range", "bytes=0-0,-1")], whole()),
        (&[("range", "lines=0-3")], whole()),
        (&[("range", "bytes=x")], whole()),
        (&[("range", "bytes=0-3"), ("if-range", "\"v1\"")], part("0123", "bytes 0-3/10")),
        (&[("range", "bytes=0-3"), ("if-range", "\"v0\"")], whole()),
        (&[("range", "bytes=0-3"), ("if-range", "W/\"v1\"")], whole()),
        (
            &[("range", "bytes=0-3"), ("if-range", "Mon, 23 Nov 2026 12:00:00 GMT")],
            part("0123", "bytes 0-3/10"),
        ),
        (&[("range", "bytes=0-3"), ("if-range", "Mon, 23 Nov 2026 11:00:00 GMT")], whole()),
    ] {
        let (status, body, headers) = answered("GET", fields);
        let range = headers.text("content-range").map(str::to_owned);
        assert_eq!(headers.text("content-length").unwrap(), body.len().to_string(), "{fields:?}");
        assert_eq!((status, body, range), expected, "{fields:?}");
    }
    let (status, body, headers) = answered("HEAD", &[("range", "bytes=0-3")]);
    assert_eq!((status, body.as_str()), (200, ""));
    assert_eq!((headers.text("content-length"), headers.text("content-range")), (Some("10"), None));
}

#[test]
fn each_visit_gets_its_own_grant() {
    let stored = Arc::new(stored(StatusCode::OK, &FIELDS, BODY));
    let hit = Hit::new(Arc::clone(&stored), Instant::now() + Duration::from_secs(7));
    let to = |origin| hit.answer(&request("GET", &[]), &admission(origin)).0;
    for origin in ["https://a.example", "https://b.example"] {
        assert_eq!(to(Some(origin)).fields.text("access-control-allow-origin").unwrap(), origin);
    }
    let head = to(None);
    assert_eq!(head.fields.text("access-control-allow-origin"), None);
    assert_eq!(head.fields.text("age").unwrap(), "7");
    assert_eq!(
        head.fields.text("cache-control").unwrap(),
        "private, max-age=60",
        "as every answer of this route"
    );
    assert_eq!(head.fields.text("vary").unwrap(), "Origin, Referer, Sec-Fetch-Dest");
}

#[test]
fn what_is_a_connections_or_a_visits_own_is_not_kept() {
    let fields = [
        ("cache-control", "max-age=60"),
        ("connection", "keep-alive, x-hop"),
        ("keep-alive", "timeout=5"),
        ("x-hop", "1"),
        ("transfer-encoding", "chunked"),
        ("trailer", "x-sum"),
        ("proxy-authenticate", "Basic"),
        ("age", "3"),
        ("date", "Fri, 31 Dec 2100 12:00:00 GMT"),
        ("x-decision-id", "echoed"),
        ("x-embedder-origin", "https://a.example"),
        ("access-control-allow-origin", "*"),
        ("server", "boast"),
        ("x-version", "1"),
    ];
    let stored = Arc::new(stored(StatusCode::OK, &fields, BODY));
    let (head, _) = Hit::new(stored, Instant::now()).answer(&request("GET", &[]), &admission(None));
    let mut names: Vec<&str> = head.fields.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    let expected = [
        "age",
        "cache-control",
        "content-length",
        "cross-origin-resource-policy",
        "referrer-policy",
        "vary",
        "x-content-type-options",
        "x-version",
    ];
    assert_eq!(names, expected);
    assert_eq!(head.fields.text("age").unwrap(), "0");
}
