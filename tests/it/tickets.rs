//! Tickets on real sockets: who gets one, what one opens, and that none is left lying about.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::support::edge::{Edge, EdgeSpec};
use crate::support::eventually;
use crate::support::raw::{Answer, Connection, request};
use embedgate_policy::origin::Origin;
use embedgate_policy::ticket::{Ticket, TicketKeys};

mod cookie;
mod demo;
mod failed;
mod frames;
mod issued;
mod live;
mod moves;
mod prefetched;
mod presented;
mod refused;
mod rotated;
mod streams;

/// The page that may embed the widget.
const SITE: &str = "https://a.example";
/// One that may not.
const STRANGER: &str = "https://stranger.example";
const SESSION: &str = "/w/w/session";

fn widget(id: &str, domains: &Value) -> Value {
    json!({ "id": id, "access": "enforce", "allowed_domains": domains })
}

/// The widget `w` for these sites, and one beside it of each other access.
fn widgets(domains: &Value) -> Value {
    json!([
        widget("w", domains),
        widget("other", domains),
        { "id": "open", "access": "open" },
        { "id": "monitored", "access": "monitor", "allowed_domains": domains },
    ])
}

fn spec(upstream: std::net::SocketAddr) -> EdgeSpec {
    EdgeSpec::on(upstream, &widgets(&json!(["a.example"])))
}

/// The edge's own origin, which iframes have.
fn own(edge: &Edge) -> String {
    format!("http://localhost:{}", edge.http.port())
}

fn keys(edge: &Edge) -> TicketKeys {
    TicketKeys::parse(&std::fs::read_to_string(edge.folder().join("data/ticket.keys")).unwrap()).unwrap()
}

/// A ticket as the edge would have given it out, with so many seconds left.
fn ticket(edge: &Edge, widget: &str, embedder: &str, left: i64) -> String {
    signed(&keys(edge), widget, embedder, left)
}

fn signed(keys: &TicketKeys, widget: &str, embedder: &str, left: i64) -> String {
    let expires_at = Timestamp::now() + SignedDuration::from_secs(left);
    Ticket::issue(keys, widget, Origin::parse(embedder).unwrap(), expires_at).unwrap()
}

/// Whom a ticket names.
fn opened_by(edge: &Edge, widget: &str, ticket: &str) -> String {
    let ticket = Ticket::verify(&keys(edge), widget, ticket.as_bytes()).unwrap();
    ticket.embedder().unwrap().to_string()
}

async fn ask(edge: &Edge, method: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
    Connection::open(edge.http).await.ask(request(method, edge.http, path, fields)).await
}

/// A call for a ticket.
async fn call(edge: &Edge, widget: &str, fields: &[(&str, &str)]) -> Answer {
    let fields: Vec<_> = [("Content-Length", "0")].iter().chain(fields).copied().collect();
    ask(edge, "POST", &format!("/w/{widget}/embed-ticket"), &fields).await
}

/// The same from an iframe that has a ticket.
async fn renew(edge: &Edge, widget: &str, ticket: &str) -> Answer {
    call(edge, widget, &[("Origin", &own(edge)), ("Authorization", &format!("Embed {ticket}"))]).await
}

/// A session call of an iframe.
async fn session(edge: &Edge, ticket: &str) -> Answer {
    let fields = [("Origin", &*own(edge)), ("Authorization", &format!("Embed {ticket}"))];
    ask(edge, "GET", SESSION, &fields).await
}

fn body(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

/// The ticket of a 200.
fn given(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    body(answer)["ticket"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned()
}

/// What the decision log says of an answer that names its decision.
async fn logged(edge: &Edge, answer: &Answer) -> Value {
    let id = body(answer)["decision_id"].clone();
    let mut found = None;
    eventually("the decision is logged", async || {
        found = edge.decisions().into_iter().find(|line| line["decision_id"] == id);
        found.is_some()
    })
    .await;
    found.unwrap()
}

async fn outcome(edge: &Edge, name: &str) -> f64 {
    edge.metric(&format!("embedgate_tickets_total{{outcome=\"{name}\"}}")).await
}

/// Makes these the rules of the widget `w`, and waits until they are in force.
async fn save(edge: &Edge, domains: &Value) {
    let before = edge.metric("embedgate_rules_generation").await;
    let new = edge.rules().with_extension("new");
    std::fs::write(&new, json!({ "widgets": widgets(domains) }).to_string()).unwrap();
    std::fs::rename(new, edge.rules()).unwrap();
    eventually("the save is in force", async || edge.metric("embedgate_rules_generation").await > before)
        .await;
}
