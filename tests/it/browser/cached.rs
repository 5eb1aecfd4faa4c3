//! What a browser keeps for one page it doesn't show to another, though both are of one site and share its cache.

use serde_json::json;

use super::probe::{self, Told, calls};
use super::stage::{EDGE, SITE, Stage, listed, widget};
use crate::support::browser::Browser;

/// Of the same site as [`SITE`] (HTML, "schemelessly same site"), by which browsers divide their caches.
const SHOP: &str = "https://shop.site.example";

/// Assets that a browser may keep for minutes: an image, which names the page by its referrer alone, and one by
/// `fetch()`.
async fn assets(browser: &Browser, page: &str) -> Told {
    browser.goto(page).await.unwrap();
    let ask = format!(
        "(async (assets) => ({{ image: await image(`${{assets}}/icon.svg`), fetch: await call(`${{assets}}/widget.css`) }}))\
         ('{EDGE}/w/listed/assets')"
    );
    calls(browser, &ask).await
}

async fn works(browser: &Browser, page: &str) -> bool {
    let told = assets(browser, page).await;
    assert_eq!(told["image"].works, told["fetch"].works, "{told:?}");
    told["image"].works
}

#[tokio::test]
async fn another_origin_of_the_same_site_is_judged_for_itself() {
    let stage = Stage::of_demo(&json!([listed()])).await;
    probe::put(&stage.sites, &[("/", &[])]);
    let browser = stage.browser().await;
    assert!(works(&browser, SITE).await);
    let asked = stage.edge.decisions().len();
    assert!(works(&browser, SITE).await);
    assert_eq!(stage.edge.decisions().len(), asked, "what is kept is not asked for");

    let told = assets(&browser, SHOP).await;
    assert!(!told["image"].works, "{told:?}");
    assert!(told["fetch"].said.contains(&format!("may not be embedded on {SHOP}.")), "{told:?}");

    // Nor is a refusal kept.
    stage.save(&widget("listed", json!([".site.example"]))).await;
    assert!(works(&browser, SHOP).await);
    assert!(works(&browser, SITE).await);
}
