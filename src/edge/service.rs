//! Application that listeners serve: each connection in the protocol that its client speaks.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::ServerApp;
use pingora::protocols::{ALPN, Stream};
use pingora::server::ShutdownWatch;
use tokio::sync::Notify;

use super::deadline::Deadline;
use super::http1::{Connection, Read};
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
    tls: Option<Handshakes>,
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
        Self { pipeline: Arc::new(pipeline), header_timeout, closing: Closing::default(), tls: None }
    }

    /// The same for a listener with TLS.
    pub fn over_tls(&self, handshakes: Handshakes) -> Self {
        Self {
            pipeline: Arc::clone(&self.pipeline),
            header_timeout: self.header_timeout,
            closing: Closing::default(),
            tls: Some(handshakes),
        }
    }

    /// Serves a connection over HTTP/1.1, request by request, for as long as it is kept.
    async fn serve_http1(&self, connection: &mut Connection, peer: PeerInfo, shutdown: &ShutdownWatch) {
        let mut deadline = Deadline::default();
        let mut closing = pin!(self.closing.awaited());
        for left in (0..REQUESTS_PER_CONNECTION).rev() {
            let is_first = left + 1 == REQUESTS_PER_CONNECTION;
            // Between two requests a client may idle, and then has as long for the next head as for any.
            let bound = if is_first { self.header_timeout } else { IDLE + self.header_timeout };
            let read = tokio::select! {
                biased;
                read = deadline.within(bound, connection.read_head()) => read.unwrap_or(Read::Nothing),
                () = &mut closing => Read::Nothing,
            };
            let length = match read {
                Read::Head(length) => length,
                Read::Nothing => return,
                Read::Malformed => {
                    let refused = connection.malformed();
                    return self.pipeline.refuse(connection, &refused, peer, &mut deadline).await;
                }
            };
            let keep = left > 0 && !self.closing.has_begun() && !*shutdown.borrow();
            match connection.begin(length, keep) {
                Ok(request) => self.pipeline.serve(connection, request, peer, &mut deadline).await,
                Err(refused) => return self.pipeline.refuse(connection, &refused, peer, &mut deadline).await,
            }
            if !connection.is_kept(&mut deadline).await {
                return;
            }
        }
    }
}

#[async_trait]
impl ServerApp for EdgeService {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let stream = match &self.tls {
            // Boxed, so that it takes no memory after it is over.
            Some(tls) => Box::pin(tls.shake_hands(stream, self.header_timeout)).await?,
            None => stream,
        };
        let address = stream.get_socket_digest().and_then(|digest| Some(digest.peer_addr()?.as_inet()?.ip()));
        let peer = PeerInfo { address, tls: stream.get_ssl_digest().is_some() };
        if matches!(stream.selected_alpn_proto(), Some(ALPN::H2)) {
            http2::serve(stream, &self.pipeline, peer, &self.closing, self.header_timeout).await;
            return None;
        }
        let mut connection = Connection::new(stream);
        self.serve_http1(&mut connection, peer, shutdown).await;
        connection.close().await;
        None
    }

    async fn cleanup(&self) {
        self.closing.begin();
    }
}
