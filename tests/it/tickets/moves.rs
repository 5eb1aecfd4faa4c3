//! A frame that moves within itself: its ticket, in its address, tells the page around it.

use serde_json::{Value, json};

use super::frames::ticket_of;
use super::{SITE, STRANGER, ask, logged, opened_by, outcome, own, save, spec, ticket, widgets};
use crate::support::edge::{Edge, EdgeSpec};
use crate::support::eventually;
use crate::support::raw::{Answer, masked, unreported};
use crate::support::upstream::{Upstream, got};

const FRAME: &str = "/w/w/frame";
const IFRAME: (&str, &str) = ("Sec-Fetch-Dest", "iframe");
const ALONE: &str = "frame-ancestors 'self' https://a.example";
const WHOLE: &str = "frame-ancestors 'self' https://a.example https://b.example";
/// The edge's own lane, the library with the direct path, and the library alone.
const WAYS: [(&str, (&str, &str)); 3] =
    [("GET", ("Accept", "*/*")), ("GET", ("Connection", "close")), ("POST", ("Content-Length", "0"))];

type Fields<'a> = &'a [(&'a str, &'a str)];

async fn start(upstream: &Upstream) -> Edge {
    let rules = json!({ "widgets": widgets(&json!(["a.example", "b.example"])) }).to_string();
    Edge::start(EdgeSpec { rules, ..spec(upstream.addr) }).await
}

/// Asks for a frame with this ticket in its address, which is its referrer's, too.
async fn moved(edge: &Edge, widget: &str, ticket: &str) -> Answer {
    let referrer = format!("{}/w/{widget}/frame?ticket={ticket}", own(edge));
    let path = format!("/w/{widget}/frame?ticket={ticket}");
    ask(edge, "GET", &path, &[("Referer", &referrer), IFRAME]).await
}

/// Who may frame an answer.
fn policy_of(answer: &Answer) -> String {
    unreported(answer.field("content-security-policy"))
}

/// The first logged decision with this reason, once it is there.
async fn decision(edge: &Edge, reason: &str) -> Value {
    let mut found = None;
    eventually("the decision is logged", async || {
        found = edge.decisions().into_iter().find(|line| line["reason"] == reason);
        found.is_some()
    })
    .await;
    found.unwrap()
}

#[tokio::test]
async fn it_is_its_page_s_alone_and_gets_a_fresh_one() {
    let upstream = Upstream::with_fields("app", &[("cache-control", "public, max-age=600")]).await;
    let edge = start(&upstream).await;
    let own = own(&edge);
    // Also one that has been over for eleven hours.
    for left in [30, -11 * 60 * 60] {
        let held = ticket(&edge, "w", SITE, left);
        for (method, more) in WAYS {
            for destination in ["iframe", "frame"] {
                let referrer = format!("{own}/w/w/frame?a=1&%74icket={held}");
                let fields = [("Referer", &*referrer), ("Sec-Fetch-Dest", destination), more];
                let answer = ask(&edge, method, &format!("{FRAME}?ticket={held}&a=1"), &fields).await;
                assert_eq!((answer.status, &*policy_of(&answer)), (200, ALONE), "{method}");
                assert_eq!(answer.field("cache-control"), "private, no-store");
                assert_eq!(answer.field("vary"), "Origin, Referer, Sec-Fetch-Dest");
                let fresh = ticket_of(&answer).unwrap();
                assert_eq!((fresh == held, &*opened_by(&edge, "w", &fresh)), (false, SITE));
                let told = super::body(&answer);
                assert_eq!(told["target"], format!("{FRAME}?a=1"));
                assert_eq!(got(&told, "x-embedder-origin"), Some(SITE), "{told}");
                assert_eq!(got(&told, "referer"), Some(&*format!("{own}/w/w/frame?a=1")));
            }
        }
    }
    assert_eq!((outcome(&edge, "accepted").await, outcome(&edge, "framed").await), (12.0, 12.0));
    let line = decision(&edge, "ticket").await;
    assert_eq!(
        (&line["embedder"], &line["opened_by"], &line["entry"]),
        (&json!(own), &json!(SITE), &json!("a.example")),
        "{line}"
    );
}

#[tokio::test]
async fn what_does_not_count_is_taken_out_and_ignored() {
    let upstream = Upstream::start("app").await;
    let edge = start(&upstream).await;
    let own = own(&edge);
    let held = ticket(&edge, "w", SITE, 60);
    let address = format!("{FRAME}?ticket={held}");
    let credentials = format!("Embed {held}");
    let own: (&str, &str) = ("Referer", &own);
    let ignored: [(&str, Fields<'_>, &str); 8] = [
        (&address, &[own, ("Sec-Fetch-Dest", "document")], WHOLE),
        (&address, &[own, ("Sec-Fetch-Dest", "embed")], WHOLE),
        (&address, &[own], WHOLE),
        (&address, &[own, IFRAME, ("Sec-Fetch-Dest", "document")], WHOLE),
        (&address, &[IFRAME], WHOLE),
        (&address, &[("Referer", "https://b.example/page"), IFRAME], WHOLE),
        // A navigation has no field of its own; what sets one is something else.
        (FRAME, &[own, IFRAME, ("Authorization", &credentials)], WHOLE),
        (FRAME, &[own, IFRAME, ("Sec-WebSocket-Protocol", "embed-ticket.a.b")], WHOLE),
    ];
    for (path, fields, policy) in ignored {
        let answer = ask(&edge, "GET", path, fields).await;
        assert_eq!((answer.status, &*policy_of(&answer)), (200, policy), "{fields:?}");
        let told = super::body(&answer);
        assert_eq!(told["target"], FRAME, "{fields:?}");
        assert!(!told.to_string().contains(&held), "{fields:?}");
        let page = fields.iter().find_map(|(_, value)| value.strip_suffix("/page"));
        assert_eq!(got(&told, "x-embedder-origin"), page, "{fields:?}");
        assert_eq!(ticket_of(&answer).map(|ticket| opened_by(&edge, "w", &ticket)).as_deref(), page);
    }
    assert_eq!(outcome(&edge, "accepted").await, 0.0);
    let denied = ask(&edge, "GET", &address, &[("Referer", STRANGER), IFRAME]).await;
    assert_eq!(denied.status, 403, "a stranger's frame, by its referrer");

    // What is no ticket, or no longer one, is none.
    let (over, other) = (ticket(&edge, "w", SITE, -12 * 60 * 60), ticket(&edge, "other", SITE, 60));
    for (ticket, counted) in [
        (&*over, "expired"),
        (&other, "other_widget"),
        ("no.ticket", "malformed"),
        (&format!("{held}&ticket={over}"), "several"),
    ] {
        let answer = moved(&edge, "w", ticket).await;
        assert_eq!((answer.status, &*policy_of(&answer)), (200, WHOLE), "{counted}");
        assert_eq!((answer.field("cache-control"), ticket_of(&answer)), ("private, no-cache", None));
        assert_eq!(outcome(&edge, counted).await, 1.0, "{counted}");
        assert!(!super::body(&answer).to_string().contains("ticket"), "{counted}");
    }
}

#[tokio::test]
async fn it_is_worth_what_the_rules_in_force_say() {
    let upstream = Upstream::start("app").await;
    let edge = start(&upstream).await;
    let held = ticket(&edge, "w", SITE, 60);
    save(&edge, &json!(["b.example"])).await;
    let answer = moved(&edge, "w", &held).await;
    assert_eq!((answer.status, answer.field("content-type")), (403, "text/html; charset=utf-8"));
    assert!(answer.body.contains(SITE) && !answer.body.contains("localhost"), "{answer:?}");
    assert_eq!(ticket_of(&answer), None);
    let line = decision(&edge, "not_listed").await;
    assert_eq!((&line["verdict"], &line["opened_by"]), (&json!("deny"), &json!(SITE)), "{line}");
    assert_eq!(outcome(&edge, "unwelcome").await, 1.0);
    // An open widget is anybody's, and one that only monitors lets through: their pages stay known.
    for widget in ["open", "monitored"] {
        let answer = moved(&edge, widget, &ticket(&edge, widget, STRANGER, 60)).await;
        assert_eq!((answer.status, &*policy_of(&answer)), (200, ""), "{widget}");
        assert_eq!(opened_by(&edge, widget, &ticket_of(&answer).unwrap()), STRANGER);
    }
    assert_eq!(upstream.requests(), 2);
}

#[tokio::test]
async fn explain_says_the_same() {
    let upstream = Upstream::start("app").await;
    let edge = start(&upstream).await;
    let own = own(&edge);
    for (ticket, worth, reason) in [
        (ticket(&edge, "w", SITE, 60), "valid", "ticket"),
        (ticket(&edge, "w", SITE, -60), "expired", "ticket"),
        (ticket(&edge, "w", SITE, -12 * 60 * 60), "expired", "own_origin"),
        (ticket(&edge, "w", STRANGER, 60), "valid", "not_listed"),
        ("no.ticket".to_owned(), "malformed", "own_origin"),
    ] {
        let question = json!({ "widget": "w", "class": "frame", "referer": own, "ticket": ticket });
        let told = edge.api(reqwest::Method::POST, "/v1/explain").json(&question).send().await.unwrap();
        let told: Value = told.json().await.unwrap();
        assert_eq!((&told["ticket"]["worth"], &told["reason"]), (&json!(worth), &json!(reason)), "{told}");
        let taken = told["ticket"]["detail"].as_str().unwrap().contains("still accepted for a renewal");
        assert_eq!(taken, worth == "expired" && reason == "ticket", "{told}");
        let answer = moved(&edge, "w", &ticket).await;
        assert_eq!(told["verdict"] == "allow", answer.status == 200, "{told}");
        if answer.status != 200 {
            decision(&edge, reason).await;
            continue;
        }
        for name in ["content-security-policy", "cache-control", "vary", "server-timing"] {
            let explained: Vec<&str> = told["headers"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|field| field[0] == name)
                .map(|field| field[1].as_str().unwrap())
                .collect();
            assert_eq!(explained.join("\n"), masked(answer.field(name)), "{name}: {told}");
        }
    }
}

#[tokio::test]
async fn a_long_list_is_sent_as_far_as_it_fits() {
    let upstream = Upstream::start("app").await;
    let edge = start(&upstream).await;
    let names: Vec<String> = (0..120).map(|n| format!("{n:03}.{}.example", "a".repeat(20))).collect();
    save(&edge, &json!(names)).await;
    let own = own(&edge);
    let policy = async |fields: &[(&str, &str)]| policy_of(&ask(&edge, "GET", FRAME, fields).await);
    let first: String = names.iter().take(99).map(|name| format!(" https://{name}")).collect();
    assert_eq!(policy(&[("Referer", &own)]).await, format!("frame-ancestors 'self'{first}"));
    assert_eq!(policy(&[]).await, "frame-ancestors 'none'");
    let last = format!("https://{}", names[119]);
    assert_eq!(policy(&[("Referer", &last)]).await, format!("frame-ancestors 'self' {last}"));
    let answer = moved(&edge, "w", &ticket(&edge, "w", &last, 60)).await;
    assert_eq!(policy_of(&answer), format!("frame-ancestors 'self' {last}"));
}

/// A frame's address is in `Referer` of whatever it asks for.
#[tokio::test]
async fn no_request_takes_it_to_the_upstream_as_its_referrer() {
    let upstream = Upstream::start("app").await;
    let edge = start(&upstream).await;
    let held = ticket(&edge, "w", SITE, 60);
    let referrer = format!("{}/w/w/frame?x=%20&ticket={held}", own(&edge));
    let credentials = format!("Embed {held}");
    for path in ["/w/w/session", "/w/w/frame", "/w/w/assets/a.js", "/w/w/trust"] {
        for (method, more) in WAYS {
            let fields = [("Referer", &*referrer), ("Authorization", &credentials), more];
            let told = super::body(&ask(&edge, method, path, &fields).await);
            let left = format!("{}/w/w/frame?x=%20", own(&edge));
            assert_eq!(got(&told, "referer"), Some(&*left), "{method} {path}: {told}");
        }
    }
    let denied = ask(&edge, "GET", "/w/w/session", &[("Referer", &referrer)]).await;
    assert_eq!(logged(&edge, &denied).await["reason"], "ticket_missing", "not by its referrer's");
}
