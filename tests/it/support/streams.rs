//! An upstream of responses that take their time: an endless stream of events, and polls that wait.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::sse::{Event, Sse};
use axum::routing::get;
use futures_util::Stream;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::ports;

/// A running upstream; it ends when this is dropped.
pub struct StreamUpstream {
    /// Where it listens.
    pub addr: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    events: AtomicUsize,
    answer: Notify,
}

impl StreamUpstream {
    /// `…/events` sends `data: tick` every 10 ms, `…/poll` waits.
    pub async fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let router = Router::new()
            .route("/w/{widget}/session/events", get(events))
            .route("/w/{widget}/session/poll", get(poll))
            .with_state(Arc::clone(&shared));
        let addr = ports::free();
        let listener = TcpListener::bind(addr).await.unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { addr, shared, task }
    }

    /// How many events were sent, over all streams.
    pub fn events(&self) -> usize {
        self.shared.events.load(Ordering::Relaxed)
    }

    /// Answers the polls that wait.
    pub fn answer_polls(&self) {
        self.shared.answer.notify_waiters();
    }
}

impl Drop for StreamUpstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn events(State(shared): State<Arc<Shared>>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    Sse::new(futures_util::stream::unfold(shared, |shared| async move {
        tokio::time::sleep(Duration::from_millis(10)).await;
        shared.events.fetch_add(1, Ordering::Relaxed);
        Some((Ok(Event::default().data("tick")), shared))
    }))
}

async fn poll(State(shared): State<Arc<Shared>>) -> &'static str {
    shared.answer.notified().await;
    "news"
}
