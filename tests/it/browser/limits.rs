//! What a page's script learns in Chromium when it opens more than its widget allows: why, and when to try again.

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use super::stage::{EDGE, SITE, Stage};
use crate::limits;
use crate::support::websocket::SocketUpstream;

const CALL: &str = "
    async (path, fields) => {
        const answer = await fetch(path, { method: 'POST', headers: fields });
        const text = await answer.text();
        return {
            status: answer.status,
            after: answer.headers.get('retry-after'),
            code: answer.ok ? null : JSON.parse(text).code,
        };
    }";

/// Ends with the first message, or when the socket is closed.
const SOCKET: &str = "
    (path, protocols) => new Promise((resolve) => {
        const events = [];
        const socket = new WebSocket(path, protocols);
        globalThis.sockets = [...(globalThis.sockets ?? []), socket];
        socket.onopen = () => events.push('open');
        socket.onerror = () => events.push('error');
        socket.onmessage = ({ data }) => resolve({ events, data, protocol: socket.protocol });
        socket.onclose = ({ code, reason, wasClean }) =>
            resolve({ events, code, reason, wasClean, protocol: socket.protocol });
    })";

#[tokio::test]
async fn a_page_reads_why_and_when() {
    let upstream = SocketUpstream::start(|mut asked| async move {
        if asked.head.starts_with("POST ") {
            asked.stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
            return;
        }
        let mut socket = asked.greet().await;
        while let Some(Ok(_)) = futures_util::StreamExt::next(&mut socket).await {}
    })
    .await;
    let widgets = json!([{
        "id": "w", "allowed_domains": ["site.example"], "limits": { "widget": { "opens_per_minute": 2 } },
    }]);
    let stage = Stage::start(limits::spec(upstream.addr, &widgets), &["site.example"]).await;
    stage.sites.put("/", &[], "<!doctype html><title>page</title>");
    let browser = stage.browser().await;
    browser.goto(SITE).await.unwrap();
    let call =
        async |fields: Value| browser.eval(&format!("({CALL})('{EDGE}/w/w/token', {fields})")).await.unwrap();
    let url = format!("{}/w/w/session", EDGE.replace("https", "wss"));
    let socket =
        async |protocols: Value| browser.eval(&format!("({SOCKET})('{url}', {protocols})")).await.unwrap();

    let first = call(json!({})).await;
    assert_eq!((&first["status"], &first["after"]), (&json!(200), &Value::Null));
    let first = socket(json!([])).await;
    assert_eq!((&first["events"], &first["data"]), (&json!(["open"]), &json!("hello")));

    // A simple call, and one that a preflight has to ask for.
    for fields in [json!({}), json!({ "x-one": "1" })] {
        let refused = call(fields).await;
        assert_eq!((&refused["status"], &refused["code"]), (&json!(429), &json!("limit_opens")), "{refused}");
        let seconds: u32 = refused["after"].as_str().unwrap().parse().unwrap();
        assert!((1..=60).contains(&seconds), "{refused}");
    }
    for (offered, named) in [(json!([]), ""), (json!(["chat", "superchat"]), "chat")] {
        let refused = socket(offered).await;
        let expected = json!({
            "events": ["open"], "code": 1013, "reason": "limit_opens", "wasClean": true, "protocol": named,
        });
        assert_eq!(refused, expected);
    }
    assert_eq!(upstream.heads().len(), 2, "nothing else has reached the upstream");
}
