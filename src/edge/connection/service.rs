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
use super::tls::handshakes::Handshakes;
use crate::edge::pipeline::{PeerInfo, Pipeline};
use crate::edge::stream::Stream;
use crate::telemetry::metrics::HandshakeOutcome;

/// Maximum idle time of a connection between two requests.
pub(super) const IDLE: Duration = Duration::from_secs(60);

/// Number of requests after which a connection is closed, so that its memory is freed from time to time.
pub(super) const REQUESTS_PER_CONNECTION: u32 = 10_000;

/// Service of connections.
pub struct EdgeService {
    pipeline: Arc<Pipeline>,
    header_timeout: Duration,
    closing: Arc<Closing>,
    grace_period: Duration,
    connections: TaskTracker,
}

impl EdgeService {
    /// A service with this pipeline. `grace_period`: the time that open connections have to end once the server stops.
    pub fn new(pipeline: Pipeline, header_timeout: Duration, grace_period: Duration) -> Self {
        let closing = Arc::new(Closing::within(grace_period));
        Self {
            pipeline: Arc::new(pipeline),
            header_timeout,
            closing,
            grace_period,
            connections: TaskTracker::new(),
        }
    }

    /// Tells open connections to accept no more requests, and waits until the last one has ended.
    pub(super) async fn close(&self) {
        self.closing.begin();
        self.connections.close();
        tracing::info!(
            connections = self.connections.len(),
            "the listeners are closed, and open connections are told"
        );
        match timeout(self.grace_period, self.connections.wait()).await {
            Ok(()) => tracing::info!("the last connection has ended"),
            Err(_) => tracing::warn!("the grace period is over"),
        }
    }

    /// Number of open connections.
    pub fn open_connections(&self) -> usize {
        self.connections.len()
    }

    /// Serves an accepted connection, in a task of its own.
    pub(super) fn accepted(self: &Arc<Self>, stream: TcpStream, client: SocketAddr, tls: Option<Handshakes>) {
        self.connections.spawn(Arc::clone(self).serve(stream, client, tls));
    }

    /// Serves an accepted connection to its end.
    async fn serve(self: Arc<Self>, stream: TcpStream, client: SocketAddr, tls: Option<Handshakes>) {
        let peer = PeerInfo { address: Some(client.ip()), tls: tls.is_some() };
        let stream = match tls {
            None => Stream::Tcp(stream),
            // Boxed, so that its memory is freed after the handshake.
            Some(tls) => {
                // A client that has not even said hello does not hold a stop up.
                let shaken = tokio::select! {
                    shaken = Box::pin(tls.shake_hands(stream, self.header_timeout)) => shaken,
                    () = self.closing.awaited() => return,
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
        if stream.speaks_http2() {
            let served = http2::serve(stream, &self.pipeline, peer, &self.closing, self.header_timeout);
            return Box::pin(served).await;
        }
        http1::serve(stream, &self.pipeline, peer, &self.closing, self.header_timeout).await;
    }
}
