//! Both ends that an edge's sessions leave to: a media server that names them, and the receiver that is told of them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::support::{in_time, ports};

/// A media server behind the edge; it ends when this is dropped.
pub struct MediaServer {
    /// Where it listens.
    pub addr: SocketAddr,
    task: JoinHandle<()>,
}

impl MediaServer {
    /// Answers each request as its query says: `begun=` and `ended=` name sessions, `status=` is the status.
    pub async fn start() -> Self {
        let (addr, listener) = listener().await;
        let router = Router::new().fallback(answer);
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { addr, task }
    }
}

impl Drop for MediaServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(request: Request) -> Response {
    let mut answer = "a token".into_response();
    for (name, value) in
        request.uri().query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='))
    {
        let mut append = |name: &'static str| {
            let value = value.replace("%20", " ");
            answer
                .headers_mut()
                .append(HeaderName::from_static(name), HeaderValue::from_str(&value).unwrap());
        };
        match name {
            "begun" => append("x-widget-session"),
            "ended" => append("x-widget-session-ended"),
            "status" => *answer.status_mut() = StatusCode::from_bytes(value.as_bytes()).unwrap(),
            _ => {}
        }
    }
    answer
}

async fn listener() -> (SocketAddr, TcpListener) {
    loop {
        let addr = ports::free();
        // Somebody else on this machine may have been faster.
        if let Ok(listener) = TcpListener::bind(addr).await {
            return (addr, listener);
        }
    }
}

/// A notification that has arrived.
#[derive(Clone, Debug)]
pub struct Arrived {
    pub at: Instant,
    pub id: String,
    pub body: Value,
}

impl Arrived {
    /// The embedder, the reason, and the sessions.
    pub fn revoked(&self) -> (&str, &str, Vec<&str>) {
        let text = |name: &str| self.body["data"][name].as_str().unwrap();
        let sessions = self.body["data"]["sessions"].as_array().unwrap();
        (text("embedder"), text("reason"), sessions.iter().map(|id| id.as_str().unwrap()).collect())
    }
}

#[derive(Clone, Default)]
struct Inbox {
    arrived: Arc<Mutex<Vec<Arrived>>>,
    /// It answers 503.
    is_away: Arc<Mutex<bool>>,
}

/// Receiver of notifications; it ends when this is dropped.
pub struct Receiver {
    addr: SocketAddr,
    inbox: Inbox,
    task: JoinHandle<()>,
}

impl Receiver {
    pub async fn start() -> Self {
        let (addr, listener) = listener().await;
        let inbox = Inbox::default();
        let router = Router::new().fallback(take).with_state(inbox.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { addr, inbox, task }
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.addr)
    }

    /// Has it refuse everything, or take it again.
    pub fn set_away(&self, is_away: bool) {
        *self.inbox.is_away.lock().unwrap() = is_away;
    }

    /// What was told of revoked sessions so far.
    pub fn revocations(&self) -> Vec<Arrived> {
        let arrived = self.inbox.arrived.lock().unwrap();
        arrived.iter().filter(|arrived| arrived.body["type"] == "session.revoked").cloned().collect()
    }

    /// The ids of all sessions that were told, sorted.
    pub fn sessions(&self) -> Vec<String> {
        let revocations = self.revocations();
        let mut sessions: Vec<String> =
            revocations.iter().flat_map(|arrived| arrived.revoked().2).map(str::to_owned).collect();
        sessions.sort();
        sessions
    }

    /// Waits until exactly these sessions were told, each at least once.
    pub async fn hears(&self, expected: &[&str]) {
        let heard = async || {
            let mut sessions = self.sessions();
            sessions.dedup();
            sessions == expected
        };
        in_time(&format!("{expected:?} are told"), Duration::from_secs(20), heard).await;
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn take(State(inbox): State<Inbox>, headers: HeaderMap, body: Bytes) -> StatusCode {
    if *inbox.is_away.lock().unwrap() {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let id = headers["webhook-id"].to_str().unwrap().to_owned();
    let body = serde_json::from_slice(&body).unwrap();
    inbox.arrived.lock().unwrap().push(Arrived { at: Instant::now(), id, body });
    StatusCode::NO_CONTENT
}
