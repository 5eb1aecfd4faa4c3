//! The operator's page of a fleet: who is away, and what an operator decides about it and about the bucket, in Chromium.

use super::{Fleet, NOTICED, SITE, alike, assert_verdict, fault, in_time, kill, save_everywhere, widget};
use crate::page::{sign_in, view};
use crate::support::browser::{Browser, BrowserOptions};
use crate::support::edge::{Edge, READ_TOKEN, WRITE_TOKEN};

/// Waits until the view says that an edge is in this state; `undefined`: that there is no such edge.
async fn shows(browser: &Browser, edge: &str, state: &str) {
    let row = "row => row.cells[0].textContent.trim().split(' ')[0]";
    let shown = format!(
        "String([...document.querySelectorAll('#edges tbody tr')].find(row => ({row})(row) === '{edge}')
            ?.cells[1].textContent) === '{state}'"
    );
    browser.wait_until(&shown, NOTICED).await.unwrap();
}

/// Opens a dialog, decides, and waits until the page says that it is done.
async fn decide(browser: &Browser, dialog: &str, done: &str) {
    browser.wait_for(&format!("[data-opens={dialog}]"), NOTICED).await.unwrap();
    browser.eval(&format!("document.querySelector('[data-opens={dialog}]').click()")).await.unwrap();
    browser.wait_for(&format!("#{dialog}[open]"), NOTICED).await.unwrap();
    browser.eval(&format!("document.querySelector('[data-does={dialog}]').click()")).await.unwrap();
    let told = format!("document.querySelector('main > .note')?.textContent.startsWith('{done}') === true");
    browser.wait_until(&told, NOTICED).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_shows_who_is_away_and_mends_the_bucket() {
    let (mut fleet, mut edges): (_, [Edge; 2]) = Fleet::new_edges().await;
    save_everywhere(&edges[0], &widget("w", &["old.example"])).await;
    let copy = fleet.copy().await;
    alike(&edges).await;
    save_everywhere(&edges[1], &widget("w", &["site.example"])).await;

    let browser = Browser::start(BrowserOptions::default()).await.unwrap();
    sign_in(&browser, &edges[0], READ_TOKEN).await;
    browser.goto(&view(&edges[0], "/fleet")).await.unwrap();
    for edge in ["edge-1", "edge-2"] {
        shows(&browser, edge, "current").await;
    }

    // The view follows by itself. Who only reads decides nothing.
    kill(&mut edges[1]).await;
    shows(&browser, "edge-2", "silent").await;
    let decisions = browser.eval("document.querySelectorAll('[data-opens]').length").await.unwrap();
    assert_eq!(decisions, 0);
    browser.eval("document.querySelector(\"form[action='/sign-out']\").requestSubmit()").await.unwrap();
    sign_in(&browser, &edges[0], WRITE_TOKEN).await;
    browser.goto(&view(&edges[0], "/fleet")).await.unwrap();
    decide(&browser, "forget", "edge-2 is forgotten.").await;
    shows(&browser, "edge-2", "undefined").await;
    edges[1].restart().await;
    shows(&browser, "edge-2", "current").await;

    // The bucket comes back as it was before the last save.
    fleet.put_back(&copy).await;
    for edge in ["edge-1", "edge-2"] {
        shows(&browser, edge, "fault").await;
    }
    decide(&browser, "restore", "The bucket is filled: ").await;
    for edge in &edges {
        in_time("the fault is over", NOTICED, async || fault(edge).await.is_empty()).await;
    }
    alike(&edges).await;
    assert_verdict(&edges, "w", SITE, 200).await;
    assert_verdict(&edges, "w", "https://old.example", 403).await;
    for edge in ["edge-1", "edge-2"] {
        shows(&browser, edge, "current").await;
    }
}
