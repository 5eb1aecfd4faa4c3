//! The HTTP application around the proxy: it bounds how long a request's head may take as a whole. The proxy
//! library only bounds each read, so that a client which drips bytes would hold a connection for ever.
//!
//! On a connection that is used again, the time between two requests counts too: the bound is then the idle time
//! and the head's time together.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{H2Options, default_h2_options};
use pingora::proxy::{HttpProxy, http_proxy};
use pingora::server::ShutdownWatch;
use pingora::server::configuration::ServerConf;

use super::proxy::EdgeProxy;

/// How long a kept-alive connection may idle between two requests.
const IDLE: Duration = Duration::from_secs(60);

/// After this many requests a connection is closed, so that its memory is given back now and then.
const REQUESTS_PER_CONNECTION: u32 = 10_000;

tokio::task_local! {
    static HEAD_READ: Arc<AtomicBool>;
}

/// Says, from within the proxy, that the head of the current request is complete.
pub(super) fn head_is_read() {
    // Outside of the service, in a unit test, nobody waits for it.
    let _ = HEAD_READ.try_with(|read| read.store(true, Ordering::Relaxed));
}

/// The application that listeners serve.
pub struct EdgeService {
    proxy: Arc<HttpProxy<EdgeProxy>>,
    options: HttpServerOptions,
    header_timeout: Duration,
}

impl EdgeService {
    /// Wraps the proxy.
    pub fn new(conf: &Arc<ServerConf>, proxy: EdgeProxy, header_timeout: Duration) -> Self {
        let mut options = HttpServerOptions::default();
        options.keepalive_request_limit = Some(REQUESTS_PER_CONNECTION);
        options.h2_idle_timeout = Some(IDLE);
        Self { proxy: Arc::new(http_proxy(conf, proxy)), options, header_timeout }
    }
}

#[async_trait]
impl HttpServerApp for EdgeService {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        if session.is_http2() {
            return self.proxy.process_new_http(session, shutdown).await;
        }
        // Requests sent without waiting are answered one after the other (RFC 9112 §9.3.2), not dropped.
        session.set_pipelining_enabled(true);
        // The proxy leaves a mark on connections that it hands back.
        let used_before = session.take_connection_user_context().is_some();
        let bound = if used_before { IDLE + self.header_timeout } else { self.header_timeout };
        let head_read = Arc::new(AtomicBool::new(false));
        let request = self.proxy.process_new_http(session, shutdown);
        let request = HEAD_READ.scope(Arc::clone(&head_read), request);
        tokio::pin!(request);
        tokio::select! {
            biased;
            done = &mut request => return done,
            () = pingora::time::sleep(bound) => {}
        }
        if !head_read.load(Ordering::Relaxed) {
            return None;
        }
        request.await
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
