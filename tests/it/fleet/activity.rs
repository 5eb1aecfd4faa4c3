//! Activity of a fleet: what each edge has seen is told together by any of them, and an edge that is away is named.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Fleet, NOTICED, SITE, get, in_time, kill, save_everywhere, verdict, widget};
use crate::support::edge::Edge;

/// Numbers of requests by entry, by host under the wildcard, and by refused site.
type Counts = BTreeMap<String, u64>;

/// What was seen of the widget `w`, as an edge tells it, and the edges that it misses.
async fn told(edge: &Edge) -> (Counts, Value) {
    let (status, told) = get(edge, "/v1/widgets/w/activity").await;
    assert_eq!(status, 200, "{told}");
    let mut counts = Counts::new();
    let mut note = |seen: &Value, name: &str| {
        assert_eq!(seen.get("error").unwrap_or(&json!(0)), 0, "{told}");
        counts.insert(seen[name].as_str().unwrap().to_owned(), seen["count"].as_u64().unwrap());
    };
    for entry in told["entries"].as_array().unwrap() {
        note(entry, "entry");
        entry["hosts"].as_array().unwrap().iter().for_each(|host| note(host, "host"));
    }
    told["refused"]["sites"].as_array().unwrap().iter().for_each(|site| note(site, "origin"));
    (counts, told["missing"].clone())
}

/// What these edges have seen together: the edge at `n` has had each of its pages `n + 1` times.
fn seen_by(edges: &[usize]) -> Counts {
    let all: u64 = edges.iter().map(|n| *n as u64 + 1).sum();
    let shared = ["site.example", "*.shop.example", "https://stranger.example"];
    let mut counts: Counts = shared.map(|name| (name.to_owned(), all)).into();
    for n in edges {
        for name in [format!("s{n}.shop.example"), format!("https://stranger{n}.example")] {
            counts.insert(name, *n as u64 + 1);
        }
    }
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_all_edges_have_seen_is_told_by_any_of_them() {
    let (_fleet, edges): (_, [Edge; 3]) = Fleet::new_edges().await;
    save_everywhere(&edges[0], &widget("w", &["site.example", "*.shop.example"])).await;
    for (n, edge) in edges.iter().enumerate() {
        for _ in 0..=n {
            for (origin, status) in [
                (SITE, 200),
                (&format!("https://s{n}.shop.example"), 200),
                ("https://stranger.example", 403),
                (&format!("https://stranger{n}.example"), 403),
            ] {
                assert_eq!(verdict(edge, "w", origin).await, status, "{origin}");
            }
        }
    }
    let all = (seen_by(&[0, 1, 2]), json!([]));
    for edge in &edges {
        in_time("everything is told", NOTICED, async || told(edge).await == all).await;
    }

    edges[2].freeze().await;
    for edge in &edges[..2] {
        let others = (seen_by(&[0, 1]), json!(["edge-3"]));
        in_time("one is missing", NOTICED, async || told(edge).await == others).await;
    }
    edges[2].thaw();
    for edge in &edges {
        in_time("everything is told again", NOTICED, async || told(edge).await == all).await;
    }

    let [first, mut second, third] = edges;
    kill(&mut second).await;
    let others = (seen_by(&[0, 2]), json!(["edge-2"]));
    in_time("another is missing", NOTICED, async || told(&first).await == others).await;
    second.restart().await;
    for edge in [&first, &second, &third] {
        in_time("what was kept is told", NOTICED, async || told(edge).await == all).await;
    }
}
