//! Requests that the proxy library serves. It only bounds each read, so that a client which drips bytes would hold a
//! connection for ever: here a request's head as a whole is bounded. And the sessions that the rules call back are
//! cut: dropping what serves a request is the one way to end a response that is under way. Over HTTP/1 that closes
//! the connection, over HTTP/2 it resets the stream.
//!
//! On a connection that is used again, the time between two requests counts too: the bound is then the idle time
//! and the head's time together.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{H2Options, default_h2_options};
use pingora::proxy::{HttpProxy, http_proxy};
use pingora::server::ShutdownWatch;
use pingora::server::configuration::ServerConf;

use crate::edge::proxy::{Callbacks, EdgeProxy};
use crate::edge::sessions::Revocation;
use crate::telemetry::metrics::Metrics;

/// How long a kept-alive connection may idle between two requests.
pub(super) const IDLE: Duration = Duration::from_secs(60);

/// After this many requests a connection is closed, so that its memory is given back now and then.
pub(super) const REQUESTS_PER_CONNECTION: u32 = 10_000;

tokio::task_local! {
    static REQUEST: Arc<UnderWay>;
}

/// What the proxy tells the service of the request it works on.
#[derive(Default)]
struct UnderWay {
    head_read: AtomicBool,
    revocation: OnceLock<Arc<Revocation>>,
}

impl UnderWay {
    /// Goes on with the request, unless it is called back.
    fn poll<T>(
        &self,
        mut request: Pin<&mut impl Future<Output = T>>,
        context: &mut Context<'_>,
    ) -> Poll<Progress<T>> {
        if let Poll::Ready(done) = request.as_mut().poll(context) {
            return Poll::Ready(Progress::Done(done));
        }
        match self.revocation.get() {
            Some(revocation) => revocation.poll(context).map(Progress::Cut),
            None => Poll::Pending,
        }
    }
}

enum Progress<T> {
    Done(T),
    /// Called back, by rules in force since then.
    Cut(Instant),
}

/// Says, from within the proxy, that the head of the current request is complete.
pub(in crate::edge) fn head_is_read() {
    // Outside of the service, in a unit test, nobody waits for it.
    let _ = REQUEST.try_with(|request| request.head_read.store(true, Ordering::Relaxed));
}

/// Says, from within the proxy, that the current request is a session: it is cut when it is called back.
pub(in crate::edge) fn cut_when(revocation: &Arc<Revocation>) {
    let _ = REQUEST.try_with(|request| request.revocation.set(Arc::clone(revocation)));
}

/// The library's proxy, bounded.
pub struct Library {
    proxy: Arc<HttpProxy<Callbacks>>,
    options: HttpServerOptions,
    header_timeout: Duration,
    metrics: Arc<Metrics>,
}

impl Library {
    /// Wraps the proxy.
    pub fn new(conf: &Arc<ServerConf>, proxy: Arc<EdgeProxy>, header_timeout: Duration) -> Self {
        let mut options = HttpServerOptions::default();
        options.keepalive_request_limit = Some(REQUESTS_PER_CONNECTION);
        options.h2_idle_timeout = Some(IDLE);
        let metrics = Arc::clone(&proxy.metrics);
        Self { proxy: Arc::new(http_proxy(conf, Callbacks(proxy))), options, header_timeout, metrics }
    }

    fn cut(&self, at: Instant) -> Option<ReusedHttpStream> {
        self.metrics.session_revocation_duration.observe(at.elapsed().as_secs_f64());
        None
    }
}

#[async_trait]
impl HttpServerApp for Library {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        if !session.is_http2() {
            // Requests sent without waiting are answered one after the other (RFC 9112 §9.3.2), not dropped.
            session.set_pipelining_enabled(true);
        }
        // The proxy leaves a mark on connections that it hands back.
        let used_before = session.take_connection_user_context().is_some();
        let bound = if used_before { IDLE + self.header_timeout } else { self.header_timeout };
        let bound = (!session.is_http2()).then_some(bound);
        let under_way = Arc::new(UnderWay::default());
        let request = self.proxy.process_new_http(session, shutdown);
        let request = REQUEST.scope(Arc::clone(&under_way), request);
        tokio::pin!(request);
        let mut progress = poll_fn(|context| under_way.poll(request.as_mut(), context));
        let progress = match bound {
            None => progress.await,
            Some(bound) => tokio::select! {
                biased;
                progress = &mut progress => progress,
                () = pingora::time::sleep(bound) => {
                    if !under_way.head_read.load(Ordering::Relaxed) {
                        return None;
                    }
                    progress.await
                }
            },
        };
        match progress {
            Progress::Done(done) => done,
            Progress::Cut(at) => self.cut(at),
        }
    }

    fn h2_options(&self) -> Option<H2Options> {
        Some(default_h2_options())
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }

    async fn http_cleanup(&self) {
        self.proxy.http_cleanup().await;
    }
}
