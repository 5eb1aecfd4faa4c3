//! A save of the widget, or a call, drops its assets at once, and what was asked for before is not kept after.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::{ASSET, MINUTE, Origin, entries, get, get_with, ok, widget};
use crate::support::edge::{Edge, EdgeSpec, IN_FORCE, READ_TOKEN};
use crate::support::eventually;

const OF_V: &str = "/w/v/assets/a.js";

pub async fn purge(edge: &Edge, widget: &str) -> (u16, Value) {
    let answer = edge.api(Method::POST, &format!("/v1/widgets/{widget}/purge")).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

fn labelled(id: &str, label: usize) -> Value {
    let mut widget = widget(id);
    widget["labels"] = json!({ "n": label.to_string() });
    widget
}

#[tokio::test]
async fn a_purge_is_done_when_it_is_answered() {
    let origin = Origin::saying(MINUTE).await;
    let edge = origin.edge().await;
    for n in 0..20 {
        let of_v = get(&edge, OF_V).await.body;
        let before = get(&edge, ASSET).await.body;
        assert_eq!(get(&edge, ASSET).await.body, before);
        assert_eq!(purge(&edge, "w").await, (200, json!({ "id": "w", "purged": 1 })), "{n}");
        assert_ne!(get(&edge, ASSET).await.body, before, "{n}");
        assert_eq!(get(&edge, OF_V).await.body, of_v, "other widgets keep theirs");
    }
    assert_eq!(edge.metric("embedgate_cache_purged_total").await, 20.0);
    assert_eq!(entries(&edge).await, 2.0);
}

/// What was kept a second time under its key: another answer by `Vary`, or one that was validated.
#[tokio::test]
async fn what_was_kept_again_goes_too() {
    let origin = Origin::start(|head, before| {
        let body = format!("answer {before}");
        if head.contains("/coding") {
            return ok(&[MINUTE, "Vary: Accept-Encoding\r\n"].concat(), &body);
        }
        if head.to_ascii_lowercase().contains("if-none-match: \"v1\"") {
            return format!("HTTP/1.1 304 Not Modified\r\n{MINUTE}ETag: \"v1\"\r\n\r\n");
        }
        ok("Cache-Control: max-age=1\r\nETag: \"v1\"\r\n", &body)
    })
    .await;
    let edge = origin.edge().await;
    let coded =
        async |coding| get_with(&edge, "/w/w/assets/coding", &[("Accept-Encoding", coding)]).await.body;
    for by_save in [false, true] {
        let validated = get(&edge, ASSET).await.body;
        tokio::time::sleep(Duration::from_millis(1200)).await;
        assert_eq!(get(&edge, ASSET).await.body, validated, "the upstream says that it is still good");
        let (gzip, br) = (coded("gzip").await, coded("br").await);
        assert_eq!((coded("gzip").await, coded("br").await), (gzip.clone(), br.clone()));
        if by_save {
            assert_eq!(edge.put(&labelled("w", 1)).await.0, 200);
        } else {
            assert_eq!(purge(&edge, "w").await, (200, json!({ "id": "w", "purged": 2 })));
        }
        assert_ne!(get(&edge, ASSET).await.body, validated, "by save: {by_save}");
        assert_ne!(coded("gzip").await, gzip, "by save: {by_save}");
        assert_ne!(coded("br").await, br, "by save: {by_save}");
        // The next round starts with nothing.
        purge(&edge, "w").await;
        assert_eq!(entries(&edge).await, 0.0);
    }
}

#[tokio::test]
async fn a_save_is_one_too() {
    let origin = Origin::saying(MINUTE).await;
    let edge = origin.edge().await;
    for n in 0..20 {
        let of_v = get(&edge, OF_V).await.body;
        let before = get(&edge, ASSET).await.body;
        assert_eq!(edge.put(&labelled("w", n)).await.0, 200);
        assert_ne!(get(&edge, ASSET).await.body, before, "{n}");
        assert_eq!(get(&edge, OF_V).await.body, of_v, "other widgets keep theirs");
    }
    let before = get(&edge, ASSET).await.body;
    assert_eq!(edge.put(&labelled("w", 19)).await.0, 200);
    assert_eq!(get(&edge, ASSET).await.body, before, "the same document again is no change");
}

#[tokio::test]
async fn an_edited_file_is_one_too() {
    let origin = Origin::saying(MINUTE).await;
    let mut spec = EdgeSpec { source: "file", ..origin.spec() };
    spec.more.push_str("[cache]\nbytes = \"8MiB\"\n");
    let edge = Edge::start(spec).await;
    let before = get(&edge, ASSET).await.body;
    assert_eq!(purge(&edge, "w").await.0, 200, "a purge changes no rule");
    let again = get(&edge, ASSET).await.body;
    assert_ne!(again, before);
    std::fs::write(edge.rules(), json!({ "widgets": [labelled("w", 1), widget("v")] }).to_string()).unwrap();
    edge.generation(2).await;
    tokio::time::sleep(IN_FORCE / 10).await;
    assert_ne!(get(&edge, ASSET).await.body, again);
}

/// The upstream answers the first request only when it is told to, after the purge.
#[tokio::test]
async fn a_fetch_that_began_before_is_not_kept() {
    for by_save in [false, true] {
        let released = Arc::new(AtomicBool::new(false));
        let release = Arc::clone(&released);
        let origin = Origin::slow(
            |_, before| ok(MINUTE, &format!("answer {before}")),
            move |_| {
                if released.swap(true, Ordering::SeqCst) { Duration::ZERO } else { Duration::from_secs(1) }
            },
        )
        .await;
        let edge = Arc::new(origin.edge().await);
        let old = tokio::spawn({
            let edge = Arc::clone(&edge);
            async move { get(&edge, ASSET).await.body }
        });
        eventually("the upstream is asked", async || origin.count() == 1).await;
        assert!(release.load(Ordering::SeqCst));
        if by_save {
            assert_eq!(edge.put(&labelled("w", 1)).await.0, 200);
        } else {
            assert_eq!(purge(&edge, "w").await, (200, json!({ "id": "w", "purged": 0 })));
        }
        // Does not wait for what was asked before the purge.
        assert_eq!(get(&edge, ASSET).await.body, "answer 1", "by save: {by_save}");
        assert_eq!(old.await.unwrap(), "answer 0");
        assert_eq!(get(&edge, ASSET).await.body, "answer 1", "by save: {by_save}");
        assert_eq!(origin.count(), 2);
    }
}

#[tokio::test]
async fn who_may_purge_what() {
    let origin = Origin::saying(MINUTE).await;
    let edge = origin.edge().await;
    for unknown in ["nobody", "no%20id", "w%2Fx"] {
        let (status, problem) = purge(&edge, unknown).await;
        assert_eq!((status, &problem["code"]), (404, &json!("unknown_widget")), "{unknown}");
    }
    let before = get(&edge, ASSET).await.body;
    let url = format!("http://{}/v1/widgets/w/purge", edge.admin);
    let reading = reqwest::Client::new().post(url).bearer_auth(READ_TOKEN).send().await.unwrap();
    assert_eq!(reading.status(), 403);
    assert_eq!(get(&edge, ASSET).await.body, before);
}
