//! Service of connections, each in the protocol that its client speaks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::closing::Closing;
use super::http1;
use super::http2;
use crate::config::BoundsSettings;
use crate::edge::pipeline::{PeerInfo, Pipeline};
use crate::edge::stream::Stream;
use crate::telemetry::metrics::HandshakeOutcome;

/// Maximum idle time of a connection between two requests.
pub(super) const IDLE: Duration = Duration::from_secs(60);

/// Number of requests after which a connection is closed, so that its memory is freed from time to time.
pub(super) const REQUESTS_PER_CONNECTION: u32 = 10_000;

/// Limits of a connection, by the setup that was in force when it was accepted.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectionLimits {
    /// The time limit for the head of a request.
    pub(super) header_timeout: Duration,
    /// The bounds on what the client may take.
    pub(super) bounds: BoundsSettings,
}

/// Service of connections.
pub struct EdgeService {
    pipeline: Arc<Pipeline>,
    closing: Arc<Closing>,
    connections: TaskTracker,
}

impl EdgeService {
    /// A service with this pipeline.
    pub fn new(pipeline: Pipeline) -> Self {
        Self { pipeline: Arc::new(pipeline), closing: Arc::default(), connections: TaskTracker::new() }
    }

    /// Tells clients to use another connection for their next request. Open sessions and unanswered requests go on.
    pub fn tell(&self) {
        self.closing.tell();
        self.connections.close();
    }

    /// Ends idle connections at once and tunnels within the period, of which the last quarter is for the last ones to
    /// say goodbye, and waits until the last connection has ended. `false`: the period is over.
    pub async fn close(&self, period: Duration) -> bool {
        self.closing.end(period / 4 * 3);
        self.ended(period).await
    }

    /// Ends tunnels at once, because no rules reach them any more.
    pub fn orphan(&self) {
        self.closing.end(Duration::ZERO);
        self.closing.orphan();
    }

    /// Waits until the last connection has ended, at most for this time. `false`: some are open.
    pub async fn ended(&self, within: Duration) -> bool {
        self.connections.close();
        timeout(within, self.connections.wait()).await.is_ok()
    }

    /// Number of open connections.
    pub fn open_connections(&self) -> usize {
        self.connections.len()
    }

    /// Serves an accepted connection, in a task of its own. `tls`: the place of its listener among those with TLS.
    pub(super) fn accepted(self: &Arc<Self>, stream: TcpStream, client: SocketAddr, tls: Option<usize>) {
        self.connections.spawn(Arc::clone(self).serve(stream, client, tls));
    }

    /// Serves an accepted connection to its end.
    async fn serve(self: Arc<Self>, stream: TcpStream, client: SocketAddr, tls: Option<usize>) {
        let peer = PeerInfo { address: Some(client.ip()), tls: tls.is_some() };
        let setup = self.pipeline.setup.load();
        let limits = ConnectionLimits { header_timeout: setup.header_timeout, bounds: setup.bounds };
        let stream = match tls {
            None => Stream::Tcp(stream),
            // Boxed, so that its memory is freed after the handshake.
            Some(place) => {
                // Every TLS listener has its place in every setup.
                let Some(handshakes) = setup.handshakes(place) else { return };
                // A client that has not even said hello does not hold a stop up.
                let shaken = tokio::select! {
                    shaken = Box::pin(handshakes.shake_hands(stream, limits.bounds.tls_handshake_timeout)) => shaken,
                    () = self.closing.ended() => return,
                };
                self.pipeline
                    .metrics
                    .handshakes
                    .count(shaken.as_ref().err().copied().unwrap_or(HandshakeOutcome::Done));
                match shaken {
                    Ok(stream) => stream,
                    Err(_) => return,
                }
            }
        };
        drop(setup);
        if stream.speaks_http2() {
            let served = http2::serve(stream, &self.pipeline, peer, &self.closing, limits);
            return Box::pin(served).await;
        }
        http1::serve(stream, &self.pipeline, peer, &self.closing, limits).await;
    }
}
