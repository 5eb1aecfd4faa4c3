//! What is kept and what never is; how much; and that nothing is where the cache is off.

use serde_json::json;

use super::{ASSET, LISTED, MINUTE, Origin, ask, entries, get, get_with, ok, outcomes};
use crate::support::edge::{Edge, EdgeSpec};
use crate::support::raw;
use crate::support::upstream::Scripted;

#[tokio::test]
async fn personal_answers_never_enter() {
    for fields in [
        "Cache-Control: private, max-age=60\r\n",
        "Cache-Control: no-store, max-age=60\r\n",
        "Cache-Control: no-cache, max-age=60\r\n",
        "Cache-Control: max-age=60\r\nSet-Cookie: who=you\r\n",
        "Cache-Control: max-age=60\r\nVary: Cookie\r\n",
        "Cache-Control: max-age=60\r\nCDN-Cache-Control: private\r\n",
        "Cache-Control: public\r\n",
        "",
    ] {
        let origin = Origin::saying(fields).await;
        let edge = origin.edge().await;
        for n in 0..3 {
            assert_eq!(get(&edge, ASSET).await.body, format!("answer {n}"), "{fields}");
        }
        assert_eq!(
            (entries(&edge).await, edge.metric("embedgate_cache_bytes").await),
            (0.0, 0.0),
            "{fields}"
        );
        assert_eq!((outcomes(&edge, "hit").await, outcomes(&edge, "miss").await), (0.0, 3.0));
    }
}

#[tokio::test]
async fn a_targeted_field_is_for_this_cache() {
    let origin = Origin::saying("Cache-Control: no-store\r\nCDN-Cache-Control: max-age=60\r\n").await;
    let edge = origin.edge().await;
    for _ in 0..2 {
        let answer = get(&edge, ASSET).await;
        assert_eq!(answer.body, "answer 0");
        assert_eq!(answer.field("cache-control"), "private, no-store", "browsers are told their own");
        assert_eq!(answer.field("cdn-cache-control"), "");
    }
}

#[tokio::test]
async fn authorization_is_kept_apart() {
    let origin = Origin::start(|head, before| {
        let shared = if head.contains("/public") { "public, " } else { "" };
        ok(&format!("Cache-Control: {shared}max-age=60\r\n"), &format!("answer {before}"))
    })
    .await;
    let edge = origin.edge().await;
    let authorized = [("Authorization", "Bearer x")];
    assert_eq!(get_with(&edge, ASSET, &authorized).await.body, "answer 0");
    assert_eq!(get(&edge, ASSET).await.body, "answer 1", "RFC 9111 §3.5");
    let public = "/w/w/assets/public.js";
    assert_eq!(get_with(&edge, public, &authorized).await.body, "answer 2");
    assert_eq!(get(&edge, public).await.body, "answer 2");
}

/// Only assets: the other classes go to their upstream each time.
#[tokio::test]
async fn other_classes_are_not_kept() {
    let origin = Origin::saying(MINUTE).await;
    let edge = origin.edge().await;
    for path in ["/w/w/frame", "/w/w/session", "/w/w/trust"] {
        assert_ne!(get(&edge, path).await.body, get(&edge, path).await.body, "{path}");
    }
    assert_eq!(outcomes(&edge, "miss").await, 0.0);
}

/// The upstream ends its connection in the middle of each body at first, then answers in full.
#[tokio::test]
async fn answers_that_break_off_are_not_kept() {
    let paths = ["/w/w/assets/length", "/w/w/assets/chunks", "/w/w/assets/until-close"];
    let upstream = Scripted::start(move |mut connection, before| async move {
        let Some((head, _)) = connection.request().await else { return };
        let framing = match head {
            _ if before >= paths.len() => return connection.send(ok(MINUTE, "whole")).await,
            head if head.contains("/length") => "Content-Length: 100\r\n\r\nbroken",
            head if head.contains("/chunks") => "Transfer-Encoding: chunked\r\n\r\n6\r\nbroken\r\n",
            _ => "Connection: close\r\n\r\nbroken",
        };
        connection.send(format!("HTTP/1.1 200 OK\r\n{MINUTE}{framing}")).await;
    })
    .await;
    let edge = Edge::start(EdgeSpec::on(upstream.addr, &json!([super::widget("w")]))).await;
    for path in paths {
        let request = raw::request("GET", edge.http, path, &[("Origin", LISTED)]);
        let broken = raw::exchange(edge.http, request.as_bytes()).await;
        assert!(String::from_utf8_lossy(&broken).contains("broken"), "{path}");
    }
    for path in paths {
        assert_eq!(get(&edge, path).await.body, "whole", "{path}");
    }
}

#[tokio::test]
async fn memory_is_bounded() {
    let origin = Origin::start(|head, _| {
        let size = if head.contains("/large") { 40_000 } else { 20_000 };
        ok(MINUTE, &"x".repeat(size))
    })
    .await;
    let mut spec = origin.spec();
    spec.more.push_str("[cache]\nbytes = \"1MiB\"\n");
    let edge = Edge::start(spec).await;
    for n in 0..100 {
        assert_eq!(get(&edge, &format!("/w/w/assets/{n}")).await.body.len(), 20_000);
    }
    let bytes = edge.metric("embedgate_cache_bytes").await;
    assert!((500_000.0..1_048_576.0).contains(&bytes), "{bytes}");
    let before = origin.count();
    for _ in 0..2 {
        assert_eq!(get(&edge, "/w/w/assets/large").await.body.len(), 40_000);
    }
    assert_eq!(origin.count(), before + 2, "one answer may take a thirty-second part");
}

#[tokio::test]
async fn nothing_is_kept_where_the_cache_is_off() {
    let origin = Origin::saying(MINUTE).await;
    let mut spec = origin.spec();
    spec.more.push_str("[cache]\nbytes = \"0B\"\n");
    let edge = Edge::start(spec).await;
    for n in 0..3 {
        let answer = get(&edge, ASSET).await;
        assert_eq!((answer.body, answer.fields.contains_key("age")), (format!("answer {n}"), false));
    }
    let (status, told) = super::purges::purge(&edge, "w").await;
    assert_eq!((status, &told["purged"]), (200, &json!(0)));
}

#[tokio::test]
async fn a_change_by_a_visitor_drops_what_it_may_have_changed() {
    let origin = Origin::saying(MINUTE).await;
    let edge = origin.edge().await;
    assert_eq!(get(&edge, ASSET).await.body, "answer 0");
    assert_eq!(ask(&edge, "POST", ASSET, &[("Content-Length", "0")]).await.body, "answer 1");
    assert_eq!(get(&edge, ASSET).await.body, "answer 2", "RFC 9111 §4.4");
}

#[tokio::test]
async fn redirects_and_absences_are_kept_as_they_say() {
    let origin = Origin::start(|head, before| match head {
        head if head.contains("/moved") => {
            format!("HTTP/1.1 302 Found\r\nLocation: /there/{before}\r\n{MINUTE}Content-Length: 0\r\n\r\n")
        }
        _ => format!("HTTP/1.1 404 Not Found\r\n{MINUTE}Content-Length: 4\r\n\r\ngone"),
    })
    .await;
    let edge = origin.edge().await;
    for _ in 0..2 {
        let moved = get(&edge, "/w/w/assets/moved").await;
        assert_eq!((moved.status, moved.field("location")), (302, "/there/0"));
    }
    for _ in 0..2 {
        let absent = get(&edge, ASSET).await;
        assert_eq!((absent.status, absent.body.as_str()), (404, "gone"));
    }
    assert_eq!(origin.count(), 2);
}
