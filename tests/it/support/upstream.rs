//! An upstream that tells what it got.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::ports;
use super::raw::Connection;

/// A running upstream; it ends when this is dropped.
pub struct Upstream {
    /// Where it listens.
    pub addr: SocketAddr,
    requests: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

#[derive(Clone)]
struct Shared {
    name: &'static str,
    fields: Arc<Vec<(HeaderName, HeaderValue)>>,
    requests: Arc<AtomicUsize>,
}

impl Upstream {
    /// An upstream that answers every request with 200 and what it got, as JSON: `{"name", "method", "target",
    /// "fields": [[name, value], …], "body"}`.
    pub async fn start(name: &'static str) -> Self {
        Self::with_fields(name, &[]).await
    }

    /// The same, with these response fields. `x-test-status` is the status instead.
    pub async fn with_fields(name: &'static str, fields: &[(&'static str, &'static str)]) -> Self {
        let fields = fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        let requests = Arc::new(AtomicUsize::new(0));
        let shared = Shared { name, fields: Arc::new(fields), requests: Arc::clone(&requests) };
        let (addr, listener) = loop {
            let addr = ports::free();
            // Somebody else on this machine may have been faster.
            if let Ok(listener) = TcpListener::bind(addr).await {
                break (addr, listener);
            }
        };
        let router = Router::new().fallback(tell).with_state(shared);
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { addr, requests, task }
    }

    /// How many requests it got.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn tell(State(shared): State<Shared>, request: Request) -> Response {
    shared.requests.fetch_add(1, Ordering::SeqCst);
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or(Bytes::new());
    let fields: Vec<Value> = parts
        .headers
        .iter()
        .map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]))
        .collect();
    let told = json!({
        "name": shared.name,
        "method": parts.method.as_str(),
        "target": parts.uri.to_string(),
        "fields": fields,
        "body": String::from_utf8_lossy(&body),
    });
    let mut answer = told.to_string().into_response();
    for (name, value) in shared.fields.iter() {
        if name == "x-test-status" {
            *answer.status_mut() = StatusCode::from_bytes(value.as_bytes()).unwrap();
        } else {
            answer.headers_mut().append(name.clone(), value.clone());
        }
    }
    answer
}

/// An upstream that has one document, at every path; it ends when this is dropped.
pub struct Document {
    /// Where it listens.
    pub addr: SocketAddr,
    task: JoinHandle<()>,
}

impl Document {
    /// Starts it.
    pub async fn serve(html: &'static str) -> Self {
        let addr = ports::free();
        let listener = TcpListener::bind(addr).await.unwrap();
        let router = Router::new().fallback(async move || Html(html));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { addr, task }
    }
}

impl Drop for Document {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One field that the upstream got; `None` where it got none.
pub fn got<'v>(told: &'v Value, name: &str) -> Option<&'v str> {
    let fields = told["fields"].as_array().unwrap();
    fields.iter().find(|field| field[0] == name).and_then(|field| field[1].as_str())
}

/// An upstream that does what a script says with each of its connections; it ends when this is dropped.
pub struct Scripted {
    /// Where it listens.
    pub addr: SocketAddr,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Scripted {
    /// Starts it. The script gets each connection, and how many there were before.
    pub async fn start<F: Future<Output = ()> + Send + 'static>(
        script: impl Fn(Connection<TcpStream>, usize) -> F + Send + 'static,
    ) -> Self {
        Self::at(ports::free(), script).await
    }

    /// The same, at a given address.
    pub async fn at<F: Future<Output = ()> + Send + 'static>(
        addr: SocketAddr,
        script: impl Fn(Connection<TcpStream>, usize) -> F + Send + 'static,
    ) -> Self {
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let listener = TcpListener::bind(addr).await.unwrap();
        let task = tokio::spawn(async move {
            // Connections end with their upstream.
            let mut scripts = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let before = count.fetch_add(1, Ordering::SeqCst);
                scripts.spawn(script(Connection::over(stream), before));
            }
        });
        Self { addr, connections, task }
    }

    /// Answers every request with these bytes.
    pub async fn answering(answer: &'static str) -> Self {
        Self::start(move |mut connection, _| async move {
            while connection.request().await.is_some() {
                connection.send(answer).await;
            }
        })
        .await
    }

    /// On each connection, answers one request with these bytes and breaks off at the second one. With the count of the
    /// requests that broke off.
    pub async fn breaking(answer: &'static str) -> (Self, Arc<AtomicUsize>) {
        let broken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&broken);
        let upstream = Self::start(move |mut connection, _| {
            let count = Arc::clone(&count);
            async move {
                connection.request().await;
                connection.send(answer).await;
                if connection.request().await.is_some() {
                    count.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        (upstream.await, broken)
    }

    /// How many connections it got.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}
