//! One request asks and the others wait; what went stale is validated, or stands in for an upstream that failed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;

use super::{ASSET, MINUTE, Origin, get, get_with, ok, outcomes};
use crate::support::edge::{Edge, EdgeSpec};
use crate::support::eventually;
use crate::support::raw::{self, Connection};
use crate::support::upstream::Scripted;

const AT_ONCE: usize = 20;

/// Long enough for what lives a second to be stale.
async fn a_second_later() {
    tokio::time::sleep(Duration::from_millis(1200)).await;
}

#[tokio::test]
async fn many_at_once_are_one_to_the_upstream() {
    let origin =
        Origin::slow(|_, before| ok(MINUTE, &format!("answer {before}")), |_| Duration::from_millis(300))
            .await;
    let edge = origin.edge().await;
    let answers = join_all((0..AT_ONCE).map(|_| get(&edge, ASSET))).await;
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.body == "answer 0"), "{answers:?}");
    assert_eq!(origin.count(), 1);
    assert_eq!((outcomes(&edge, "miss").await, outcomes(&edge, "hit").await), (1.0, 19.0));
}

/// Each waits for the first, no longer than for its head, and not for each other.
#[tokio::test]
async fn a_personal_answer_is_asked_for_by_each() {
    let origin = Origin::slow(
        |_, before| ok("Cache-Control: private\r\n", &format!("answer {before}")),
        |_| Duration::from_millis(300),
    )
    .await;
    let edge = origin.edge().await;
    for (round, most) in [(1, 900), (2, 600)] {
        let started = Instant::now();
        let answers = join_all((0..AT_ONCE).map(|_| get(&edge, ASSET))).await;
        let bodies: std::collections::BTreeSet<_> = answers.into_iter().map(|answer| answer.body).collect();
        assert_eq!(bodies.len(), AT_ONCE, "nobody got another's");
        assert_eq!(origin.count(), round * AT_ONCE);
        // Generous: the machine may be busy. One after the other would take six seconds.
        assert!(started.elapsed() < Duration::from_millis(most * 3), "{:?}", started.elapsed());
    }
}

#[tokio::test]
async fn a_failed_fetch_is_nobody_elses_failure() {
    let failed = Arc::new(AtomicBool::new(false));
    let fails = move || !failed.swap(true, Ordering::SeqCst);
    let origin = Origin::slow(
        move |_, before| {
            if fails() {
                // Not HTTP.
                return "nonsense\r\n\r\n".to_owned();
            }
            ok(MINUTE, &format!("answer {before}"))
        },
        |_| Duration::from_millis(300),
    )
    .await;
    let edge = origin.edge().await;
    let answers = join_all((0..AT_ONCE).map(|_| get(&edge, ASSET))).await;
    let good = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(good, AT_ONCE - 1, "{:?}", answers.iter().map(|answer| answer.status).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_body_that_trickles_holds_up_nobody() {
    let origin = Scripted::start(|mut connection, before| async move {
        while connection.request().await.is_some() {
            if before > 0 {
                connection.send(ok(MINUTE, "quick")).await;
                continue;
            }
            connection.send(format!("HTTP/1.1 200 OK\r\n{MINUTE}Content-Length: 4\r\n\r\nsl")).await;
            tokio::time::sleep(Duration::from_secs(8)).await;
            connection.send("ow").await;
        }
    })
    .await;
    let edge = Edge::start(EdgeSpec::on(origin.addr, &json!([super::widget("w")]))).await;
    let mut slow = Connection::open(edge.http).await;
    slow.send(raw::request("GET", edge.http, ASSET, &[("Origin", super::LISTED)])).await;
    // Its head is known to the edge then, and half of its body.
    eventually("the upstream is asked", async || origin.connections() == 1).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let started = Instant::now();
    assert_eq!(get(&edge, ASSET).await.body, "quick");
    assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
}

#[tokio::test]
async fn what_went_stale_is_validated() {
    let fields =
        "Cache-Control: max-age=1\r\nETag: \"v1\"\r\nLast-Modified: Mon, 23 Nov 2026 12:00:00 GMT\r\n";
    let origin = Origin::start(move |head, before| {
        if head.to_ascii_lowercase().contains("if-none-match: \"v1\"") {
            return "HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=60\r\nETag: \"v1\"\r\nX-Version: 2\r\n\r\n"
                .to_owned();
        }
        ok(fields, &format!("answer {before}"))
    })
    .await;
    let edge = origin.edge().await;
    get(&edge, ASSET).await;
    a_second_later().await;
    // Over one connection, which is kept: the answer in place of the 304 ends where it should.
    let mut connection = Connection::open(edge.http).await;
    let request = raw::request("GET", edge.http, ASSET, &[("Origin", super::LISTED), ("Range", "bytes=0-2")]);
    let part = connection.ask(&request).await;
    assert_eq!((part.status, part.body.as_str()), (206, "ans"), "the browser asked for a part: {part:?}");
    assert_eq!((part.field("content-range"), part.field("x-version")), ("bytes 0-2/8", "2"));
    let asked = origin.last();
    assert!(
        asked.contains("if-modified-since: mon, 23 nov 2026 12:00:00 gmt") && !asked.contains("range:"),
        "{asked}"
    );
    assert_eq!(connection.ask(&request).await.body, "ans");
    assert_eq!(get(&edge, ASSET).await.body, "answer 0");
    assert_eq!(origin.count(), 2, "fresh again");
    assert_eq!(origin.upstream.connections(), 1, "the upstream's connection is kept, too");
    assert_eq!(outcomes(&edge, "revalidated").await, 1.0);
    assert!(!edge.log().contains("already"), "{}", edge.log());
}

#[tokio::test]
async fn a_browser_that_validates_is_answered_by_the_cache() {
    let origin = Origin::start(|head, _| {
        let known = head.to_ascii_lowercase().contains("if-none-match: \"v1\"");
        let fields = "Cache-Control: max-age=1\r\nETag: \"v1\"\r\n";
        if known { format!("HTTP/1.1 304 Not Modified\r\n{fields}\r\n") } else { ok(fields, "body") }
    })
    .await;
    let edge = origin.edge().await;
    get(&edge, ASSET).await;
    a_second_later().await;
    let known = get_with(&edge, ASSET, &[("If-None-Match", "\"v1\"")]).await;
    assert_eq!((known.status, known.body.as_str()), (304, ""));
    a_second_later().await;
    let older = get_with(&edge, ASSET, &[("If-None-Match", "\"v0\"")]).await;
    assert_eq!((older.status, older.body.as_str()), (200, "body"), "its own copy is older than the cache's");
}

#[tokio::test]
async fn a_changed_asset_takes_the_place_of_the_old() {
    let origin = Origin::start(|_, before| {
        ok(
            &format!("Cache-Control: max-age={}\r\nETag: \"v{before}\"\r\n", 1 + 59 * before),
            &format!("answer {before}"),
        )
    })
    .await;
    let edge = origin.edge().await;
    get(&edge, ASSET).await;
    a_second_later().await;
    assert_eq!(get(&edge, ASSET).await.body, "answer 1");
    assert_eq!(get(&edge, ASSET).await.body, "answer 1");
    assert_eq!(origin.count(), 2);
}

#[tokio::test]
async fn stale_is_better_than_an_error_where_the_upstream_says_so() {
    for (fields, stands_in) in [
        ("Cache-Control: max-age=1, stale-if-error=60\r\n", true),
        ("Cache-Control: max-age=1\r\n", false),
        ("Cache-Control: max-age=1, must-revalidate, stale-if-error=60\r\n", false),
    ] {
        let origin = Origin::saying(fields).await;
        let edge = origin.edge().await;
        assert_eq!(get(&edge, ASSET).await.body, "answer 0");
        drop(origin);
        a_second_later().await;
        for _ in 0..2 {
            let answer = get(&edge, ASSET).await;
            if stands_in {
                assert_eq!((answer.status, answer.body.as_str()), (200, "answer 0"), "{fields}");
                assert!(answer.field("age").parse::<u64>().unwrap() >= 1, "{answer:?}");
                assert_eq!(answer.field("access-control-allow-origin"), super::LISTED);
            } else {
                assert_eq!(answer.status, 502, "{fields}");
            }
        }
        assert_eq!(outcomes(&edge, "stale").await, if stands_in { 2.0 } else { 0.0 });
    }
}

#[tokio::test]
async fn an_upstreams_own_error_is_not_shown_either() {
    let origin = Origin::start(|_, before| match before {
        0 => ok("Cache-Control: max-age=1, stale-if-error=60\r\n", "good"),
        _ => "HTTP/1.1 503 Unwell\r\nContent-Length: 6\r\n\r\nunwell".to_owned(),
    })
    .await;
    let edge = origin.edge().await;
    get(&edge, ASSET).await;
    a_second_later().await;
    let mut connection = Connection::open(edge.http).await;
    for _ in 0..3 {
        let request = raw::request("GET", edge.http, ASSET, &[("Origin", super::LISTED)]);
        let answer = connection.ask(request).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "good"));
    }
    assert_eq!(origin.count(), 2, "an upstream that is unwell is left alone for a while");
    assert!(!edge.log().contains("already"), "{}", edge.log());
}

#[tokio::test]
async fn what_is_being_validated_is_served_meanwhile() {
    let origin = Origin::slow(
        |_, before| {
            ok("Cache-Control: max-age=1, stale-while-revalidate=60\r\n", &format!("answer {before}"))
        },
        |head| if head.contains("slow") { Duration::from_millis(500) } else { Duration::ZERO },
    )
    .await;
    let edge = origin.edge().await;
    let path = "/w/w/assets/slow";
    get(&edge, path).await;
    a_second_later().await;
    let (first, meanwhile) = tokio::join!(get(&edge, path), async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        let started = Instant::now();
        let answer = get(&edge, path).await;
        (answer.body, started.elapsed())
    });
    assert_eq!((first.body.as_str(), meanwhile.0.as_str()), ("answer 1", "answer 0"));
    assert!(meanwhile.1 < Duration::from_millis(300), "{:?}", meanwhile.1);
}
