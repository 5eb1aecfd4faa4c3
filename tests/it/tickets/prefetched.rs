//! What is only fetched ahead gets no ticket, and is not kept for when it is shown.

use super::frames::ticket_of;
use super::{SITE, ask, body, call, opened_by, outcome, own, renew, session, spec, ticket};
use crate::support::edge::Edge;
use crate::support::raw::Answer;
use crate::support::upstream::Upstream;

const FRAME: &str = "/w/w/frame";
const PAGE: (&str, &str) = ("Referer", "https://a.example/page");
const IN_FRAME: (&str, &str) = ("Sec-Fetch-Dest", "iframe");
const PURPOSES: [(&str, &str); 2] = [("Sec-Purpose", "prefetch"), ("Purpose", "prefetch")];

const PRERENDER: &str = "prefetch;prerender";

/// An edge with ticket cookies, before an upstream whose answers could be stored.
async fn start() -> (Upstream, Edge) {
    let upstream = Upstream::with_fields("app", &[("cache-control", "max-age=600")]).await;
    let mut spec = spec(upstream.addr);
    spec.more.push_str("[tickets]\ncookie = \"partitioned\"\n");
    let edge = Edge::start(spec).await;
    (upstream, edge)
}

fn cookies(answer: &Answer) -> usize {
    answer.field("set-cookie").split('\n').filter(|line| line.starts_with("__Host-embed.")).count()
}

#[tokio::test]
async fn a_frame_has_none_and_is_not_stored() {
    let (_upstream, edge) = start().await;
    let reload = format!("{FRAME}?ticket={}", ticket(&edge, "w", SITE, 60));
    let own = own(&edge);
    for purpose in PURPOSES {
        for (path, page) in [(FRAME, PAGE), (FRAME, ("Referer", &*own)), (&*reload, ("Referer", &*own))] {
            let answer = ask(&edge, "GET", path, &[page, IN_FRAME, purpose]).await;
            assert_eq!((answer.status, answer.field("cache-control")), (200, "private, no-store"), "{path}");
            assert_eq!((ticket_of(&answer), cookies(&answer)), (None, 0), "{path} {purpose:?}: {answer:?}");
        }
    }
    assert_eq!(outcome(&edge, "framed").await, 0.0);
    // A tab that is prerendered.
    let answer =
        ask(&edge, "GET", FRAME, &[PAGE, ("Sec-Fetch-Dest", "document"), ("Sec-Purpose", PRERENDER)]).await;
    assert_eq!((ticket_of(&answer), cookies(&answer)), (None, 0), "{answer:?}");
    // The frame that is shown; and that of a page which was prerendered, which browsers request when it is shown.
    for purpose in [("Accept", "*/*"), ("Sec-Purpose", PRERENDER)] {
        let answer = ask(&edge, "GET", FRAME, &[PAGE, IN_FRAME, purpose]).await;
        assert_eq!((opened_by(&edge, "w", &ticket_of(&answer).unwrap()), cookies(&answer)), (SITE.into(), 1));
        assert_eq!(answer.field("cache-control"), "private, no-store");
    }

    let answer = ask(&edge, "GET", "/w/w/assets/a.css", &[PAGE, PURPOSES[0]]).await;
    assert_eq!(answer.field("cache-control"), "private, max-age=600", "assets have no ticket anyway");
}

#[tokio::test]
async fn a_session_renews_no_cookie() {
    let (_upstream, edge) = start().await;
    let (own, cookie) = (own(&edge), format!("__Host-embed.w={}", ticket(&edge, "w", SITE, 10)));
    let asked = [("Origin", &*own), ("Cookie", &*cookie)];
    for purpose in [PURPOSES[0], ("Sec-Purpose", PRERENDER)] {
        let answer = ask(&edge, "GET", "/w/w/session", &[asked[0], asked[1], purpose]).await;
        assert_eq!((answer.status, cookies(&answer)), (200, 0), "{answer:?}");
    }
    let answer = ask(&edge, "GET", "/w/w/session", &asked).await;
    assert_eq!((answer.status, cookies(&answer)), (200, 1), "{answer:?}");
}

#[tokio::test]
async fn a_page_that_is_prerendered_is_told_to_ask_when_it_is_shown() {
    let (_upstream, edge) = start().await;
    for widget in ["w", "open", "unknown"] {
        let asked = [("Origin", SITE), ("Sec-Purpose", PRERENDER)];
        let answer = call(&edge, widget, &asked).await;
        assert_eq!((answer.status, answer.field("access-control-allow-origin")), (409, SITE), "{answer:?}");
        assert_eq!(answer.field("cache-control"), "no-store");
        let detail = body(&answer)["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("not shown yet") && detail.contains("ask again"), "{detail}");
    }
    assert_eq!(outcome(&edge, "issued").await + outcome(&edge, "refused").await, 0.0);
    // `Purpose` alone a script could set itself.
    let answer = call(&edge, "w", &[("Origin", SITE), ("Purpose", "prefetch")]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let ticket = body(&answer)["ticket"].as_str().unwrap().to_owned();
    assert_eq!(renew(&edge, "w", &ticket).await.status, 200);
    assert_eq!(session(&edge, &ticket).await.status, 200);
}
