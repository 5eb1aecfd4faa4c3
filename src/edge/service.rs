//! Application that listeners serve: each connection in the protocol that its client speaks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::connection::stream::Stream;
use super::http1;
use super::http2;
use super::pipeline::{PeerInfo, Pipeline};
use super::tls::handshakes::Handshakes;

/// How long a connection may idle between two requests.
pub(super) const IDLE: Duration = Duration::from_secs(60);

/// After this many requests a connection is closed, so that its memory is given back now and then.
pub(super) const REQUESTS_PER_CONNECTION: u32 = 10_000;

/// The application that listeners serve.
pub struct EdgeService {
    pipeline: Arc<Pipeline>,
    header_timeout: Duration,
    closing: Closing,
}

/// Says that no more requests are wanted on the connections that are open.
#[derive(Default)]
pub(super) struct Closing {
    begun: AtomicBool,
    told: Notify,
}

impl Closing {
    /// It begins.
    pub(super) fn begin(&self) {
        self.begun.store(true, Ordering::Release);
        self.told.notify_waiters();
    }

    /// Whether it has begun.
    pub(super) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// Resolves once it has begun.
    pub(super) async fn awaited(&self) {
        // It hears what is told from here on; what was told before shows in the flag.
        let told = self.told.notified();
        if !self.has_begun() {
            told.await;
        }
    }
}

impl EdgeService {
    /// Serves with this pipeline.
    pub fn new(pipeline: Pipeline, header_timeout: Duration) -> Self {
        Self { pipeline: Arc::new(pipeline), header_timeout, closing: Closing::default() }
    }

    /// Wants no more requests on the connections that are open.
    pub(super) fn close(&self) {
        self.closing.begin();
    }

    /// Serves a connection that was just accepted, to its end.
    pub(super) async fn serve(
        self: Arc<Self>,
        stream: TcpStream,
        client: SocketAddr,
        tls: Option<Handshakes>,
    ) {
        let peer = PeerInfo { address: Some(client.ip()), tls: tls.is_some() };
        let stream = match tls {
            None => Stream::Tcp(stream),
            // Boxed, so that it takes no memory after it is over.
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
