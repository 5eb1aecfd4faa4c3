//! The application that listeners serve. Connections over HTTP/1.1 are served here, request by request, for as long
//! as each needs nothing of the proxy library; the first that does takes its connection there. HTTP/2 is the
//! library's from the start.
//!
//! The life of a connection here: a head is read, within the time for it → the request is served by
//! [`EdgeProxy::serve_plain`] → the connection is kept, closed, or handed over with everything that was read and not
//! served.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::{HttpServerApp, ReusedHttpStream, ServerApp};
use pingora::protocols::http::ServerSession;
use pingora::protocols::{ALPN, Stream};
use pingora::server::ShutdownWatch;
use pingora::server::configuration::ServerConf;
use tokio::sync::Notify;

use super::deadline::Deadline;
use super::http1::{Connection, Head};
use super::proxy::{Asker, EdgeProxy, Served};

mod library;

pub(super) use library::{cut_when, head_is_read};

use library::{IDLE, Library, REQUESTS_PER_CONNECTION};

/// The application that listeners serve.
pub struct EdgeService {
    proxy: Arc<EdgeProxy>,
    library: Arc<Library>,
    header_timeout: Duration,
    closing: Closing,
}

/// Says that no more requests are wanted on the connections that are open.
#[derive(Default)]
struct Closing {
    begun: AtomicBool,
    told: Notify,
}

impl Closing {
    fn begin(&self) {
        self.begun.store(true, Ordering::Release);
        self.told.notify_waiters();
    }

    fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// Resolves once it has begun.
    async fn awaited(&self) {
        // It hears what is told from here on; what was told before shows in the flag.
        let told = self.told.notified();
        if !self.has_begun() {
            told.await;
        }
    }
}

/// How serving a connection here ends.
enum End {
    /// With the connection.
    Close,
    /// The next request is for the library, which may serve so many.
    HandOver(u32),
}

impl EdgeService {
    /// Serves with this proxy.
    pub fn new(conf: &Arc<ServerConf>, proxy: EdgeProxy, header_timeout: Duration) -> Self {
        let proxy = Arc::new(proxy);
        let library = Arc::new(Library::new(conf, Arc::clone(&proxy), header_timeout));
        Self { proxy, library, header_timeout, closing: Closing::default() }
    }

    async fn serve(&self, connection: &mut Connection, shutdown: &ShutdownWatch) -> End {
        let stream = connection.stream();
        let peer = stream.get_socket_digest().and_then(|digest| Some(digest.peer_addr()?.as_inet()?.ip()));
        let asker = Asker { peer, tls: stream.get_ssl_digest().is_some() };
        let mut deadline = Deadline::default();
        let mut closing = pin!(self.closing.awaited());
        for left in (0..REQUESTS_PER_CONNECTION).rev() {
            let is_first = left + 1 == REQUESTS_PER_CONNECTION;
            let bound = if is_first { self.header_timeout } else { IDLE + self.header_timeout };
            let head = tokio::select! {
                biased;
                head = deadline.within(bound, connection.read_head()) => head.unwrap_or(Head::None),
                () = &mut closing => Head::None,
            };
            let length = match head {
                Head::Whole(length) => length,
                Head::Other => return End::HandOver(left + 1),
                Head::None => return End::Close,
            };
            let keep = left > 0 && !self.closing.has_begun() && !*shutdown.borrow();
            let head = connection.begin(length, keep);
            if self.proxy.serve_plain(connection, &head, asker, &mut deadline).await == Served::NotHere {
                connection.put_back(&head);
                return End::HandOver(left + 1);
            }
            if !connection.is_kept() {
                return End::Close;
            }
        }
        End::Close
    }

    /// Lets the library serve the connection to its end.
    async fn hand_over(&self, connection: Connection, left: u32, shutdown: &ShutdownWatch) {
        let (stream, unread) = connection.into_parts();
        let mut session = ServerSession::new_http1(stream);
        session.set_keepalive((!*shutdown.borrow()).then_some(IDLE.as_secs()));
        session.set_keepalive_reuses_remaining(Some(left));
        if !unread.is_empty() {
            session.set_pipelined_prefix(unread);
        }
        let mut kept = self.library.process_new_http(session, shutdown).await;
        while let Some((stream, settings)) = kept.map(ReusedHttpStream::consume) {
            let mut session = ServerSession::new_http1(stream);
            if let Some(settings) = settings {
                settings.apply_to_session(&mut session);
            }
            kept = self.library.process_new_http(session, shutdown).await;
        }
    }
}

#[async_trait]
impl ServerApp for EdgeService {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        if matches!(stream.selected_alpn_proto(), Some(ALPN::H2)) {
            return self.library.process_new(stream, shutdown).await;
        }
        let mut connection = Connection::new(stream);
        match self.serve(&mut connection, shutdown).await {
            End::Close => connection.close().await,
            // In a box, so that connections which stay here don't carry the room for it.
            End::HandOver(left) => Box::pin(self.hand_over(connection, left, shutdown)).await,
        }
        None
    }

    async fn cleanup(&self) {
        self.closing.begin();
        self.library.http_cleanup().await;
    }
}
