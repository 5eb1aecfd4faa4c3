//! Service of connections, each in the protocol that its client speaks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::http1;
use super::http2;
use super::tls::handshakes::Handshakes;
use crate::edge::pipeline::{PeerInfo, Pipeline};
use crate::edge::stream::Stream;

/// Maximum idle time of a connection between two requests.
pub(super) const IDLE: Duration = Duration::from_secs(60);

/// Number of requests after which a connection is closed, so that its memory is freed from time to time.
pub(super) const REQUESTS_PER_CONNECTION: u32 = 10_000;

/// Service of connections.
pub struct EdgeService {
    pipeline: Arc<Pipeline>,
    header_timeout: Duration,
    closing: Closing,
}

/// Signal that open connections should accept no more requests.
#[derive(Default)]
pub(super) struct Closing {
    begun: AtomicBool,
    told: Notify,
}

impl Closing {
    /// Gives the signal.
    pub(super) fn begin(&self) {
        self.begun.store(true, Ordering::Release);
        self.told.notify_waiters();
    }

    /// Whether the signal was given.
    pub(super) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// Resolves once the signal is given.
    pub(super) async fn awaited(&self) {
        // This receives later signals; an earlier one shows in the flag.
        let told = self.told.notified();
        if !self.has_begun() {
            told.await;
        }
    }
}

impl EdgeService {
    /// A service with this pipeline.
    pub fn new(pipeline: Pipeline, header_timeout: Duration) -> Self {
        Self { pipeline: Arc::new(pipeline), header_timeout, closing: Closing::default() }
    }

    /// Tells open connections to accept no more requests.
    pub(super) fn close(&self) {
        self.closing.begin();
    }

    /// Serves an accepted connection to its end.
    pub(super) async fn serve(
        self: Arc<Self>,
        stream: TcpStream,
        client: SocketAddr,
        tls: Option<Handshakes>,
    ) {
        let peer = PeerInfo { address: Some(client.ip()), tls: tls.is_some() };
        let stream = match tls {
            None => Stream::Tcp(stream),
            // Boxed, so that its memory is freed after the handshake.
            Some(tls) => match Box::pin(tls.shake_hands(stream, client, self.header_timeout)).await {
                Some(stream) => stream,
                None => return,
            },
        };
        if stream.speaks_http2() {
            let served = http2::serve(stream, &self.pipeline, peer, &self.closing, self.header_timeout);
            return Box::pin(served).await;
        }
        http1::serve(stream, &self.pipeline, peer, &self.closing, self.header_timeout).await;
    }
}
