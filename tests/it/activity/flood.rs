//! A flood of forged origins, each seen once, hides no embedder that asks again and again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::edge::{Edge, EdgeSpec};
use crate::support::raw::{Connection, request};
use crate::support::{LONG, in_time, scale};

/// Embedders that ask more than once and are not listed, and those of them that are told.
const TRUE: usize = 60;
const TOLD: usize = 50;

const CLIENTS: usize = 16;

/// How often each asks.
fn count(embedder: usize) -> u64 {
    5 + 2 * embedder as u64
}

fn page(embedder: usize) -> String {
    format!("https://true{embedder}.example")
}

/// All pages that ask, in the order in which they do: true ones among forged ones, all the time.
fn asking() -> Vec<String> {
    let forged = (0..scale(100_000)).map(|number| format!("https://f{number:x}.flood.example"));
    let true_ones = (0..TRUE).flat_map(|embedder| (0..count(embedder)).map(move |_| page(embedder)));
    let mut pages: Vec<String> = forged.chain(true_ones).collect();
    // In no order, the same in each run (SplitMix64).
    let mut state = 18_u64;
    for last in (1..pages.len()).rev() {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        pages.swap(last, (z ^ (z >> 31)) as usize % (last + 1));
    }
    pages
}

#[tokio::test]
async fn a_flood_of_forged_origins_hides_nobody() {
    let rules = json!({ "widgets": [{ "id": "w", "allowed_domains": ["listed.example"] }] }).to_string();
    let edge = Edge::start(EdgeSpec { rules, ..EdgeSpec::default() }).await;
    let listed = "https://listed.example";
    let ask = async |connection: &mut Connection<_>, page: &str| {
        connection.ask(request("GET", edge.http, "/w/w/loader.js", &[("Origin", page)])).await.status
    };
    assert_eq!(ask(&mut Connection::open(edge.http).await, listed).await, 200);
    let (pages, next) = (Arc::new(asking()), Arc::new(AtomicUsize::new(0)));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (pages, next, addr) = (Arc::clone(&pages), Arc::clone(&next), edge.http);
        clients.spawn(async move {
            let mut connection = Connection::open(addr).await;
            while let Some(page) = pages.get(next.fetch_add(1, Ordering::Relaxed)) {
                let asked = request("GET", addr, "/w/w/loader.js", &[("Origin", page)]);
                assert_eq!(connection.ask(asked).await.status, 403);
            }
        });
    }
    clients.join_all().await;
    assert_eq!(ask(&mut Connection::open(edge.http).await, listed).await, 200);

    let mut seen = Value::Null;
    in_time("all are counted", LONG, async || {
        seen = edge.admin("/v1/widgets/w/activity").await.json().await.unwrap();
        seen["entries"][0]["count"] == 2
    })
    .await;
    assert_eq!(edge.metric("embedgate_activity_sightings_total{outcome=\"dropped\"}").await, 0.0);
    let sites = seen["refused"]["sites"].as_array().unwrap();
    let told: BTreeMap<&str, (u64, u64)> = sites
        .iter()
        .map(|site| {
            let number = |name: &str| site[name].as_u64().unwrap();
            (site["origin"].as_str().unwrap(), (number("count"), number("error")))
        })
        .collect();
    for embedder in TRUE - TOLD..TRUE {
        let Some((most, error)) = told.get(page(embedder).as_str()) else {
            panic!("{} is not told: {seen:#}", page(embedder));
        };
        let within = most - error..=*most;
        assert!(within.contains(&count(embedder)), "{}: {within:?}, not {}", page(embedder), count(embedder));
    }
    assert_eq!(told.len(), TOLD);
    // Who is not told at all can't have been seen so often as to belong there.
    let untracked = seen["refused"]["untracked"].as_u64().unwrap();
    assert!(untracked < count(TRUE - TOLD), "{untracked}");
}
