//! An `EventSource` inside the widget's iframe: it comes back with the ticket of its address, and waits for as long
//! as a WebSocket may.

use std::time::Duration;

use serde_json::{Value, json};

use super::probe;
use super::stage::{EDGE, SITE, Stage, listed};
use crate::support::browser::Browser;
use crate::support::edge::EdgeSpec;
use crate::support::upstream::Scripted;

const SOON: Duration = Duration::from_secs(10);

/// The widget's document: it listens to `?stream`, and writes down what it hears.
const DOCUMENT: &str = r#"<!doctype html><title>widget</title><script type="module">
const [{ serverTiming }] = performance.getEntriesByType("navigation");
const ticket = serverTiming.find(({ name }) => name === "embed-ticket").description;
window.heard = [];
const stream = new URLSearchParams(location.search).get("stream");
const source = new EventSource(`session/${stream}?ticket=${ticket}`);
source.onmessage = ({ data }) => heard.push(data);
source.onerror = () => heard.push(source.readyState === EventSource.CLOSED ? "closed" : "cut");
</script>"#;

/// `…/short` says one thing and ends after a second and a half; `…/silent` says nothing for three.
async fn upstream() -> Scripted {
    Scripted::start(|mut connection, _| async move {
        while let Some((head, _)) = connection.request().await {
            let path = head.split(' ').nth(1).unwrap();
            let (kind, wait, first, last) = match path {
                path if path.ends_with("/short") => {
                    ("text/event-stream", 1_500, "retry: 100\ndata: hello\n\n", ":\n")
                }
                path if path.ends_with("/silent") => ("text/event-stream", 3_000, ":\n\n", "data: late\n\n"),
                _ => ("text/html", 0, DOCUMENT, "\n"),
            };
            let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n");
            connection.send(format!("{head}{}", chunk(first))).await;
            tokio::time::sleep(Duration::from_millis(wait)).await;
            connection.send(chunk(last) + "0\r\n\r\n").await;
        }
    })
    .await
}

async fn listening(stream: &str) -> (Stage, Scripted, Browser) {
    let upstream = upstream().await;
    let mut spec = EdgeSpec { source: "store", ..EdgeSpec::on(upstream.addr, &json!([listed()])) };
    spec.more = spec.more.replace("[log]", "read_timeout = \"1s\"\n[tickets]\nlifetime = \"1s\"\n[log]");
    let stage = Stage::start(spec, &["site.example"]).await;
    let frame = format!("<iframe src=\"{EDGE}/w/listed/frame?stream={stream}\"></iframe>");
    stage.sites.put("/", &[], probe::page(&frame));
    let browser = stage.browser().await;
    browser.goto(&format!("{SITE}/")).await.unwrap();
    browser.enter_frame("document.querySelector('iframe')").await.unwrap();
    (stage, upstream, browser)
}

#[tokio::test]
async fn it_reconnects_after_its_ticket_is_over_while_its_page_is_listed() {
    let (stage, _upstream, browser) = listening("short").await;
    browser.wait_until("heard.filter((data) => data === 'hello').length === 3", SOON).await.unwrap();
    let heard: Value = browser.eval("heard").await.unwrap();
    assert_eq!(heard, json!(["hello", "cut", "hello", "cut", "hello"]));
    let mut document = listed();
    document["allowed_domains"] = json!(["other.example"]);
    stage.save(&document).await;
    browser.wait_until("heard.at(-1) === 'closed'", SOON).await.unwrap();
    let refused = stage.decision(|line| line["class"] == "session" && line["verdict"] == "deny").await;
    assert_eq!(
        (&refused["reason"], &refused["opened_by"]),
        (&json!("not_listed"), &json!(SITE)),
        "{refused}"
    );
}

#[tokio::test]
async fn a_silent_server_does_not_end_it() {
    let (_stage, _upstream, browser) = listening("silent").await;
    browser.wait_until("heard.length > 0", SOON).await.unwrap();
    assert_eq!(browser.eval("heard[0]").await.unwrap(), "late");
}
