//! A page comes back from the back/forward cache: nothing that it was told before holds any longer than the rules.

use serde_json::json;

use super::probe::{self, Told, probe};
use super::stage::{EDGE, SITE, STRANGER, Stage, listed, widget};
use super::{SOON, open_chat};
use crate::support::browser::Browser;
use crate::support::eventually;

const PAGE: &str = r#"<script>
    let shown = null;
    addEventListener("pageshow", (event) => { shown = event.persisted ? "restored" : "loaded"; });
</script>"#;

/// Leaves the page and comes back to it, as it was.
async fn leave_and_return(browser: &Browser, meanwhile: impl Future<Output = ()>) {
    browser.goto("https://elsewhere.example/elsewhere").await.unwrap();
    meanwhile.await;
    browser.driver().back().await.unwrap();
    browser.wait_until("shown === 'restored'", SOON).await.unwrap();
    browser.eval("shown = 'seen'").await.unwrap();
}

fn working(told: &Told) -> Vec<&str> {
    told.iter().filter(|(_, surface)| surface.works).map(|(name, _)| name.as_str()).collect()
}

#[tokio::test]
async fn a_restored_page_is_judged_by_the_rules_in_force() {
    let stage = Stage::of_demo(&json!([listed()])).await;
    probe::put(&stage.sites, &[("/elsewhere", &[])]);
    // A page that may not be stored may not be kept either.
    stage.sites.put("/", &[("cache-control", "no-cache")], probe::page(PAGE));
    let browser = stage.browser().await;

    browser.goto(STRANGER).await.unwrap();
    assert_eq!(working(&probe(&browser, "listed").await), [""; 0]);
    leave_and_return(&browser, async {}).await;
    assert_eq!(working(&probe(&browser, "listed").await), [""; 0]);
    leave_and_return(&browser, stage.save(&widget("listed", json!(["site.example", "stranger.example"]))))
        .await;
    assert_eq!(working(&probe(&browser, "listed").await).len(), 10);

    browser.goto(SITE).await.unwrap();
    assert_eq!(working(&probe(&browser, "listed").await).len(), 10);
    leave_and_return(&browser, async {}).await;
    assert_eq!(working(&probe(&browser, "listed").await).len(), 10);
    leave_and_return(&browser, stage.save(&widget("listed", json!(["other.example"])))).await;
    let told = probe(&browser, "listed").await;
    assert_eq!(working(&told), [""; 0]);
    assert!(told["fetch"].said.contains("may not be embedded on https://site.example"), "{told:?}");
    leave_and_return(&browser, stage.save(&listed())).await;
    assert_eq!(working(&probe(&browser, "listed").await).len(), 10);
}

#[tokio::test]
async fn a_chat_that_was_open_goes_on_only_where_it_still_may() {
    let stage = Stage::of_demo(&json!([listed()])).await;
    probe::put(&stage.sites, &[("/elsewhere", &[])]);
    let tag = format!("<script src=\"{EDGE}/w/listed/loader.js\" async></script>");
    let page = probe::page(&format!("{PAGE}{tag}"));
    stage.sites.put("/", &[("cache-control", "no-cache")], page);
    let browser = stage.browser().await;
    browser.goto(SITE).await.unwrap();
    open_chat(&browser).await;
    let presented = async || stage.edge.metric("embedgate_tickets_total{outcome=\"accepted\"}").await;
    let before = presented().await;
    // The browser closes its WebSocket to keep the page; the iframe opens another.
    leave_and_return(&browser, async {}).await;
    eventually("another session", async || presented().await > before).await;
    browser.wait_for("#embedgate-widget[data-session=open]", SOON).await.unwrap();

    leave_and_return(&browser, stage.save(&widget("listed", json!(["other.example"])))).await;
    browser.wait_for("#embedgate-widget[data-session=ended]", SOON).await.unwrap();
    let reason = browser.eval("document.getElementById('embedgate-widget').dataset.reason").await.unwrap();
    assert!(reason.as_str().unwrap().contains("may not be embedded on https://site.example."), "{reason}");
}
