//! Several edges on real NATS servers: what one saves is in force on all, and nothing that breaks between them brings
//! old rules back.

mod activity;
mod alone;
mod away;
mod boot;
mod certificates;
mod cluster;
mod cut;
mod decided;
mod decisions;
mod demo;
mod digests;
mod faults;
mod hand;
mod joined;
mod limits;
mod names;
mod page;
mod peers;
mod races;
mod saves;
mod self_check;
mod stale;
mod upgrade;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::edge::{Edge, EdgeSpec, write_tokens};
use crate::support::nats::NatsServer;
use crate::support::nats::bucket::Bucket;
use crate::support::raw::{Connection, request};
use crate::support::relay::Relay;
use crate::support::{LONG, in_time};

const BUCKET: &str = "shared-rules";

/// A page that a test's widgets let in, until it says otherwise.
const SITE: &str = "https://site.example";

/// Time in which an edge notices that nothing arrives any more.
const NOTICED: Duration = Duration::from_secs(30);

/// What edges of a fleet have in common.
struct Shared {
    folder: TempDir,
}

impl Shared {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_tokens(&folder.path().join("ticket.keys"), &STANDARD.encode([7; 32]));
        Self { folder }
    }

    fn ticket_keys(&self) -> PathBuf {
        self.folder.path().join("ticket.keys")
    }

    /// An edge of this name on these servers, with more tables and keys of its own.
    fn spec(&self, name: &str, servers: &[String], more: &str) -> EdgeSpec {
        self.spec_with(name, servers, "", more)
    }

    /// The same with more keys of `[rules.nats]`.
    fn spec_with(&self, name: &str, servers: &[String], keys: &str, more: &str) -> EdgeSpec {
        let tickets = self.ticket_keys();
        let more = format!(
            "[rules]\nsource = \"nats\"\n[rules.nats]\nservers = {servers:?}\nbucket = \"{BUCKET}\"\nedge = \"{name}\"\n\
             {keys}\n[tickets]\nkey_file = {tickets:?}\n{more}\n"
        );
        let rules = json!({ "widgets": [] }).to_string();
        EdgeSpec { more, rules, in_memory: true, ..EdgeSpec::default() }
    }
}

/// A server, and what edges on it have in common. They reach it through one relay.
struct Fleet {
    nats: NatsServer,
    relay: Relay,
    shared: Shared,
}

impl Fleet {
    async fn new() -> Self {
        let nats = NatsServer::start().await;
        let relay = Relay::start(nats.addr);
        Self { nats, relay, shared: Shared::new() }
    }

    /// A server with edges on it.
    async fn new_edges<const N: usize>() -> (Self, [Edge; N]) {
        let fleet = Self::new().await;
        let edges = fleet.edges().await;
        (fleet, edges)
    }

    fn spec(&self, name: &str) -> EdgeSpec {
        self.shared.spec(name, &[self.relay.url()], "")
    }

    /// An edge of this name, ready.
    async fn edge(&self, name: &str) -> Edge {
        Edge::start(self.spec(name)).await
    }

    /// Edges `edge-1` and so on, ready and alike.
    async fn edges<const N: usize>(&self) -> [Edge; N] {
        let specs = (1..=N).map(|n| self.spec(&format!("edge-{n}")));
        let edges = <[Edge; N]>::try_from(join_all(specs.map(Edge::start)).await);
        let Ok(edges) = edges else { panic!("not {N} edges") };
        alike(&edges).await;
        edges
    }

    async fn bucket(&self) -> Bucket {
        self.nats.bucket(BUCKET).await
    }

    /// Puts streams as they were at [`Fleet::copy`] in the place of those that are there.
    async fn put_back(&mut self, copy: &TempDir) {
        self.nats.stop().await;
        std::fs::remove_dir_all(self.nats.store()).unwrap();
        copy_folder(copy.path(), self.nats.store());
        self.nats.run().await;
    }

    /// Copies the streams, for which the server stops for a moment.
    async fn copy(&mut self) -> TempDir {
        self.nats.stop().await;
        let copy = tempfile::tempdir().unwrap();
        copy_folder(self.nats.store(), copy.path());
        self.nats.run().await;
        copy
    }
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    let copied = Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status().unwrap();
    assert!(copied.success());
}

/// A widget that lets these pages in.
fn widget(id: &str, domains: &[&str]) -> Value {
    json!({ "id": id, "access": "enforce", "allowed_domains": domains })
}

/// A call of the control plane: its status and answer.
async fn call(edge: &Edge, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
    let request = edge.api(method, path).timeout(Duration::from_secs(70));
    let request = match body {
        Some(body) => request.json(body),
        None => request,
    };
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap())
}

/// Saves a document; `query` begins with `?`, or is empty.
async fn save(edge: &Edge, document: &Value, query: &str) -> (u16, Value) {
    let path = format!("/v1/widgets/{}{query}", document["id"].as_str().unwrap());
    call(edge, Method::PUT, &path, Some(document)).await
}

/// Saves a document, and waits until every edge enforces it.
async fn save_everywhere(edge: &Edge, document: &Value) -> Value {
    let (status, answer) = save(edge, document, "?wait=fleet&timeout=20s").await;
    assert!(matches!(status, 200 | 201), "{status} {answer}");
    assert_eq!(answer.get("behind"), None, "{answer}");
    assert!(answer["sequence"].as_u64() > Some(0), "{answer}");
    answer
}

/// Saves a document while this edge can't hear of it, and nobody else is behind.
async fn save_behind(edge: &Edge, document: &Value, name: &str) {
    let until = Instant::now() + NOTICED;
    loop {
        let (status, answer) = save(edge, document, "?wait=fleet&timeout=700ms").await;
        let behind = answer["behind"].as_array().cloned().unwrap_or_default();
        assert!(status == 202 && behind.contains(&json!(name)), "{status} {answer}");
        // On a busy machine others may be late, too.
        if behind.len() == 1 {
            return;
        }
        assert!(Instant::now() < until, "others are behind, too: {answer}");
    }
}

/// The value of `rules_source_connected`.
async fn is_connected(edge: &Edge) -> bool {
    edge.metric("embedgate_rules_source_connected").await == 1.0
}

async fn batch(edge: &Edge, lines: &[Value], query: &str) -> (u16, Value) {
    let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let request = edge.api(Method::POST, &format!("/v1/batch{query}"));
    let answer = request.header("content-type", "application/x-ndjson").body(lines).send().await.unwrap();
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap())
}

async fn get(edge: &Edge, path: &str) -> (u16, Value) {
    call(edge, Method::GET, path, None).await
}

/// The status of a request for a widget's script from a page of this origin.
async fn verdict(edge: &Edge, widget: &str, origin: &str) -> u16 {
    let path = format!("/w/{widget}/loader.js");
    let asked = request("GET", edge.http, &path, &[("Origin", origin)]);
    Connection::open(edge.http).await.ask(asked).await.status
}

async fn assert_verdict(edges: &[Edge], widget: &str, origin: &str, status: u16) {
    for (n, edge) in edges.iter().enumerate() {
        assert_eq!(verdict(edge, widget, origin).await, status, "{widget} from {origin} at edge {}", n + 1);
    }
}

/// The fleet, as an edge sees it.
async fn fleet(edge: &Edge) -> Value {
    get(edge, "/v1/fleet").await.1
}

/// The state of an edge in what [`fleet`] has told; `Null` where it isn't named.
fn state<'f>(fleet: &'f Value, name: &str) -> &'f Value {
    let edges = fleet["edges"].as_array().unwrap_or_else(|| panic!("{fleet}"));
    edges.iter().find(|edge| edge["name"] == name).map_or(&Value::Null, |edge| &edge["state"])
}

/// Waits until these edges, and no others, have all the same rules, and say so.
async fn alike(edges: &[Edge]) {
    let until = Instant::now() + LONG;
    for edge in edges {
        loop {
            let seen = get(edge, "/v1/fleet?timeout=200ms").await.1;
            if are_alike(&seen, edges.len()) {
                break;
            }
            assert!(Instant::now() < until, "edges are not alike: {seen}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The code of the fault that an edge tells; empty where there is none.
async fn fault(edge: &Edge) -> String {
    let status = get(edge, "/v1/status").await.1;
    status["fleet"]["fault"]["code"].as_str().unwrap_or_default().to_owned()
}

fn are_alike(seen: &Value, count: usize) -> bool {
    let edges = seen["edges"].as_array().unwrap_or_else(|| panic!("{seen}"));
    let is_as_first = |edge: &Value| {
        let same = |key: &str| edge[key].is_string() && edge[key] == edges[0][key];
        edge["state"] == "current" && same("digest") && same("ticket_keys")
    };
    edges.len() == count && seen["fault"].is_null() && edges.iter().all(is_as_first)
}

/// Waits until an edge says that it is connected, or that it isn't.
async fn connected(edge: &Edge, wanted: bool) {
    in_time(&format!("connected: {wanted}"), NOTICED, async || {
        let status = get(edge, "/v1/status").await.1;
        is_connected(edge).await == wanted && status["fleet"]["connected"] == wanted
    })
    .await;
}

/// What `/readyz` says: the status, and the text.
async fn readiness(edge: &Edge) -> (u16, String) {
    let answer = edge.admin("/readyz").await;
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// Runs the command line in an edge's folder.
async fn command(edge: &Edge, arguments: &[&str]) -> Output {
    let mut command = Edge::command(edge.folder());
    command.args(arguments);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// Ends an edge's process as a power failure does.
async fn kill(edge: &mut Edge) {
    edge.signal("KILL");
    assert_eq!(edge.exit_code().await, None);
}
