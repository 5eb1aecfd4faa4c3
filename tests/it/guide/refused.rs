//! The code of the guide on limits: how a widget waits for its turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use super::{EDGE, SITE};
use crate::support::browser::Browser;
use crate::support::edge::{Edge, EdgeSpec, usual_routes};
use crate::support::eventually;
use crate::support::sites::Sites;
use crate::support::tls::EdgeTls;
use crate::support::websocket::SocketUpstream;

const SOON: Duration = Duration::from_secs(10);

/// What the page does with the guide's code. Its longer waits are cut to a tenth.
const USE: &str = r#"
const slow = window.setTimeout.bind(window);
window.setTimeout = (then, time) => slow(then, time > 2000 ? time / 10 : time);
window.told = {};
window.sockets = [];
window.WebSocket = class extends WebSocket {
  constructor(...its) {
    super(...its);
    sockets.push(this);
  }
};
const options = { method: "POST" };
told.first = await connect(`${edge}/session`).then(() => "open", String);
told.token = await start(`${edge}/token`, options).then(({ status }) => status, String);
told.second = await connect(`${edge}/session`).then(() => "open", String);
told.third = await connect(`${edge}/session`).then(() => "open", String);
"#;

#[tokio::test]
async fn what_is_refused_for_a_limit_is_tried_again_in_time() {
    let guide = std::fs::read_to_string("docs/limits.md").unwrap();
    let code = guide.split_once("```js\n").unwrap().1.split_once("```").unwrap().0.to_owned();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let upstream = SocketUpstream::start(move |mut handshake| {
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            if handshake.head.starts_with("POST ") {
                let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
                handshake.stream.write_all(answer.as_bytes()).await.unwrap();
            } else {
                SocketUpstream::echoes(handshake).await;
            }
        }
    })
    .await;
    let tls = EdgeTls::of("widgets.example");
    let limits = json!({ "widget": { "sessions": 1 } });
    let document = json!({ "id": "w", "allowed_domains": ["example.com"], "limits": limits });
    let mut spec = EdgeSpec { source: "store", ..EdgeSpec::on(upstream.addr, &json!([document])) };
    spec.public_origins = Some(format!("[\"{EDGE}\"]"));
    tls.add_to(&mut spec);
    spec.routes = Some(format!(
        "{}[[routes]]\npath = \"/w/{{widget}}/token\"\nclass = \"session\"\nupstream = \"app\"\nopens = true\n",
        usual_routes("app")
    ));
    let edge = Edge::start(spec).await;

    let sites = Sites::start(&tls.authority, &["example.com"]).await;
    let page = format!(
        "<!doctype html><title>site</title><script type=\"module\">
        const edge = \"{EDGE}/w/w\";
        {code}
        {USE}
        </script>"
    );
    sites.put("/waits", &[], page);
    let browser =
        Browser::start(sites.browser(&[("widgets.example:443", tls.addr)], &tls.certificate)).await.unwrap();
    browser.goto(&format!("{SITE}/waits")).await.unwrap();
    browser.wait_until("Boolean(window.told?.first)", SOON).await.unwrap();
    assert_eq!(browser.eval("told.first").await.unwrap(), "open");
    let line = "embedgate_limit_refusals_total{kind=\"sessions\",mode=\"enforce\",part=\"widget\"}";
    eventually("the token is refused", async || edge.metric(line).await >= 1.0).await;
    assert_eq!(asked.load(Ordering::SeqCst), 1, "nothing that was refused reaches the upstream");
    browser.eval("sockets[0].close()").await.unwrap();
    browser
        .wait_until("sockets.length > 2 && sockets[2].readyState === WebSocket.CLOSED", SOON)
        .await
        .unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    browser.eval("sockets[1].close()").await.unwrap();
    browser.wait_until("Boolean(told.third)", SOON).await.unwrap();
    let told: Value = browser.eval("told").await.unwrap();
    assert_eq!(told, json!({ "first": "open", "token": 200, "second": "open", "third": "open" }));
}
