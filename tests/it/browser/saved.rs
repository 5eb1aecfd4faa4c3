//! A save takes a page's domain away while it is open, and gives it back: each holds at once, and no cache in between,
//! the browser's own or a service worker's, keeps the refusal for longer.

use serde_json::json;

use super::probe::{self, probe};
use super::stage::{EDGE, SITE, Stage, listed, widget};
use super::{FRAME, SOON, open_chat, screenshot};
use crate::support::browser::Browser;

/// A worker as many sites have one: what was fine once is kept and comes from there.
const WORKER: &str = r#"
    addEventListener("install", () => skipWaiting());
    addEventListener("activate", (event) => event.waitUntil(clients.claim()));
    addEventListener("fetch", (event) => event.request.method === "GET" && event.respondWith(answer(event.request)));
    async function answer(request) {
      const kept = await caches.open("kept");
      const found = await kept.match(request);
      if (found) return found;
      const fresh = await fetch(request);
      if (fresh.ok && request.destination === "script") await kept.put(request, fresh.clone());
      return fresh;
    }
"#;

const REGISTERED: &str = r#"<script>
    const worker = navigator.serviceWorker;
    const controlled = worker.register("/worker.js").then(() => worker.controller || new Promise((resolve) => {
      worker.addEventListener("controllerchange", resolve);
    })).then(() => true);
</script>"#;

/// The tag, as a visitor's page has it.
fn tag(more: &str) -> String {
    format!("<script {more} src=\"{EDGE}/w/listed/loader.js\" async></script>")
}

async fn works(browser: &Browser, page: &str) {
    browser.goto(page).await.unwrap();
    open_chat(browser).await;
    browser.enter_frame(FRAME).await.unwrap();
    browser.wait_for(".agent:not(.thinking)", SOON).await.unwrap();
    browser.leave_frames().await.unwrap();
}

/// Loads the page again, and tells which surfaces work nevertheless.
async fn refused(browser: &Browser, page: &str) -> Vec<String> {
    browser.goto(page).await.unwrap();
    let told = probe(browser, "listed").await;
    assert!(told["fetch"].said.contains("may not be embedded on https://site.example."), "{told:#?}");
    told.into_iter().filter(|(_, surface)| surface.works).map(|(name, _)| name).collect()
}

#[tokio::test]
async fn a_domain_is_taken_away_and_given_back_under_an_open_page() {
    let stage = Stage::of_demo(&json!([listed()])).await;
    let nobody = widget("listed", json!(["other.example"]));
    probe::put(&stage.sites, &[]);
    probe::put_script(&stage.sites, "/worker.js", WORKER);
    stage.sites.put("/", &[], probe::page(&tag("")));
    stage.sites.put("/kept/", &[], probe::page(&format!("{REGISTERED}{}", tag("crossorigin"))));
    let browser = stage.browser().await;

    for page in [format!("{SITE}/"), format!("{SITE}/kept/")] {
        works(&browser, &page).await;
        if page.ends_with("/kept/") {
            // Once more, with the loader from the worker's cache.
            assert_eq!(browser.eval("controlled").await.unwrap(), true);
            works(&browser, &page).await;
        }
        stage.save(&nobody).await;
        browser.wait_for("#embedgate-widget[data-session=ended]", SOON).await.unwrap();
        browser.enter_frame(FRAME).await.unwrap();
        browser.wait_for(".note.ended", SOON).await.unwrap();
        let note = browser.text(".note.ended").await.unwrap();
        assert!(note.contains("origin no longer allowed"), "{note}");
        browser.leave_frames().await.unwrap();
        browser.screenshot(&screenshot("revoked.png")).await.unwrap();

        let refused = refused(&browser, &page).await;
        // What a site keeps for itself it still has; what that opens is refused.
        let kept: &[&str] = if page.ends_with("/kept/") { &["crossorigin"] } else { &[] };
        assert_eq!(refused, kept, "{page}");
        stage.save(&listed()).await;
        works(&browser, &page).await;
        let told = probe(&browser, "listed").await;
        assert!(told.values().all(|surface| surface.works), "{told:#?}");
    }
}
