//! The demo's iframe in a real browser, on tickets: from a page that sends no referrer, and long after the first is
//! over.

use std::time::Duration;

use serde_json::json;

use super::outcome;
use crate::browser::open_chat;
use crate::support::browser::{Browser, BrowserOptions};
use crate::support::edge::{Edge, EdgeSpec};
use crate::support::eventually;

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_session_outlives_its_tickets_and_a_silent_page_gets_one() {
    let spec = EdgeSpec {
        edge: "tunnel_idle_timeout = \"2s\"".to_owned(),
        more: "[tickets]\nlifetime = \"1s\"\n".to_owned(),
        source: "store",
        ..EdgeSpec::default()
    };
    let edge = Edge::start(spec).await;
    let site = format!("http://site.localhost:{}/", edge.http.port());
    let browser = Browser::start(BrowserOptions::default()).await.unwrap();
    browser.goto(&site).await.unwrap();
    browser.wait_for("#outcome[data-outcome=loaded]", SOON).await.unwrap();
    open_chat(&browser).await;
    assert_eq!(outcome(&edge, "framed").await, 1.0, "with the frame");
    // Idle, the WebSocket is closed again and again, and each time its ticket is over.
    let before = outcome(&edge, "accepted").await;
    eventually("the iframe comes back with a fresh one", async || {
        outcome(&edge, "renewed").await >= 1.0 && outcome(&edge, "accepted").await > before
    })
    .await;
    browser.wait_for("#embedgate-widget[data-session=open]", SOON).await.unwrap();
    assert_eq!(outcome(&edge, "issued").await, 0.0, "the page was never asked");

    browser.goto(&site).await.unwrap();
    browser.wait_for("#outcome[data-outcome=loaded]", SOON).await.unwrap();
    let silent = "document.head.append(Object.assign(document.createElement('meta'), \
                  { name: 'referrer', content: 'no-referrer' }))";
    browser.eval(silent).await.unwrap();
    open_chat(&browser).await;
    assert_eq!(outcome(&edge, "framed").await, 1.0, "none with the frame");
    assert!(outcome(&edge, "issued").await >= 1.0, "from the page");

    let mut document: serde_json::Value = edge.admin("/v1/widgets/wgt_demo").await.json().await.unwrap();
    document.as_object_mut().unwrap().remove("revision");
    document["allowed_domains"] = json!(["example.com"]);
    assert_eq!(edge.put(&document).await.0, 200);
    browser.wait_for("#embedgate-widget[data-session=ended]", SOON).await.unwrap();
}
