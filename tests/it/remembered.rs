//! Sessions that leave the edge: upstreams name them, and whoever runs the widget is told once the rules deny them.

use serde_json::{Value, json};

use crate::support::edge::{Edge, EdgeSpec};
use crate::support::{eventually, raw};

mod counted;
mod fleet;
mod kept;
mod media;
mod named;
mod revoked;

use media::{MediaServer, Receiver};

const A: &str = "https://a.example";
const B: &str = "https://b.example";

fn widget(id: &str, domains: &Value) -> Value {
    json!({ "id": id, "allowed_domains": domains })
}

/// Two widgets, of which the first lets both origins in. Whoever runs them is told at this receiver.
fn spec(media: &MediaServer, receiver: Option<&Receiver>) -> EdgeSpec {
    let widgets =
        json!([widget("w", &json!(["a.example", "b.example"])), widget("other", &json!(["a.example"]))]);
    let mut spec = EdgeSpec::on(media.addr, &widgets);
    spec.source = "store";
    if let Some(receiver) = receiver {
        spec.more += &format!("[notify]\nurl = \"{}\"\n", receiver.url());
    }
    spec
}

/// Asks for a session on a page, of which the media server's answer says these lines. Returns the answer.
async fn call(edge: &Edge, widget: &str, page: &str, lines: &[&str]) -> raw::Answer {
    let path = format!("/w/{widget}/session/token?{}", lines.join("&"));
    let fields = [("Origin", page), ("Connection", "close"), ("Content-Length", "0")];
    raw::send(edge.http, raw::request("POST", edge.http, &path, &fields).as_bytes()).await
}

/// Has a page open these sessions, and checks that their names stay at the edge.
async fn begin(edge: &Edge, widget: &str, page: &str, ids: &[&str]) {
    let lines: Vec<String> = ids.iter().map(|id| format!("begun={id}")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let answer = call(edge, widget, page, &lines).await;
    assert_eq!(answer.status, 200);
    assert_eq!((answer.field("x-widget-session"), answer.field("x-widget-session-ended")), ("", ""));
}

/// How many sessions the edge remembers.
async fn remembered(edge: &Edge) -> u64 {
    let status: Value = edge.admin("/v1/status").await.json().await.unwrap();
    status["remembered_sessions"].as_u64().unwrap()
}

async fn remembers(edge: &Edge, sessions: u64) {
    eventually("they are read", async || remembered(edge).await == sessions).await;
}

async fn save(edge: &Edge, document: &Value) {
    let (status, answer) = edge.put(document).await;
    assert_eq!(status, 200, "{answer}");
}
