//! Connections over HTTP/2 to one server, each shared by as many requests as the server allows.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt;
use h2::client::{Builder, SendRequest};
use pingora::{Error, ErrorType, Result};

use crate::edge::connection::stream::Stream;
use crate::edge::limits::MAX_ANSWER_HEAD_BYTES;

/// How much of all answers together a server may send before any of it is taken, in bytes. For one answer it is the
/// protocol's own 64 KiB.
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// Time without a request after which a connection is ended, where the configuration names none.
const IDLE: Duration = Duration::from_secs(60);

/// The connections of one server.
#[derive(Debug)]
pub struct Shared {
    idle: Duration,
    connections: Mutex<Vec<Known>>,
}

#[derive(Debug)]
struct Known {
    id: u64,
    requests: SendRequest<Bytes>,
    used: Instant,
    health: Arc<AtomicBool>,
}

/// One request's place on a connection, for as long as the request lasts.
#[derive(Clone, Debug)]
pub struct Place(Arc<AtomicBool>);

impl Place {
    /// The server says nothing on this connection any more: no other request is to take it.
    pub fn retire(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl Known {
    /// Whether another request can be sent: the server may be silent, or have as many under way as it allows.
    fn has_room(&self) -> bool {
        // One is this entry's own.
        Arc::strong_count(&self.health) <= self.requests.current_max_send_streams()
    }
}

impl Shared {
    /// Connections that end once they carried no request for so long.
    pub fn new(idle: Option<Duration>) -> Self {
        Self { idle: idle.unwrap_or(IDLE), connections: Mutex::default() }
    }

    /// A connection with room for another request.
    pub fn take(&self) -> Option<(SendRequest<Bytes>, Place)> {
        let mut connections = self.lock();
        connections.retain_mut(|known| {
            let is_open = poll_fn(|context| known.requests.poll_ready(context)).now_or_never();
            known.health.load(Ordering::Relaxed) && !matches!(is_open, Some(Err(_)))
        });
        let known = connections.iter_mut().find(|known| known.has_room())?;
        known.used = Instant::now();
        Some((known.requests.clone(), Place(Arc::clone(&known.health))))
    }

    /// Greets the server on a new connection, over which requests can be sent from here on.
    ///
    /// # Errors
    /// The server does not speak HTTP/2 after all.
    pub async fn add(self: &Arc<Self>, stream: Stream) -> Result<(SendRequest<Bytes>, Place)> {
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
        let place = Place(Arc::clone(&health));
        self.lock().push(Known { id, requests: requests.clone(), used: Instant::now(), health });
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            let mut connection = pin!(connection);
            while tokio::time::timeout(shared.idle, &mut connection).await.is_err() {
                // It ends by itself once no request holds on to it.
                shared.lock().retain(|known| known.id != id || known.used.elapsed() < shared.idle);
            }
            shared.lock().retain(|known| known.id != id);
        });
        Ok((requests, place))
    }

    /// No holder leaves half-made data behind, so a lock that saw a panic is as good as before.
    fn lock(&self) -> MutexGuard<'_, Vec<Known>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
