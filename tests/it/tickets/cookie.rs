//! Tickets in a cookie: for iframes of widgets that know nothing of tickets. The attacks first.

use serde_json::json;

use super::{SESSION, SITE, STRANGER, ask, body, logged, own, renew, save, spec, ticket, widgets};
use crate::support::edge::{Edge, EdgeSpec};
use crate::support::raw::{self, Answer};
use crate::support::upstream::{Upstream, got};
use crate::support::websocket;

const FRAME: &str = "/w/w/frame";
const IN_FRAME: (&str, &str) = ("Sec-Fetch-Dest", "iframe");
const PAGE: (&str, &str) = ("Referer", "https://a.example/page");

fn with_cookies(upstream: &Upstream) -> EdgeSpec {
    let mut spec = spec(upstream.addr);
    spec.more.push_str("[tickets]\ncookie = \"partitioned\"\n");
    spec
}

async fn start(upstream: &Upstream) -> Edge {
    Edge::start(with_cookies(upstream)).await
}

/// The ticket cookies of an answer.
fn set(answer: &Answer) -> Vec<&str> {
    answer.field("set-cookie").split('\n').filter(|line| line.starts_with("__Host-embed.")).collect()
}

/// A session call of the widget `w` with these cookies and this origin.
async fn session(edge: &Edge, origin: &str, cookie: &str) -> Answer {
    ask(edge, "GET", SESSION, &[("Origin", origin), ("Cookie", cookie)]).await
}

/// The reason of a denial, as the log has it.
async fn reason(edge: &Edge, answer: &Answer) -> String {
    assert_eq!(answer.status, 403, "{answer:?}");
    logged(edge, answer).await["reason"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn it_is_read_on_requests_of_the_own_origin_alone() {
    let upstream = Upstream::start("app").await;
    let edge = start(&upstream).await;
    let good = format!("__Host-embed.w={}", ticket(&edge, "w", SITE, 60));

    // A page of another site makes the browser send it.
    let answer = session(&edge, STRANGER, &good).await;
    assert_eq!(reason(&edge, &answer).await, "not_listed");
    let fields = [("Referer", "https://stranger.example/x"), ("Cookie", &*good)];
    let answer = ask(&edge, "GET", SESSION, &fields).await;
    assert_eq!(reason(&edge, &answer).await, "not_listed");
    let answer = ask(&edge, "GET", SESSION, &[("Cookie", &*good)]).await;
    assert_eq!(reason(&edge, &answer).await, "no_embedder");
    for origin in ["null", "https://A.example"] {
        let answer = session(&edge, origin, &good).await;
        assert!(["opaque_origin", "malformed_origin"].contains(&&*reason(&edge, &answer).await), "{origin}");
    }
    // A listed page is allowed for itself, whatever its cookies say.
    let of_stranger = format!("__Host-embed.w={}", ticket(&edge, "w", STRANGER, 60));
    let answer = session(&edge, SITE, &of_stranger).await;
    assert_eq!((answer.status, got(&body(&answer), "x-embedder-origin")), (200, Some(SITE)));
    assert!(!answer.field("vary").contains("Cookie"), "it was not read: {answer:?}");
}

#[tokio::test]
async fn it_is_its_widget_s_and_judged_by_the_rules_of_the_moment() {
    let upstream = Upstream::start("app").await;
    let edge = start(&upstream).await;
    let own = own(&edge);
    let of = |name: &str, widget: &str, embedder: &str, left: i64| {
        format!("__Host-embed.{name}={}", ticket(&edge, widget, embedder, left))
    };
    for (cookie, denied_for) in [
        (of("other", "w", SITE, 60), "ticket_missing"),
        (of("w", "other", SITE, 60), "ticket_invalid"),
        (of("w", "w", STRANGER, 60), "not_listed"),
        (format!("{}; {}", of("w", "w", SITE, 60), of("w", "w", SITE, 50)), "ticket_invalid"),
        ("__Host-embed.w=a.b".to_owned(), "ticket_invalid"),
        // What a sub-domain could set has no such prefix.
        (format!("embed.w={}", ticket(&edge, "w", SITE, 60)), "ticket_missing"),
        (of("w", "w", SITE, -13 * 60 * 60), "ticket_expired"),
    ] {
        let answer = session(&edge, &own, &cookie).await;
        assert_eq!(reason(&edge, &answer).await, denied_for, "{cookie}");
    }
    // One that the frame sends on purpose goes before it.
    let bad = format!("Embed {}", ticket(&edge, "w", STRANGER, 60));
    let good = of("w", "w", SITE, 60);
    let fields = [("Origin", &*own), ("Authorization", &*bad), ("Cookie", &*good)];
    let answer = ask(&edge, "GET", SESSION, &fields).await;
    assert_eq!(reason(&edge, &answer).await, "not_listed");

    assert_eq!(session(&edge, &own, &good).await.status, 200);
    save(&edge, &json!(["b.example"])).await;
    let answer = session(&edge, &own, &good).await;
    assert_eq!(reason(&edge, &answer).await, "not_listed");
    assert_eq!(logged(&edge, &answer).await["opened_by"], SITE);
}

/// An edge of several names: the cookie of one host says nothing on another.
#[tokio::test]
async fn it_is_its_host_s() {
    let upstream = Upstream::start("app").await;
    let mut spec = with_cookies(&upstream);
    spec.public_origins = Some("[\"https://one.example\", \"https://two.example\"]".to_owned());
    let edge = Edge::start(spec).await;
    let ask = async |host: &str, origin: &str| {
        let ticket = ticket(&edge, "w", SITE, 60);
        let request = format!(
            "GET {SESSION} HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\nCookie: __Host-embed.w={ticket}\r\n\
             Connection: close\r\n\r\n"
        );
        raw::send(edge.http, request.as_bytes()).await
    };
    assert_eq!(ask("one.example", "https://one.example").await.status, 200);
    assert_eq!(ask("two.example", "https://two.example").await.status, 200);
    let answer = ask("one.example", "https://two.example").await;
    assert_eq!(reason(&edge, &answer).await, "ticket_missing");
}

#[tokio::test]
async fn a_frame_whose_page_is_known_gets_one() {
    let upstream = Upstream::with_fields(
        "app",
        &[("set-cookie", "theirs=1; Path=/"), ("set-cookie", "__Host-embed.w=forged; Path=/; Secure")],
    )
    .await;
    let edge = start(&upstream).await;
    let answer = ask(&edge, "GET", FRAME, &[PAGE, IN_FRAME]).await;
    let [cookie] = set(&answer)[..] else { panic!("{answer:?}") };
    let (value, attributes) = cookie.split_once("; ").unwrap();
    assert_eq!(attributes, "Path=/; Secure; HttpOnly; SameSite=None; Partitioned; Max-Age=43200");
    let given = value.strip_prefix("__Host-embed.w=").unwrap();
    assert_eq!(super::opened_by(&edge, "w", given), SITE);
    assert_eq!(answer.field("cache-control"), "private, no-store");
    assert!(answer.field("set-cookie").contains("theirs=1"), "{answer:?}");
    assert!(!answer.field("set-cookie").contains("forged"), "{answer:?}");
    let answer = session(&edge, &own(&edge), value).await;
    assert_eq!((answer.status, got(&body(&answer), "x-embedder-origin")), (200, Some(SITE)));

    let own = own(&edge);
    for fields in [
        // A tab, an old browser, a page that says nothing, a stranger, the frame itself without anything.
        &[PAGE, ("Sec-Fetch-Dest", "document")][..],
        &[PAGE],
        &[IN_FRAME],
        &[("Referer", "https://stranger.example/"), IN_FRAME],
        &[("Referer", &*own), IN_FRAME],
    ] {
        let answer = ask(&edge, "GET", FRAME, fields).await;
        assert_eq!(set(&answer), [""; 0], "{fields:?}: {answer:?}");
        assert!(!answer.field("set-cookie").contains("forged"), "{fields:?}: {answer:?}");
    }
    // Browsers would not keep it.
    let request = "GET /w/w/frame HTTP/1.1\r\nHost: chat.example\r\nReferer: https://a.example/\r\n\
                   Sec-Fetch-Dest: iframe\r\nConnection: close\r\n\r\n";
    let answer = raw::send(edge.http, request.as_bytes()).await;
    assert_eq!((answer.status, set(&answer)), (200, Vec::new()), "{answer:?}");
    // Where it is off, nothing of it is.
    let edge = Edge::start(spec(upstream.addr)).await;
    let answer = ask(&edge, "GET", FRAME, &[PAGE, IN_FRAME]).await;
    assert_eq!((answer.status, set(&answer)), (200, Vec::new()), "{answer:?}");
    let good = format!("__Host-embed.w={}", ticket(&edge, "w", SITE, 60));
    let answer = session(&edge, &super::own(&edge), &good).await;
    assert_eq!(reason(&edge, &answer).await, "ticket_missing");
    assert!(answer.body.contains("turn on tickets.cookie"), "{answer:?}");
}

/// A frame that reloads, or follows a link of its own, is its page's by the cookie.
#[tokio::test]
async fn a_frame_that_reloads_keeps_its_page() {
    let upstream = Upstream::start("app").await;
    let edge = start(&upstream).await;
    let own = own(&edge);
    let cookie = format!("x=1; __Host-embed.w={}; y=2", ticket(&edge, "w", SITE, -60 * 60));
    let answer = ask(&edge, "GET", FRAME, &[("Referer", &own), IN_FRAME, ("Cookie", &cookie)]).await;
    assert_eq!((answer.status, got(&body(&answer), "cookie")), (200, Some("x=1; y=2")));
    assert!(answer.field("content-security-policy").contains("https://a.example"), "{answer:?}");
    assert_eq!(set(&answer).len(), 1, "{answer:?}");
    assert!(answer.field("vary").contains("Cookie"), "{answer:?}");
    // A tab is nobody's page.
    let answer = ask(&edge, "GET", FRAME, &[("Referer", &own), ("Cookie", &cookie)]).await;
    assert_eq!((answer.status, set(&answer).len()), (200, 0));
    // A page that was removed is not let in again by it.
    save(&edge, &json!(["b.example"])).await;
    let answer = ask(&edge, "GET", FRAME, &[("Referer", &own), IN_FRAME, ("Cookie", &cookie)]).await;
    assert_eq!(answer.status, 403, "{answer:?}");
}

#[tokio::test]
async fn the_upstream_gets_every_cookie_but_it() {
    let upstream = Upstream::start("app").await;
    let edge = start(&upstream).await;
    let (w, other) = (ticket(&edge, "w", SITE, 60), ticket(&edge, "other", SITE, 60));
    let cookie = format!("a=1; __Host-embed.w={w}; __Host-embed.other={other}; b=\"2\"");
    for (path, origin) in
        [(SESSION, own(&edge)), ("/w/w/loader.js", SITE.to_owned()), ("/w/w/trust", SITE.to_owned())]
    {
        let answer = ask(&edge, "GET", path, &[("Origin", &origin), ("Cookie", &cookie)]).await;
        assert_eq!((answer.status, got(&body(&answer), "cookie")), (200, Some("a=1; b=\"2\"")), "{path}");
        assert!(!answer.body.contains(&w) && !answer.body.contains(&other), "{answer:?}");
    }
    let only = format!("__Host-embed.w={w}");
    let answer = session(&edge, &own(&edge), &only).await;
    assert_eq!((answer.status, got(&body(&answer), "cookie")), (200, None));
    assert!(!edge.log().contains(&w), "a ticket is in the log");
}

#[tokio::test]
async fn it_is_renewed_once_half_of_it_is_spent() {
    let upstream = Upstream::start("app").await;
    let edge = start(&upstream).await;
    let own = own(&edge);
    for (left, renewed) in [(50, 0), (31, 0), (25, 1), (-60, 1), (-11 * 60 * 60, 1)] {
        let cookie = format!("__Host-embed.w={}", ticket(&edge, "w", SITE, left));
        let answer = session(&edge, &own, &cookie).await;
        assert_eq!((answer.status, set(&answer).len()), (200, renewed), "{left}: {answer:?}");
        let caching = if renewed == 1 { "private, no-store" } else { "no-store" };
        assert_eq!(answer.field("cache-control"), caching, "{left}");
        assert!(answer.field("vary").contains("Cookie"), "{left}: {answer:?}");
    }
    // Like any other, it can be exchanged for one that scripts see.
    let kept = ticket(&edge, "w", SITE, 60);
    assert_eq!(renew(&edge, "w", &kept).await.status, 200);
}

#[tokio::test]
async fn a_websocket_opens_by_it_and_ends_with_its_page() {
    let upstream = websocket::SocketUpstream::echo().await;
    let mut spec = EdgeSpec::on(upstream.addr, &widgets(&json!(["a.example"])));
    spec.more.push_str("[tickets]\ncookie = \"partitioned\"\n");
    let edge = Edge::start(spec).await;
    let ticket = ticket(&edge, "w", SITE, 10);
    let handshake =
        websocket::handshake(SESSION, &own(&edge), &format!("Cookie: a=1; __Host-embed.w={ticket}\r\n"));
    let stream = tokio::net::TcpStream::connect(edge.http).await.unwrap();
    let mut connection = raw::Connection::over(stream);
    connection.send(handshake).await;
    let answer = connection.head().await;
    assert_eq!((answer.status, set(&answer).len()), (101, 1), "{answer:?}");
    let heads = upstream.heads();
    assert!(
        heads[0].to_ascii_lowercase().contains("cookie: a=1\r\n") && !heads[0].contains(&ticket),
        "{heads:?}"
    );
    save(&edge, &json!(["b.example"])).await;
    let rest = connection.rest().await;
    assert!(rest.contains("origin no longer allowed"), "{rest:?}");
}
