//! Assets from memory, on real sockets: whose answer it is, what is kept, when it goes, and in which forms it comes.

mod forms;
mod http2;
mod kept;
mod purges;
mod stale;
mod whose;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::edge::{Edge, EdgeSpec, usual_routes};
use crate::support::raw;
use crate::support::raw::{Answer, Connection};
use crate::support::upstream::Scripted;

const LISTED: &str = "https://example.com";
const OTHER: &str = "https://other.example";
const STRANGER: &str = "https://stranger.example";
const ASSET: &str = "/w/w/assets/a.js";

/// An upstream that answers by what it is asked, and remembers the heads of all requests.
struct Origin {
    upstream: Scripted,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Origin {
    /// `answer` gets a request's head and how many requests there were before.
    async fn start(answer: impl Fn(&str, usize) -> String + Send + Sync + 'static) -> Self {
        Self::slow(answer, |_| Duration::ZERO).await
    }

    /// The same; each answer takes its time.
    async fn slow(
        answer: impl Fn(&str, usize) -> String + Send + Sync + 'static,
        takes: impl Fn(&str) -> Duration + Send + Sync + 'static,
    ) -> Self {
        let (answer, takes) = (Arc::new(answer), Arc::new(takes));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let upstream = Scripted::start(move |mut connection, _| {
            let (answer, takes, log) = (Arc::clone(&answer), Arc::clone(&takes), Arc::clone(&log));
            async move {
                while let Some((head, _)) = connection.request().await {
                    let before = {
                        let mut log = log.lock().unwrap();
                        log.push(head.clone());
                        log.len() - 1
                    };
                    tokio::time::sleep(takes(&head)).await;
                    connection.send(answer(&head, before)).await;
                }
            }
        })
        .await;
        Self { upstream, asked }
    }

    /// One that says the same thing and these fields to everybody, with the number of the answer as its body.
    async fn saying(fields: &'static str) -> Self {
        Self::start(move |_, before| ok(fields, &format!("answer {before}"))).await
    }

    fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    fn last(&self) -> String {
        self.asked.lock().unwrap().last().unwrap().to_ascii_lowercase()
    }

    /// An edge before it, with the widgets `w` and `v`, which can be saved.
    async fn edge(&self) -> Edge {
        Edge::start(self.spec()).await
    }

    fn spec(&self) -> EdgeSpec {
        let mut spec = EdgeSpec::on(self.upstream.addr, &json!([widget("w"), widget("v")]));
        spec.source = "store";
        spec
    }
}

fn widget(id: &str) -> Value {
    json!({ "id": id, "allowed_domains": ["example.com", "other.example"] })
}

/// 200 with these fields, each line ended, and this body.
fn ok(fields: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
}

const MINUTE: &str = "Cache-Control: max-age=60\r\n";

/// One request as a listed page.
async fn get(edge: &Edge, path: &str) -> Answer {
    get_with(edge, path, &[]).await
}

async fn get_with(edge: &Edge, path: &str, fields: &[(&str, &str)]) -> Answer {
    ask(edge, "GET", path, fields).await
}

async fn ask(edge: &Edge, method: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
    let mut all = vec![("Origin", LISTED)];
    all.extend_from_slice(fields);
    let mut connection = Connection::open(edge.http).await;
    connection.send(raw::request(method, edge.http, path, &all)).await;
    match method {
        "HEAD" => connection.head().await,
        _ => connection.answer().await,
    }
}

async fn outcomes(edge: &Edge, outcome: &str) -> f64 {
    edge.metric(&format!("embedgate_cache_requests_total{{outcome=\"{outcome}\"}}")).await
}

async fn entries(edge: &Edge) -> f64 {
    edge.metric("embedgate_cache_entries").await
}

/// The usual routes, and one that shared caches may keep.
fn routes_with_shared() -> String {
    let shared = "[[routes]]\npath = \"/w/{widget}/shared/{*rest}\"\nclass = \"asset\"\nupstream = \"app\"\nshared_cache = true\n";
    [&usual_routes("app"), shared].concat()
}
