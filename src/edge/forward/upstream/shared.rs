//! Shared connections over HTTP/2 to one server, each with as many requests as the server allows.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use h2::client::{Builder, SendRequest};
use parking_lot::Mutex;
use pingora_core::{Error, ErrorType, Result};
use tokio::time::Instant;

use crate::edge::http::limits::MAX_ANSWER_HEAD_BYTES;
use crate::edge::stream::Stream;

/// Flow-control window of a connection: the bytes of all answers together that may wait. For one answer it is
/// the protocol's default of 64 KiB.
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// Default idle time after which a connection ends.
const IDLE: Duration = Duration::from_secs(60);

/// Shared connections of one server.
#[derive(Debug)]
pub struct SharedConnections {
    idle: Duration,
    connections: Mutex<Vec<SharedConnection>>,
}

#[derive(Debug)]
struct SharedConnection {
    id: u64,
    requests: SendRequest<Bytes>,
    used: Instant,
    health: Arc<AtomicBool>,
}

/// Slot of a request on a connection, for as long as the request lasts.
#[derive(Clone, Debug)]
pub struct StreamSlot(Arc<AtomicBool>);

impl StreamSlot {
    /// Marks the connection as dead, because the server is silent: no other request may use it.
    pub fn retire(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl SharedConnection {
    /// Whether another request can be sent: the connection is not dead, and the server allows more streams.
    fn has_room(&self) -> bool {
        // One reference is this entry's own.
        Arc::strong_count(&self.health) <= self.requests.current_max_send_streams()
    }
}

impl SharedConnections {
    /// Shared connections that end after this idle time.
    pub fn new(idle: Option<Duration>) -> Self {
        Self { idle: idle.unwrap_or(IDLE), connections: Mutex::default() }
    }

    /// A connection with room for another request.
    pub fn take(&self) -> Option<(SendRequest<Bytes>, StreamSlot)> {
        let mut connections = self.connections.lock();
        connections.retain_mut(|known| {
            let is_open = poll_fn(|context| known.requests.poll_ready(context)).now_or_never();
            known.health.load(Ordering::Relaxed) && !matches!(is_open, Some(Err(_)))
        });
        let known = connections.iter_mut().find(|known| known.has_room())?;
        known.used = Instant::now();
        Some((known.requests.clone(), StreamSlot(Arc::clone(&known.health))))
    }

    /// Adds a connection, after the HTTP/2 handshake with the server.
    ///
    /// # Errors
    /// The server does not speak HTTP/2.
    pub async fn add(self: &Arc<Self>, stream: Stream) -> Result<(SendRequest<Bytes>, StreamSlot)> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let mut settings = Builder::new();
        settings
            .enable_push(false)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(u32::try_from(MAX_ANSWER_HEAD_BYTES).unwrap_or(u32::MAX));
        let (requests, connection) = settings.handshake(stream).await.map_err(|error| {
            Error::because(ErrorType::H2Error, "while greeting the server", error).into_up()
        })?;
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let health = Arc::new(AtomicBool::new(true));
        let place = StreamSlot(Arc::clone(&health));
        let known = SharedConnection { id, requests: requests.clone(), used: Instant::now(), health };
        self.connections.lock().push(known);
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            let mut connection = pin!(connection);
            while tokio::time::timeout(shared.idle, &mut connection).await.is_err() {
                // The connection ends by itself once no request uses it.
                let mut connections = shared.connections.lock();
                connections.retain(|known| known.id != id || known.used.elapsed() < shared.idle);
            }
            shared.connections.lock().retain(|known| known.id != id);
        });
        Ok((requests, place))
    }
}
