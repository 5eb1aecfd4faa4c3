//! What a site's owner finds on a page that is denied: in the console, in the frame and in the answer's body, each with
//! who is refused, what to do about it, and the decision that the widget's owner can look up.

use serde_json::{Value, json};

use super::probe::{self, Told, probe};
use super::screenshot;
use super::stage::{STRANGER, Stage, listed};
use crate::support::browser::Browser;

/// Without the ids of widgets and decisions, and the browser's own words around them.
fn words(told: &Told, name: &str) -> String {
    let said = &told[name].said;
    let from = said.find("This widget").unwrap_or_else(|| panic!("{name}: {said}"));
    let to = said[from..].find("allowed domains").unwrap_or_else(|| panic!("{name}: {said}"));
    said[from..from + to].split_whitespace().collect::<Vec<_>>().join(" ")
}

async fn told_on(browser: &Browser, page: &str, widget: &str) -> Told {
    browser.goto(page).await.unwrap();
    probe(browser, widget).await
}

#[tokio::test]
async fn a_denied_page_says_why_wherever_its_owner_looks() {
    let stage = Stage::of_demo(&json!([listed()])).await;
    probe::put(&stage.sites, &[("/", &[])]);
    let browser = stage.browser().await;
    let readable = ["tag", "crossorigin", "module", "import", "frame", "fetch", "preflight", "streamed"];
    for (page, entry, reason) in [
        (STRANGER, "stranger.example", "not_listed"),
        ("https://stranger.example:8443", "stranger.example:8443", "not_listed"),
        ("http://site.example", "http://site.example", "insecure_scheme"),
        ("http://localhost:3000", "localhost:3000", "not_listed"),
    ] {
        let told = told_on(&browser, page, "listed").await;
        let unknown = told_on(&browser, page, "nobody").await;
        for name in readable {
            let said = words(&told, name);
            assert!(said.contains(page) && said.contains(&format!(" {entry} ")), "{name}: {said}");
            let text = &told[name].said;
            let named = |decision: &Value| text.contains(decision["decision_id"].as_str().unwrap());
            let decision = stage.decision(named).await;
            assert_eq!(
                (&decision["reason"], &decision["embedder"]),
                (&json!(reason), &json!(page)),
                "{name}"
            );
            // Who isn't let in learns nothing of the list, nor whether there is one.
            assert_eq!(said, words(&unknown, name));
        }
        // The browser tells its console, and nobody else, that a handshake was refused.
        let console = browser.console().await.unwrap();
        assert!(
            console.iter().any(|line| line.contains("WebSocket") && line.contains("403")),
            "{console:#?}"
        );
    }
    browser.goto(STRANGER).await.unwrap();
    probe::frame(&browser, "listed").await;
    browser
        .eval("Object.assign(document.querySelector('iframe').style, { width: '400px', height: '300px' })")
        .await
        .unwrap();
    browser.screenshot(&screenshot("denied.png")).await.unwrap();
}
