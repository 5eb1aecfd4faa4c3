//! The Trust Center and the policy pages: for everyone, in a tab of their own, with nothing but a click.

use serde_json::json;
use thirtyfour::By;

use super::SOON;
use super::probe::shown;
use super::stage::{EDGE, SITE, STRANGER, Stage, listed, widget};
use crate::support::browser::Browser;
use crate::support::eventually;

/// Each way to get there, and none in.
fn page() -> String {
    let trust = format!("{EDGE}/w/listed/trust");
    format!(
        r#"<!doctype html><title>embedder</title>
        <a id="blank" href="{trust}" target="_blank">a tab</a>
        <a id="silent" href="{trust}/consent" target="_blank" rel="noreferrer">a tab that isn't told</a>
        <button id="opened" onclick="window.open('{trust}/terms')">a window</button>
        <a id="same" href="{trust}">here</a>
        <iframe id="boxed" sandbox="allow-popups" srcdoc='<a id="out" href="{trust}" target="_blank">out</a>'></iframe>
        <iframe id="trust" src="{trust}"></iframe>
        <iframe id="terms" src="{trust}/terms" referrerpolicy="no-referrer"></iframe>"#
    )
}

/// Clicks, and tells the title of the page that it opened in a tab of its own.
async fn opened_by(browser: &Browser, css: &str) -> String {
    let driver = browser.driver();
    let here = driver.window().await.unwrap();
    driver.find(By::Css(css)).await.unwrap().click().await.unwrap();
    let mut there = None;
    eventually(&format!("{css} opens a tab"), async || {
        there = driver.windows().await.unwrap().into_iter().find(|window| *window != here);
        there.is_some()
    })
    .await;
    driver.switch_to_window(there.unwrap()).await.unwrap();
    browser
        .wait_until("document.readyState === 'complete' && location.protocol === 'https:'", SOON)
        .await
        .unwrap();
    let title = shown(browser, &[]).await.title;
    driver.close_window().await.unwrap();
    driver.switch_to_window(here).await.unwrap();
    title
}

#[tokio::test]
async fn public_pages_open_from_anywhere_and_never_in_a_frame() {
    let mut off = listed();
    off["enabled"] = json!(false);
    let mut closed = widget("closed", json!(["site.example"]));
    closed["public_trust_center"] = json!(false);
    let stage = Stage::of_demo(&json!([listed(), closed])).await;
    stage.sites.put("/", &[], page());
    let isolated =
        [("cross-origin-embedder-policy", "require-corp"), ("cross-origin-opener-policy", "same-origin")];
    stage.sites.put("/isolated", &isolated, page());
    let browser = stage.browser().await;

    let pages = [
        SITE,
        STRANGER,
        "http://stranger.example",
        "https://stranger.example/isolated",
        "http://localhost:3000",
    ];
    for page in pages {
        browser.goto(page).await.unwrap();
        for frame in ["trust", "terms"] {
            let inside = shown(&browser, &[&format!("document.getElementById('{frame}')")]).await;
            assert!(inside.is_refused(), "{frame} on {page}: {inside:?}");
        }
        for (link, title) in [("blank", "Trust Center"), ("silent", "Consent"), ("opened", "Terms")] {
            assert_eq!(opened_by(&browser, &format!("#{link}")).await, format!("{title} · Pip"), "{page}");
        }
        browser.enter_frame("document.getElementById('boxed')").await.unwrap();
        assert_eq!(opened_by(&browser, "#out").await, "Trust Center · Pip", "{page}");
        browser.leave_frames().await.unwrap();
    }

    // The kill switch leaves them, and their own links lead on.
    stage.save(&off).await;
    browser.goto(STRANGER).await.unwrap();
    for (link, title) in [("#same", "Trust Center"), (".consent", "Consent"), (".terms", "Terms")] {
        browser.driver().find(By::Css(link)).await.unwrap().click().await.unwrap();
        let arrived = format!("document.title === '{title} · Pip'");
        browser.wait_until(&arrived, SOON).await.unwrap();
    }
    for widget in ["closed", "nobody"] {
        browser.goto(&format!("{EDGE}/w/{widget}/trust")).await.unwrap();
        let text = shown(&browser, &[]).await.text;
        assert!(text.contains("there is no such page"), "{widget}: {text}");
    }
}
