//! The ticket that a frame's document comes with.

use super::{SITE, ask, opened_by, outcome, own, session, spec};
use crate::support::edge::Edge;
use crate::support::raw::{Answer, Connection, request};
use crate::support::upstream::Upstream;

const FRAME: &str = "/w/w/frame";
const PAGE: (&str, &str) = ("Referer", "https://a.example/page");
/// The edge's own lane, the library with the direct path, and the library alone.
const WAYS: [(&str, (&str, &str)); 3] =
    [("GET", ("Accept", "*/*")), ("GET", ("Connection", "close")), ("POST", ("Content-Length", "0"))];

/// The ticket in an answer's `Server-Timing`.
pub(super) fn ticket_of(answer: &Answer) -> Option<String> {
    let line = answer.field("server-timing").split('\n').find(|line| line.starts_with("embed-ticket"))?;
    Some(line.strip_prefix("embed-ticket;desc=\"")?.strip_suffix('"')?.to_owned())
}

#[tokio::test]
async fn it_comes_with_every_frame_whose_page_is_known() {
    let fields = [
        ("server-timing", "embed-ticket;desc=forged, db;dur=5"),
        ("timing-allow-origin", "*"),
        ("cache-control", "public, max-age=600"),
        ("etag", "\"v1\""),
    ];
    let upstream = Upstream::with_fields("app", &fields).await;
    let edge = Edge::start(spec(upstream.addr)).await;
    for (method, more) in WAYS {
        let answer = ask(&edge, method, FRAME, &[PAGE, more]).await;
        let ticket = ticket_of(&answer).unwrap_or_else(|| panic!("{method} {more:?}: {answer:?}"));
        assert_eq!(opened_by(&edge, "w", &ticket), SITE);
        assert_eq!(session(&edge, &ticket).await.status, 200, "{method} {more:?}");
        assert_eq!(answer.field("cache-control"), "private, no-store");
        assert_eq!(answer.field("timing-allow-origin"), "", "the page around it would read it, too");
        assert!(answer.field("server-timing").contains("db;dur=5"), "{answer:?}");
        assert!(!answer.field("server-timing").contains("forged"), "{answer:?}");
        assert_eq!(answer.field("access-control-allow-origin"), "");
    }
    assert_eq!(outcome(&edge, "framed").await, 3.0);
    let own = own(&edge);
    for referer in [None, Some(("Referer", own.as_str()))] {
        for (method, more) in WAYS {
            let fields: Vec<_> = referer.into_iter().chain([more]).collect();
            let answer = ask(&edge, method, FRAME, &fields).await;
            assert_eq!((answer.status, ticket_of(&answer)), (200, None), "{method} {referer:?}");
            assert_eq!(answer.field("server-timing"), "db;dur=5");
            assert_eq!(answer.field("cache-control"), "private, no-cache");
        }
    }
    let denied = ask(&edge, "GET", FRAME, &[("Referer", "https://stranger.example/")]).await;
    assert_eq!((denied.status, ticket_of(&denied)), (403, None));
    for path in ["/w/w/loader.js", "/w/w/session", "/w/w/trust"] {
        let answer = ask(&edge, "GET", path, &[("Origin", SITE)]).await;
        assert_eq!((answer.status, ticket_of(&answer)), (200, None), "{path}");
    }
    for widget in ["open", "monitored"] {
        let answer =
            ask(&edge, "GET", &format!("/w/{widget}/frame"), &[("Referer", "https://b.example/")]).await;
        assert_eq!(opened_by(&edge, widget, &ticket_of(&answer).unwrap()), "https://b.example");
    }
}

/// A browser that has stored a frame which came without one gets the ticket with its 304.
#[tokio::test]
async fn a_304_carries_one_and_says_not_to_store_it() {
    let upstream = Upstream::with_fields("app", &[("x-test-status", "304"), ("etag", "\"v1\"")]).await;
    let edge = Edge::start(spec(upstream.addr)).await;
    for more in [("Accept", "*/*"), ("Connection", "close")] {
        let asked = request("GET", edge.http, FRAME, &[PAGE, more, ("If-None-Match", "\"v1\"")]);
        let mut connection = Connection::open(edge.http).await;
        connection.send(asked).await;
        let answer = connection.head().await;
        assert_eq!((answer.status, answer.field("cache-control")), (304, "private, no-store"));
        assert_eq!(opened_by(&edge, "w", &ticket_of(&answer).unwrap()), SITE);
        assert!(answer.field("content-security-policy").contains("frame-ancestors"), "{answer:?}");
    }
}
