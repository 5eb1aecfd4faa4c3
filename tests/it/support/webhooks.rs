//! A receiver of webhooks that tells what it got.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::{eventually, ports};

/// A running receiver; it ends when this is dropped.
pub struct Webhooks {
    /// Where it listens.
    pub addr: SocketAddr,
    got: Arc<Mutex<Vec<Webhook>>>,
    task: JoinHandle<()>,
}

/// A webhook that came.
#[derive(Clone, Debug)]
pub struct Webhook {
    pub fields: HeaderMap,
    pub text: String,
    pub body: Value,
    pub at: Instant,
}

/// How a receiver answers a webhook, with how many came before it.
type Answers = Arc<dyn Fn(&Webhook, usize) -> Response + Send + Sync>;

#[derive(Clone)]
struct Shared {
    got: Arc<Mutex<Vec<Webhook>>>,
    answers: Answers,
}

impl Webhook {
    /// One of its header fields.
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).unwrap_or_else(|| panic!("no {name}: {self:?}")).to_str().unwrap()
    }

    pub fn id(&self) -> &str {
        self.field("webhook-id")
    }

    /// Whether one of its signatures is by this secret (Standard Webhooks).
    pub fn is_signed_by(&self, secret: &str) -> bool {
        let secret = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &secret);
        let signed = format!("{}.{}.{}", self.id(), self.field("webhook-timestamp"), self.text);
        let signature = format!("v1,{}", STANDARD.encode(ring::hmac::sign(&key, signed.as_bytes())));
        self.field("webhook-signature").split(' ').any(|given| given == signature)
    }
}

impl Webhooks {
    /// One that takes everything.
    pub async fn start() -> Self {
        Self::at(ports::free()).await
    }

    /// The same, at a given address.
    pub async fn at(addr: SocketAddr) -> Self {
        Self::answering(addr, |_, _| StatusCode::NO_CONTENT.into_response()).await
    }

    /// One that answers like this.
    pub async fn answering(
        addr: SocketAddr,
        answers: impl Fn(&Webhook, usize) -> Response + Send + Sync + 'static,
    ) -> Self {
        let got = Arc::<Mutex<Vec<Webhook>>>::default();
        let shared = Shared { got: Arc::clone(&got), answers: Arc::new(answers) };
        let listener = TcpListener::bind(addr).await.unwrap();
        let router = Router::new().fallback(receive).with_state(shared);
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { addr, got, task }
    }

    /// The settings that name it.
    pub fn settings(addr: SocketAddr) -> String {
        format!("[notify]\nurl = \"http://{addr}/hook\"\n")
    }

    /// What came so far.
    pub fn got(&self) -> Vec<Webhook> {
        self.got.lock().unwrap().clone()
    }

    /// Waits until so many came.
    pub async fn wait_for(&self, number: usize) -> Vec<Webhook> {
        eventually(&format!("{number} webhooks"), async || self.got().len() >= number).await;
        self.got()
    }

    /// Waits, and sees no other come.
    pub async fn no_more_than(&self, number: usize) {
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(self.got().len(), number, "{:#?}", self.got());
    }
}

impl Drop for Webhooks {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn receive(State(shared): State<Shared>, fields: HeaderMap, body: Bytes) -> Response {
    let text = String::from_utf8(body.to_vec()).unwrap();
    let body = serde_json::from_str(&text).unwrap();
    let webhook = Webhook { fields, text, body, at: Instant::now() };
    let before = {
        let mut got = shared.got.lock().unwrap();
        got.push(webhook.clone());
        got.len() - 1
    };
    (shared.answers)(&webhook, before)
}

/// The secrets of an edge that runs in this folder.
pub fn secrets(folder: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join("data/notify.secret")).unwrap();
    text.lines().filter(|line| line.starts_with("whsec_")).map(str::to_owned).collect()
}
