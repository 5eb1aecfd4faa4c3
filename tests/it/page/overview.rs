//! The overview: its figures are those of the calls, its charts are drawn, and it follows what changes.

use reqwest::Client;
use serde_json::{Value, json};

use super::{SOON, sign_in};
use crate::support::browser::{Browser, BrowserOptions};
use crate::support::edge::{Edge, EdgeSpec, WRITE_TOKEN};
use crate::support::eventually;

const LISTED: &str = "https://example.com";
const STRANGER: &str = "https://stranger.example";

/// So many requests of a site for a widget's loader.
async fn visits(edge: &Edge, widget: &str, origin: &str, times: usize) {
    for _ in 0..times {
        let request = Client::new().get(edge.url(&format!("/w/{widget}/loader.js"))).header("origin", origin);
        drop(request.send().await.unwrap().bytes().await);
    }
}

async fn json_of(edge: &Edge, path: &str) -> Value {
    edge.admin(path).await.json().await.unwrap()
}

/// The number under a name on the page.
fn figure(page: &str, name: &str) -> u64 {
    let (_, rest) =
        page.split_once(&format!("<dt>{name}</dt><dd>")).unwrap_or_else(|| panic!("no {name} in {page}"));
    rest.split_once('<').unwrap().0.chars().filter(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

/// What all minutes and the one under way have of something.
fn sum(told: &Value, what: &str) -> u64 {
    let whole = told["minutes"].as_array().unwrap().iter();
    whole.chain([&told["under_way"]]).map(|minute| minute[what].as_u64().unwrap()).sum()
}

#[tokio::test]
async fn figures_are_those_of_the_calls_and_charts_are_drawn() {
    let widgets = json!([
        { "id": "wgt_listed", "allowed_domains": ["example.com"] },
        { "id": "wgt_watched", "access": "monitor", "allowed_domains": ["example.com"] },
        { "id": "wgt_open", "access": "open" },
    ]);
    let edge = Edge::start(EdgeSpec::stored(&widgets)).await;
    visits(&edge, "wgt_listed", LISTED, 5).await;
    visits(&edge, "wgt_listed", STRANGER, 3).await;
    visits(&edge, "wgt_watched", STRANGER, 2).await;

    let minutes = json_of(&edge, "/v1/minutes?last=1440").await;
    let counts = ["allowed", "denied", "monitored", "errors"].map(|what| sum(&minutes, what));
    assert_eq!(counts, [7, 3, 2, 0], "{minutes}");
    let wrong = json_of(&edge, "/v1/minutes?last=1441").await;
    assert_eq!(wrong["code"], "invalid_parameter", "{wrong}");

    let status = json_of(&edge, "/v1/status").await;
    // What was seen is told within a second, and the documents are read beside the request.
    let mut page = String::new();
    eventually("the page has what was refused, and the findings", async || {
        page = edge.admin("/").await.text().await.unwrap();
        page.contains(STRANGER) && page.contains("Open to every site, in production")
    })
    .await;
    assert_eq!(figure(&page, "Widgets"), status["widgets"]["total"].as_u64().unwrap());
    assert_eq!(figure(&page, "Version of the rules"), status["generation"].as_u64().unwrap());
    for text in [
        "Every site may load 1 widget in production.",
        "/widgets?environment=production&amp;access=monitor\">1<",
        "<a href=\"/widgets/wgt_listed\">wgt_listed</a>",
        "<code>stranger.example</code>",
    ] {
        assert!(page.contains(text), "{text} in {page}");
    }

    in_a_browser(&edge).await;
}

async fn in_a_browser(edge: &Edge) {
    let browser = Browser::start(BrowserOptions::default()).await.unwrap();
    sign_in(&browser, edge, WRITE_TOKEN).await;
    browser.wait_for("[data-chart=verdicts] canvas", SOON).await.unwrap();
    let drawn = "(() => { const { width, height } = document.querySelector('[data-chart=verdicts] canvas'); \
                 return width > 200 && height > 100; })()";
    browser.wait_until(drawn, SOON).await.unwrap();
    browser.eval("document.querySelector('[data-chart=verdicts] summary').click()").await.unwrap();
    browser.wait_for("[data-chart=verdicts] table.data", SOON).await.unwrap();

    // A save of somebody else shows by itself; what is open stays so, and so does the focus.
    let focus = "document.querySelector('#posture a').focus()";
    browser.eval(focus).await.unwrap();
    let restricted = json!({ "id": "wgt_open", "allowed_domains": ["example.com"] });
    assert_eq!(edge.put(&restricted).await.0, 200);
    browser.eval("document.dispatchEvent(new Event('visibilitychange'))").await.unwrap();
    let followed = "!document.getElementById('attention').textContent.includes('Every site may load')";
    browser.wait_until(followed, SOON).await.unwrap();
    let kept = "document.activeElement.matches('#posture a') && \
                document.querySelector('[data-chart=verdicts] details').open";
    browser.wait_until(kept, SOON).await.unwrap();
    let console = browser.console().await.unwrap();
    assert!(!console.iter().any(|line| line.starts_with("SEVERE")), "{console:#?}");
}
