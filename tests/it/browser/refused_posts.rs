//! A page whose request is refused reads why, whatever it sent along.

use serde_json::json;

use super::stage::{Stage, listed};

/// Sends a body and tells what the page could read: the status and the title of the answer.
const SEND: &str = "(async (address, size, streamed) => {
    const bytes = new Uint8Array(size).fill(120);
    const stream = () => new Blob([bytes]).stream();
    const body = streamed ? { body: stream(), duplex: 'half' } : { body: bytes };
    try {
        const answer = await fetch(address, { method: 'POST', ...body });
        const problem = await answer.json();
        return `${answer.status} ${problem.status} ${typeof problem.decision_id}`;
    } catch (error) {
        return String(error);
    }
})";

#[tokio::test]
async fn a_page_reads_the_refusal_of_a_body_of_any_size() {
    let stage = Stage::of_demo(&json!([listed()])).await;
    stage.sites.put("/", &[], "<!doctype html><title>A site</title>");
    let browser = stage.browser().await;
    let mut unread = Vec::new();
    // Over HTTP/2, and over HTTP/1.1, which streams nothing.
    for (page, edge, streams) in [
        ("https://stranger.example", "https://widgets.example", &[false, true][..]),
        ("http://stranger.example", "http://widgets.example", &[false]),
    ] {
        browser.goto(&format!("{page}/")).await.unwrap();
        for size in [1 << 10, (64 << 10) + 1, 1 << 20, 20 << 20] {
            for streamed in streams {
                let call = format!("{SEND}('{edge}/w/listed/session/chat', {size}, {streamed})");
                let told = browser.eval(&call).await.unwrap();
                if told != "403 403 string" {
                    unread.push(format!("{edge}, {size} bytes, streamed {streamed}: {told}"));
                }
            }
        }
    }
    assert!(unread.is_empty(), "{unread:#?}");
}
