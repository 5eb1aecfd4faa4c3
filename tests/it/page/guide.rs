//! The story that docs/operations.md tells under "The widget is gone", from a fresh start on, all of it on the page, with its
//! pictures: `EMBEDGATE_UPDATE_SNAPSHOTS=1` takes them again.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::widgets::{asked, click, fill, save, stored, visit};
use super::{SOON, sign_in, view};
use crate::support::browser::{Browser, BrowserOptions};
use crate::support::edge::{Edge, EdgeSpec, WRITE_TOKEN, usual_routes};
use crate::support::eventually;

/// The library that lets a process live in another time (libfaketime).
fn other_time() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").unwrap().map(|folder| folder.unwrap().path());
    let mut libraries = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1"));
    libraries.find(|library| library.exists()).expect("faketime is installed")
}

const SHOP: &str = "https://shop.example";
const CUSTOMER: &str = "https://www.shop.example";
const PREVIEW: &str = "shop-git-launch.vercel.app";

/// Photographs what is at the top of a part of the page, for the guide.
async fn picture(browser: &Browser, name: &str, part: &str, (width, height): (u32, u32), scheme: &str) {
    if std::env::var_os("EMBEDGATE_UPDATE_SNAPSHOTS").is_none() {
        return;
    }
    let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
    browser.devtools("Emulation.setEmulatedMedia", features).await.unwrap();
    browser.resize((width, height)).await.unwrap();
    let scroll = format!(
        "document.querySelector({part:?})?.scrollIntoView({{ block: 'start', behavior: 'instant' }})"
    );
    browser.eval(&scroll).await.unwrap();
    // What moves has arrived, and what is drawn by width is drawn.
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    browser.screenshot(Path::new("docs/page").join(format!("{name}.png"))).await.unwrap();
}

/// What is kept of the sites of a widget that the list doesn't admit.
async fn refused(edge: &Edge) -> Value {
    edge.admin("/v1/widgets/wgt_shop/activity").await.json::<Value>().await.unwrap()["refused"]["sites"]
        .clone()
}

async fn text(browser: &Browser, css: &str) -> String {
    browser.wait_for(css, SOON).await.unwrap();
    browser.text(css).await.unwrap()
}

#[tokio::test]
async fn a_new_operator_finds_the_way() {
    let routes = usual_routes("demo").replace("class = \"session\"\n", "class = \"session\"\nopens = true\n");
    let spec = EdgeSpec { routes: Some(routes), ..EdgeSpec::stored(&json!([])) };
    let earlier = |command: &mut Command| {
        command
            .env("LD_PRELOAD", other_time())
            .env("FAKETIME", "-40d")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    };
    let mut edge = Edge::start_with(earlier, spec).await;
    let browser = Browser::start(BrowserOptions::default()).await.unwrap();

    // A fresh start, forty days ago: the first widget, and a preview of its site.
    sign_in(&browser, &edge, WRITE_TOKEN).await;
    browser.goto(&view(&edge, "/widgets")).await.unwrap();
    fill(&browser, "[data-change=create] [name=id]", "wgt_shop").await;
    fill(&browser, "[data-change=create] [name=pattern]", "shop.example").await;
    click(&browser, "[data-change=create] button").await;
    asked(&browser).await;
    click(&browser, "dialog.change menu li:nth-child(2) button").await;
    browser.wait_until("location.pathname === '/widgets/wgt_shop'", SOON).await.unwrap();
    fill(&browser, "form[data-change=add] [name=pattern]", PREVIEW).await;
    click(&browser, "form[data-change=add] button").await;
    asked(&browser).await;
    save(&browser, 2).await;
    assert_eq!(visit(&edge, "wgt_shop", "https://stranger.example").await, 403, "it is restricted");

    // Today: the shop is visited, and a customer's page is refused.
    edge.signal("TERM");
    assert_eq!(edge.exit_code().await, Some(0));
    edge.restart().await;
    for (origin, status) in [(SHOP, 200), (CUSTOMER, 403), ("https://copied.example", 403)] {
        assert_eq!(visit(&edge, "wgt_shop", origin).await, status, "{origin}");
    }
    eventually("the refused sites are kept", async || {
        refused(&edge).await.as_array().is_some_and(|all| all.len() >= 2)
    })
    .await;
    sign_in(&browser, &edge, WRITE_TOKEN).await;
    browser.wait_for("a[href^='/widgets/wgt_shop']", SOON).await.unwrap();
    picture(&browser, "overview", "body", (1100, 900), "light").await;
    picture(&browser, "phone", "body", (390, 844), "dark").await;
    browser.resize((1200, 800)).await.unwrap();

    // The preview is left over.
    browser.goto(&view(&edge, "/widgets/wgt_shop")).await.unwrap();
    let findings = text(&browser, "#findings").await;
    assert!(findings.contains(PREVIEW) && findings.contains("40 days"), "{findings}");
    picture(&browser, "leftover", "body", (1100, 980), "light").await;
    click(&browser, &format!("[data-change=remove][data-entry='{PREVIEW}']")).await;
    asked(&browser).await;
    save(&browser, 3).await;

    // The customer is let in.
    picture(&browser, "refused", "#sites", (1100, 520), "light").await;
    click(&browser, "[data-change=add][data-entry='www.shop.example']").await;
    let told = asked(&browser).await;
    assert!(told.contains("1 site that is refused now would be admitted"), "{told}");
    picture(&browser, "change", "body", (1100, 760), "light").await;
    save(&browser, 4).await;
    assert_eq!(visit(&edge, "wgt_shop", CUSTOMER).await, 200);

    // A bad save, which the trial has warned of, and its undo.
    click(&browser, "[data-change=remove][data-entry='shop.example']").await;
    let told = asked(&browser).await;
    assert!(
        told.contains("1 site seen in the last 30 days would be refused") && told.contains(SHOP),
        "{told}"
    );
    save(&browser, 5).await;
    assert_eq!(visit(&edge, "wgt_shop", SHOP).await, 403);
    picture(&browser, "undo", "#history", (1100, 560), "light").await;
    click(&browser, "#history [data-change=revert]").await;
    asked(&browser).await;
    save(&browser, 6).await;
    assert_eq!(visit(&edge, "wgt_shop", SHOP).await, 200);

    // A stolen tag: programs that pass their requests off as the shop's come from few addresses.
    fill(&browser, "[name='address.opens_per_minute']", "20").await;
    fill(&browser, "[name='widget.opens_per_day']", "5000").await;
    click(&browser, "[data-change=limits] button").await;
    asked(&browser).await;
    save(&browser, 7).await;
    picture(&browser, "limits", "#limits", (1100, 620), "light").await;
    let limits = json!({ "widget": { "opens_per_day": 5000 }, "address": { "opens_per_minute": 20 } });
    assert_eq!(stored(&edge, "wgt_shop").await["limits"], limits);
    let thief = opens(&edge, 25).await;
    assert_eq!(thief.iter().filter(|status| **status == 429).count(), 5, "{thief:?}");
}

/// Sessions that a program opens with the shop's name, from one address.
async fn opens(edge: &Edge, number: usize) -> Vec<u16> {
    let mut answers = Vec::new();
    for _ in 0..number {
        let call = reqwest::Client::new().get(edge.url("/w/wgt_shop/session")).header("origin", SHOP);
        answers.push(call.send().await.unwrap().status().as_u16());
    }
    answers
}
