//! What widgets limit: how many sessions are open, and how many are opened, in all, by a site and from an address.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::edge::{Edge, EdgeSpec, usual_routes};
use crate::support::eventually;
use crate::support::raw::{Answer, Connection, request};
use crate::support::websocket::{Socket, exchange, next, open};

mod http;
mod live;
mod restart;
mod sessions;
mod upgrade;
mod websocket;

/// Two pages that may embed the widget.
const A: &str = "https://a.example";
const B: &str = "https://b.example";
/// One that may not.
const STRANGER: &str = "https://stranger.example";
/// The dashboard of whoever runs the widgets.
const SYSTEM: &str = "https://dashboard.example";

const SESSION: &str = "/w/w/session";
/// A call that opens something.
const TOKEN: &str = "/w/w/token";

/// The widget with these limits.
pub fn widget(limits: &Value) -> Value {
    json!({ "id": "w", "allowed_domains": ["a.example", "b.example"], "limits": limits })
}

/// The usual routes, and one whose requests are opens.
pub fn routes() -> String {
    usual_routes("app")
        + "[[routes]]\npath = \"/w/{widget}/token\"\nclass = \"session\"\nupstream = \"app\"\nopens = true\n"
}

/// How to start an edge whose rules are saved by the API, before an upstream.
pub fn spec(upstream: SocketAddr, widgets: &Value) -> EdgeSpec {
    let mut spec = EdgeSpec { source: "store", ..EdgeSpec::on(upstream, widgets) };
    spec.more += &format!("requests = \"all\"\n[policy]\nsystem_origins = [\"{SYSTEM}\"]\n");
    spec.routes = Some(routes());
    spec
}

/// An edge with this widget, limited like that.
async fn edge_with(upstream: SocketAddr, limits: &Value) -> Edge {
    Edge::start(spec(upstream, &json!([widget(limits)]))).await
}

/// Saves other limits.
async fn save(edge: &Edge, limits: &Value) {
    let (status, told) = edge.put(&widget(limits)).await;
    assert_eq!(status, 200, "{told}");
}

async fn ask(edge: &Edge, method: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
    Connection::open(edge.http).await.ask(request(method, edge.http, path, fields)).await
}

/// The status of a call for a token from this page.
async fn token(edge: &Edge, page: &str) -> u16 {
    ask(edge, "POST", TOKEN, &[("Origin", page), ("Content-Length", "0")]).await.status
}

/// A WebSocket of this page; `None` where it is one too many.
async fn session(edge: &Edge, page: &str) -> Option<Socket> {
    let (mut socket, _) = open(edge.http, SESSION, page).await.unwrap();
    if next(&mut socket).await.is_close() {
        return None;
    }
    exchange(&mut socket, "there").await;
    Some(socket)
}

/// Waits until there is room for a session of this page, and takes it.
async fn room(edge: &Edge, page: &str) -> Socket {
    let mut found = None;
    eventually("there is room", async || {
        found = session(edge, page).await;
        found.is_some()
    })
    .await;
    found.unwrap()
}

/// A connection from this address of the machine's own.
async fn from(address: [u8; 4], edge: &Edge) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((address, 0).into()).unwrap();
    socket.connect(edge.http).await.unwrap()
}

/// The number of verdicts of class `session` with this outcome.
async fn decided(edge: &Edge, verdict: &str, reason: &str) -> f64 {
    let labels = format!("class=\"session\",reason=\"{reason}\",verdict=\"{verdict}\"");
    edge.metric(&format!("embedgate_decisions_total{{{labels}}}")).await
}
