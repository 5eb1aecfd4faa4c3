//! Whose answer it is: the verdict comes first, and nothing of one visit, widget or request reaches another.

use serde_json::json;

use super::{ASSET, LISTED, MINUTE, OTHER, Origin, STRANGER, entries, get, get_with, ok, outcomes};
use crate::support::edge::Edge;
use crate::support::raw;
use crate::support::raw::Connection;

#[tokio::test]
async fn the_verdict_comes_before_the_memory() {
    let origin = Origin::saying(MINUTE).await;
    let edge = origin.edge().await;
    assert_eq!(get(&edge, ASSET).await.body, "answer 0");
    for _ in 0..3 {
        let answer = get(&edge, ASSET).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "answer 0"));
        assert_eq!(answer.field("age"), "0");
    }
    assert_eq!(origin.count(), 1, "the rest came from memory");
    for (origin, status) in [(STRANGER, 403), ("null", 403), ("https://EXAMPLE.com", 403)] {
        let answer = raw::get(edge.http, ASSET, &[("Origin", origin)]).await;
        assert_eq!(answer.status, status, "{origin}");
        assert!(!answer.body.contains("answer"), "{origin}: {}", answer.body);
        assert_eq!(answer.field("cache-control"), "no-store");
    }
    let script = [("Origin", STRANGER), ("Sec-Fetch-Dest", "script")];
    let denial = raw::get(edge.http, ASSET, &script).await;
    assert!(denial.body.starts_with("console.error("), "{}", denial.body);
    assert_eq!(get(&edge, ASSET).await.body, "answer 0", "and no denial took its place");
    assert_eq!(outcomes(&edge, "hit").await, 4.0);
    assert_eq!(outcomes(&edge, "miss").await, 1.0);
    assert_eq!(entries(&edge).await, 1.0);
    assert!(edge.metric("embedgate_cache_bytes").await > 100.0);
}

#[tokio::test]
async fn a_kill_switch_holds_for_what_is_in_memory() {
    let origin = Origin::saying(MINUTE).await;
    let edge = origin.edge().await;
    get(&edge, ASSET).await;
    let off = json!({ "id": "w", "allowed_domains": ["example.com"], "enabled": false });
    assert_eq!(edge.put(&off).await.0, 200);
    assert_eq!(get(&edge, ASSET).await.status, 403);
}

#[tokio::test]
async fn each_embedder_is_granted_its_own_access() {
    let origin =
        Origin::saying("Cache-Control: max-age=60\r\nAccess-Control-Allow-Origin: *\r\nServer: boast\r\n")
            .await;
    let edge = origin.edge().await;
    for embedder in [LISTED, OTHER, LISTED] {
        let answer = raw::get(edge.http, ASSET, &[("Origin", embedder)]).await;
        assert_eq!(answer.field("access-control-allow-origin"), embedder);
        assert_eq!(answer.field("vary"), "Origin, Referer, Sec-Fetch-Dest");
        assert_eq!(answer.field("x-content-type-options"), "nosniff");
        assert_eq!(answer.field("server"), "");
        assert_eq!(answer.body, "answer 0");
    }
    let nobody = raw::get(edge.http, ASSET, &[]).await;
    assert_eq!((nobody.status, nobody.field("access-control-allow-origin")), (200, ""));
    assert_eq!(nobody.body, "answer 0");
    assert_eq!(origin.count(), 1);
}

/// Whoever asked first: nothing of that visit is in what the next visitor gets.
#[tokio::test]
async fn a_hit_is_what_its_own_visitor_would_have_got() {
    let origin = Origin::start(|_, _| {
        ok("Cache-Control: max-age=60\r\nAccess-Control-Expose-Headers: X-A\r\nX-A: 1\r\n", "answer")
    })
    .await;
    let mut spec = origin.spec();
    spec.routes = Some(
        "[[routes]]\npath = \"/w/{widget}/assets/{*rest}\"\nclass = \"asset\"\nupstream = \"app\"\ncredentials = true\n"
            .to_owned(),
    );
    let edge = Edge::start(spec).await;
    edge.put(&json!({ "id": "w", "access": "monitor", "allowed_domains": ["example.com"] })).await;
    let visitors = [
        &[("Origin", LISTED)][..],
        &[("Origin", OTHER)],
        &[("Origin", STRANGER), ("Cookie", "a=1")],
        &[("Origin", "null")],
        &[("Referer", LISTED), ("Sec-Fetch-Dest", "script")],
        &[],
    ];
    let all = visitors.iter().flat_map(|first| visitors.map(|second| (first, second)));
    for (turn, (first, second)) in all.enumerate() {
        let path = format!("{ASSET}?{turn}");
        assert_eq!(raw::get(edge.http, &path, first).await.status, 200, "{first:?}");
        let mut hit = raw::get(edge.http, &path, second).await;
        let mut own = raw::get(edge.http, &format!("{path}&own"), second).await;
        assert_eq!(hit.fields.remove("age").as_deref(), Some("0"), "{first:?} {second:?}");
        own.fields.remove("date");
        hit.fields.remove("date");
        assert_eq!(
            (hit.status, hit.body, hit.fields),
            (own.status, own.body, own.fields),
            "{first:?} {second:?}"
        );
        assert_eq!(origin.count(), 2 * (turn + 1), "{first:?} {second:?}");
    }
}

/// A hit says what an answer through the proxy says, but for its age.
#[tokio::test]
async fn both_ways_say_the_same() {
    let origin = Origin::start(|head, _| {
        let fields = "Cache-Control: public, max-age=60, s-maxage=50\r\nCDN-Cache-Control: max-age=40\r\n\
                      Content-Type: text/javascript\r\nETag: \"v1\"\r\nX-Powered-By: boast\r\n\
                      Server-Timing: db;dur=5, embed-ticket;desc=\"forged\"\r\nConnection: x-hop\r\nX-Hop: 1\r\n\
                      Link: </a>\r\nLink: </b>\r\n";
        assert!(head.contains("x-widget-id") || head.contains("X-Widget-Id"));
        ok(fields, "body")
    })
    .await;
    let mut spec = origin.spec();
    spec.edge = "trusted_proxies = [\"127.0.0.1/32\"]".to_owned();
    spec.routes = Some(super::routes_with_shared());
    let edge = Edge::start(spec).await;
    for (path, caching, cdn) in [
        ("/w/w/loader.js", "private, no-cache", ""),
        (ASSET, "private, max-age=60", ""),
        ("/w/w/shared/a.js", "public, max-age=60, s-maxage=50", "max-age=40"),
    ] {
        for https in [&[][..], &[("X-Forwarded-Proto", "https")]] {
            let mut first = get_with(&edge, path, https).await;
            let mut second = get_with(&edge, path, https).await;
            assert_eq!(second.field("age"), "0", "{path}");
            assert_eq!(
                (first.field("cache-control"), first.field("cdn-cache-control")),
                (caching, cdn),
                "{path}"
            );
            assert_eq!(first.field("strict-transport-security").is_empty(), https.is_empty());
            for answer in [&mut first, &mut second] {
                answer.fields.remove("age");
                answer.fields.remove("date");
            }
            assert_eq!(first.fields, second.fields, "{path}");
            assert_eq!((first.status, &first.body), (second.status, &second.body));
        }
    }
    assert_eq!(origin.count(), 6, "each path once for each scheme");
}

#[tokio::test]
async fn credentials_go_to_the_listed_alone() {
    let origin = Origin::saying(MINUTE).await;
    let mut spec = origin.spec();
    spec.routes = Some(
        "[[routes]]\npath = \"/w/{widget}/assets/{*rest}\"\nclass = \"asset\"\nupstream = \"app\"\ncredentials = true\n"
            .to_owned(),
    );
    let edge = Edge::start(spec).await;
    edge.put(&json!({ "id": "open", "access": "monitor", "allowed_domains": ["example.com"] })).await;
    let path = "/w/open/assets/a.js";
    for (origin, credentials) in [(LISTED, "true"), (STRANGER, ""), (LISTED, "true")] {
        let answer = raw::get(edge.http, path, &[("Origin", origin)]).await;
        assert_eq!(answer.field("access-control-allow-credentials"), credentials, "{origin}");
        assert_eq!(answer.field("access-control-allow-origin"), origin);
    }
    assert_eq!(origin.count(), 1);
}

#[tokio::test]
async fn each_widget_host_and_query_has_its_own() {
    let origin = Origin::start(|head, _| ok(MINUTE, head.split(' ').nth(1).unwrap())).await;
    let edge = origin.edge().await;
    let paths =
        [ASSET, "/w/v/assets/a.js", "/w/w/assets/a.js?v=1", "/w/w/assets/a.js?v=2", "/w/w/assets/b.js"];
    for _ in 0..2 {
        for path in paths {
            assert_eq!(get(&edge, path).await.body, path);
        }
    }
    assert_eq!(origin.count(), paths.len());
    let mut connection = Connection::open(edge.http).await;
    let elsewhere = format!("GET {ASSET} HTTP/1.1\r\nHost: elsewhere.example\r\nOrigin: {LISTED}\r\n\r\n");
    connection.ask(elsewhere).await;
    assert_eq!(origin.count(), paths.len() + 1, "another authority is another resource");
}

/// An upstream may build a redirect from the host that a trusted proxy forwards, also where a browser made it up.
#[tokio::test]
async fn a_claimed_host_reaches_nobody_else() {
    let origin = Origin::start(|head, _| {
        let head = head.to_ascii_lowercase();
        let host = head.lines().find_map(|line| line.strip_prefix("x-forwarded-host: "));
        ok(MINUTE, host.unwrap_or("none"))
    })
    .await;
    let mut spec = origin.spec();
    spec.edge = "trusted_proxies = [\"127.0.0.1/32\"]".to_owned();
    let edge = Edge::start(spec).await;
    let own = edge.http.to_string();
    for _ in 0..2 {
        for host in ["evil.example", own.as_str()] {
            assert_eq!(get_with(&edge, ASSET, &[("X-Forwarded-Host", host)]).await.body, host);
        }
        assert_eq!(get(&edge, ASSET).await.body, own);
    }
    assert_eq!(origin.count(), 3, "only the edge's own host is kept");
}

#[tokio::test]
async fn an_answer_varies_as_its_upstream_says() {
    let origin = Origin::start(|head, before| {
        let fields = match head {
            head if head.contains("/coding") => "Vary: Accept-Encoding\r\n",
            head if head.contains("/embedder") => "Vary: X-Embedder-Origin\r\n",
            head if head.contains("/anything") => "Vary: *\r\n",
            _ => "Vary: X-Decision-Id\r\n",
        };
        ok(&[MINUTE, fields].concat(), &format!("answer {before}"))
    })
    .await;
    let edge = origin.edge().await;
    let coded =
        async |coding| get_with(&edge, "/w/w/assets/coding", &[("Accept-Encoding", coding)]).await.body;
    let (gzip, br) = (coded("gzip").await, coded("br").await);
    assert_ne!(gzip, br);
    assert_eq!((coded("gzip").await, coded("br").await), (gzip, br));
    let path = "/w/w/assets/embedder";
    let by = async |origin| raw::get(edge.http, path, &[("Origin", origin)]).await.body;
    let (one, other) = (by(LISTED).await, by(OTHER).await);
    assert_ne!(one, other, "the upstream answers by what the edge tells it");
    assert_eq!((by(LISTED).await, by(OTHER).await), (one, other));
    let forged = [("Origin", OTHER), ("X-Embedder-Origin", LISTED)];
    assert_eq!(raw::get(edge.http, path, &forged).await.body, by(OTHER).await);
    for path in ["/w/w/assets/anything", "/w/w/assets/decision"] {
        assert_ne!(get(&edge, path).await.body, get(&edge, path).await.body, "{path}");
    }
}
