//! Gate of the admin listener: while another process takes over, calls wait in front of it, and afterwards they are
//! passed on to that process. So no call is lost, whichever process has accepted its connection.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{self, HeaderValue};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::Admin;
use super::problem::Problem;

/// Time for running calls to end before the gate is closed all the same. A call with a slow body that comes to its end
/// later is told to try again.
const CALLS_END: Duration = Duration::from_millis(300);

/// Process that has taken over.
#[async_trait]
pub trait Successor: Send + Sync {
    /// A new connection to its admin API.
    ///
    /// # Errors
    ///
    /// The process can't be reached.
    async fn connect(&self) -> io::Result<UnixStream>;
}

/// Gate in front of the calls.
pub struct Gate {
    passage: watch::Sender<Passage>,
    calls: TaskTracker,
}

/// What becomes of a call.
#[derive(Clone)]
enum Passage {
    Open,
    Closed,
    PassedOn(Arc<dyn Successor>),
    Refused,
}

impl Default for Gate {
    fn default() -> Self {
        Self { passage: watch::Sender::new(Passage::Open), calls: TaskTracker::new() }
    }
}

impl Gate {
    /// Lets calls wait from now on, and waits for those that run.
    pub async fn close(&self) {
        self.passage.send_replace(Passage::Closed);
        self.calls_ended(CALLS_END).await;
    }

    /// Lets calls wait from now on. Only before calls are served: it waits for none.
    pub fn hold(&self) {
        self.passage.send_replace(Passage::Closed);
    }

    /// Lets calls through again.
    pub fn open(&self) {
        self.passage.send_replace(Passage::Open);
    }

    /// Passes calls on to another process, those that wait, too.
    pub fn pass_on(&self, to: Arc<dyn Successor>) {
        self.passage.send_replace(Passage::PassedOn(to));
    }

    /// Refuses calls, because they have to be made to another process.
    pub fn refuse(&self) {
        self.passage.send_replace(Passage::Refused);
    }

    /// Waits until running calls have ended, at most for this time.
    pub async fn calls_ended(&self, within: Duration) {
        self.calls.close();
        // An error means that they take too long.
        let _ = timeout(within, self.calls.wait()).await;
        self.calls.reopen();
    }

    /// Resolves once another process answers calls.
    pub(super) async fn passed_on(&self) {
        let passed_on = |passage: &Passage| matches!(passage, Passage::PassedOn(_) | Passage::Refused);
        // The gate is never dropped before those that wait here.
        let _ = self.passage.subscribe().wait_for(passed_on).await;
    }

    /// Waits until the gate is not closed.
    async fn passage(&self) -> Passage {
        let mut passage = self.passage.subscribe();
        let open = passage.wait_for(|passage| !matches!(passage, Passage::Closed)).await;
        open.map_or(Passage::Open, |passage| passage.clone())
    }
}

/// Middleware that leads calls through the gate. Probes and scrapes of a process that has not been relieved pass always.
pub(super) async fn pass(State(admin): State<Arc<Admin>>, request: Request, next: Next) -> Response {
    let is_probe = matches!(request.uri().path(), "/livez" | "/readyz" | "/metrics");
    loop {
        // Counted first: whoever closes the gate waits for this one, or it sees the gate closed.
        let running = admin.gate.calls.token();
        let passage = admin.gate.passage.borrow().clone();
        match passage {
            Passage::Closed if !is_probe => {
                drop(running);
                admin.gate.passage().await;
            }
            Passage::Open | Passage::Closed => return next.run(request).await,
            Passage::PassedOn(to) => {
                drop(running);
                let answer = passed_on(&*to, request).await;
                return answer.unwrap_or_else(|error| {
                    unreachable(&format!("the process that has taken over can't be reached: {error}"))
                });
            }
            Passage::Refused => {
                drop(running);
                return unreachable("another process has taken over; connect again");
            }
        }
    }
}

/// The answer of the other process. The caller is told to use another connection for its next call, which the other
/// process then accepts.
async fn passed_on(to: &dyn Successor, request: Request) -> io::Result<Response> {
    let (mut sender, connection) =
        http1::handshake::<_, Body>(TokioIo::new(to.connect().await?)).await.map_err(io::Error::other)?;
    drop(tokio::spawn(connection));
    let answer = sender.send_request(request).await.map_err(io::Error::other)?;
    let mut answer = answer.map(Body::new);
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    Ok(answer)
}

fn unreachable(detail: &str) -> Response {
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "handed_over", detail);
    let mut answer = problem.with_field(header::RETRY_AFTER, HeaderValue::from_static("1")).into_response();
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}
