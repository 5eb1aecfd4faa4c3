//! Live: what happens is there as it happens, filtered, paused, and never more than somebody can read.

use std::time::Duration;

use serde_json::json;

use super::{SOON, address, sign_in};
use crate::browser::screenshot;
use crate::support::browser::{Browser, BrowserOptions};
use crate::support::edge::{Edge, EdgeSpec, READ_TOKEN};
use crate::support::events::EventStream;

const LISTED: &str = "https://example.com";
const STRANGER: &str = "https://stranger.example";

fn spec() -> EdgeSpec {
    EdgeSpec::stored(&json!([{ "id": "w", "allowed_domains": ["example.com"] }]))
}

async fn visit(edge: &Edge, origin: &str) {
    let request = reqwest::Client::new().get(edge.url("/w/w/loader.js")).header("origin", origin);
    drop(request.send().await.unwrap().bytes().await);
}

/// Waits until so many rows of a kind are shown.
async fn rows(browser: &Browser, kind: &str, number: usize) {
    let counted = format!("document.querySelectorAll('#rows tr[data-kind={kind}]').length === {number}");
    browser.wait_until(&counted, SOON).await.unwrap();
}

async fn is_live(browser: &Browser) {
    browser.wait_until("document.querySelector('#state-mark').textContent === 'live'", SOON).await.unwrap();
}

#[tokio::test]
async fn what_happens_is_shown_filtered_and_paused() {
    let edge = Edge::start(spec()).await;
    let browser = Browser::start(BrowserOptions::default()).await.unwrap();
    sign_in(&browser, &edge, READ_TOKEN).await;
    browser.goto(&format!("{}/live?kind=decision&kind=swap", address(&edge))).await.unwrap();
    is_live(&browser).await;
    visit(&edge, LISTED).await;
    visit(&edge, STRANGER).await;
    edge.put(&json!({ "id": "w", "allowed_domains": ["example.com", "example.org"] })).await;
    rows(&browser, "decision", 2).await;
    rows(&browser, "swap", 1).await;
    let first = browser.text("#rows tr:first-child .what").await.unwrap();
    assert!(first.contains("w 1 → 2 by token:write"), "{first}");
    let why = "document.querySelector('#rows .what a[href^=\"/explain?decision=\"]') !== null";
    browser.wait_until(why, SOON).await.unwrap();
    browser.screenshot(screenshot("live.png")).await.unwrap();

    browser.eval("document.querySelector('#pause').click()").await.unwrap();
    visit(&edge, STRANGER).await;
    let counted = "document.querySelector('#missed').textContent === '1 event since'";
    browser.wait_until(counted, SOON).await.unwrap();
    rows(&browser, "decision", 2).await;
    browser.eval("document.querySelector('#pause').click()").await.unwrap();
    rows(&browser, "decision", 3).await;

    // A filter begins anew, and is in the address.
    let choose = "(field => { field.value = 'stranger.example/a'; \
                  field.dispatchEvent(new Event('input', { bubbles: true })) })(document.querySelector('[name=embedder]'))";
    browser.eval(choose).await.unwrap();
    rows(&browser, "decision", 0).await;
    is_live(&browser).await;
    let shared = browser.eval("location.search").await.unwrap();
    assert_eq!(shared, "?embedder=https%3A%2F%2Fstranger.example&kind=decision&kind=swap");
    visit(&edge, LISTED).await;
    visit(&edge, STRANGER).await;
    rows(&browser, "decision", 1).await;
    let embedder = browser.text("#rows tr:first-child td:nth-child(3)").await.unwrap();
    assert_eq!(embedder, STRANGER);
}

#[tokio::test]
async fn a_reader_gets_only_so_many_decisions_and_learns_how_many_it_did_not() {
    let edge = Edge::start(spec()).await;
    let mut few = EventStream::open(&edge, "?kind=decision&decisions_per_second=3&verdict=deny").await;
    for _ in 0..10 {
        visit(&edge, LISTED).await;
        visit(&edge, STRANGER).await;
    }
    let (mut told, mut missed) = (0, 0);
    while told + missed < 10 {
        let event = few.within(Duration::from_secs(5)).await.unwrap();
        match event.kind.as_str() {
            "decision" => told += 1,
            _ => {
                assert_eq!(event.data["reason"], "left_out", "{}", event.data);
                missed += event.data["missed"].as_u64().unwrap();
            }
        }
    }
    assert_eq!(told + missed, 10);
    // As slow as a machine may be, twenty visits take a few seconds at most.
    assert!((3..10).contains(&told), "{told}");
    for (query, part) in [
        ("?embedder=example.com", "embedder"),
        ("?embedder=https://example.com/a", "embedder"),
        ("?verdict=denied", "verdict"),
        ("?decisions_per_second=0", "decisions_per_second"),
        ("?decisions_per_second=1001", "decisions_per_second"),
    ] {
        let refused = edge.admin(&format!("/v1/events{query}")).await;
        assert_eq!(refused.status(), 400, "{query}");
        assert!(refused.text().await.unwrap().contains(part), "{query}");
    }
}
