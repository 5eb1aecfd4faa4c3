//! HTTP/2 under attack: each attack ends its connection or costs little, and honest clients are served meanwhile.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;

use crate::support::edge::{Edge, EdgeSpec};
use crate::support::frames::{Frames, HEADERS, get};
use crate::support::raw::Connection;
use crate::support::tls::EdgeTls;
use crate::support::upstream::Scripted;

mod floods;
mod heads;
mod honest;
mod resets;
mod times;

/// A page that may embed the widget.
const LISTED: (&str, &str) = ("origin", "https://example.com");

const SESSION: &str = "/w/w/session";

/// Requests to this path are answered at once, by an upstream that holds others back.
const QUICK: &str = "/w/w/trust/quick";

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// An edge on this upstream with these keys of `[edge]`, and its TLS listener.
async fn edge_on(upstream: SocketAddr, keys: &str) -> (Edge, EdgeTls) {
    let tls = EdgeTls::of("chat.example");
    let widgets = json!([{ "id": "w", "allowed_domains": ["example.com"] }]);
    let mut spec = EdgeSpec::on(upstream, &widgets);
    spec.public_origins = Some("[\"https://chat.example\"]".to_owned());
    spec.edge = keys.to_owned();
    tls.add_to(&mut spec);
    (Edge::start(spec).await, tls)
}

/// An upstream that answers when it may, and counts.
struct Held {
    upstream: Scripted,
    counts: Arc<Counts>,
}

struct Counts {
    leave: Semaphore,
    requests: AtomicUsize,
    at_once: AtomicUsize,
    most: AtomicUsize,
}

impl Held {
    async fn start() -> Self {
        let counts = Arc::new(Counts {
            leave: Semaphore::new(0),
            requests: AtomicUsize::new(0),
            at_once: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        });
        let shared = Arc::clone(&counts);
        let upstream = Scripted::start(move |mut connection, _| {
            let counts = Arc::clone(&shared);
            async move {
                while let Some((head, _)) = connection.request().await {
                    if !head.contains(QUICK) {
                        counts.requests.fetch_add(1, Ordering::SeqCst);
                        let now = counts.at_once.fetch_add(1, Ordering::SeqCst) + 1;
                        counts.most.fetch_max(now, Ordering::SeqCst);
                        let is_cut = tokio::select! {
                            leave = counts.leave.acquire() => {
                                leave.unwrap().forget();
                                false
                            }
                            _ = connection.is_closed() => true,
                        };
                        counts.at_once.fetch_sub(1, Ordering::SeqCst);
                        if is_cut {
                            return;
                        }
                    }
                    connection.send(OK).await;
                }
            }
        });
        Self { upstream: upstream.await, counts }
    }

    /// Answers so many requests.
    fn answer(&self, requests: usize) {
        self.counts.leave.add_permits(requests);
    }

    fn requests(&self) -> usize {
        self.counts.requests.load(Ordering::SeqCst)
    }

    /// Requests that wait now.
    fn at_once(&self) -> usize {
        self.counts.at_once.load(Ordering::SeqCst)
    }

    /// The most requests that have waited at once.
    fn most(&self) -> usize {
        self.counts.most.load(Ordering::SeqCst)
    }
}

/// An upstream with answers of 8 MiB, which does not mind if nobody reads them.
async fn large() -> Scripted {
    Scripted::start(|mut connection, _| async move {
        while connection.request().await.is_some() {
            let (mut stream, _) = connection.into_inner();
            let body = "a".repeat(8 << 20);
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
            connection = Connection::over(stream);
        }
    })
    .await
}

/// Whether an honest client is served on a connection of its own, at once.
async fn is_served(tls: &EdgeTls) -> bool {
    let mut client = Frames::open(tls).await;
    client.send(get(1, QUICK, &[LISTED])).await;
    let answer = tokio::time::timeout(Duration::from_secs(2), client.await_frame(HEADERS, 1)).await;
    // 200, by its place in the table.
    answer.is_ok_and(|answer| answer.is_some_and(|head| head.payload.first() == Some(&0x88)))
}

async fn ended(edge: &Edge, reason: &str) -> f64 {
    edge.metric(&format!("embedgate_http2_connections_ended_total{{reason=\"{reason}\"}}")).await
}
