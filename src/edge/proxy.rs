//! The proxy's callbacks, each a thin call into the rooms that know: refuse → route → judge → answer or forward.

use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use http::{StatusCode, Version, header};
use ipnet::IpNet;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::prelude::HttpPeer;
use pingora::proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use pingora::{BError, Error, ErrorSource, Result};

use super::cache::{AssetCache, Caching};
use super::client::Client;
use super::decision_id::DecisionId;
use super::direct::Direct;
use super::failure;
use super::forward;
use super::redirect::HttpsRedirect;
use super::reply::{Recipient, Reply};
use super::route::{RouteTable, Target};
use super::service::{cut_when, head_is_read};
use super::sessions::{SessionGuard, Sessions};
use super::tickets::{Tickets, presented};
use super::tunnel::{Opened, Tunnels};
use super::upstream::{MOST_ATTEMPTS, NO_SERVER, Upstream};
use super::visit::Visit;
use crate::policy::decision::{Class, EdgePolicy};
use crate::rules::live::LiveRules;
use crate::telemetry::decision_log::DecisionLog;
use crate::telemetry::metrics::Metrics;

mod answer;
mod onward;
mod plain;
mod tickets;

pub use answer::Asker;
pub use plain::Served;

/// What the proxy reads, all of it shared.
#[derive(Debug)]
pub struct EdgeProxy {
    /// The rules in force.
    pub rules: LiveRules,
    /// What holds for all widgets.
    pub policy: Arc<ArcSwap<EdgePolicy>>,
    /// Which path goes where.
    pub routes: RouteTable,
    /// Proxies that are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Where plain HTTP is sent to, if it is.
    pub redirect: Option<HttpsRedirect>,
    /// Tickets for iframe sessions.
    pub tickets: Tickets,
    /// Assets in memory.
    pub cache: AssetCache,
    /// Who is in.
    pub sessions: Arc<Sessions>,
    /// WebSockets.
    pub tunnels: Tunnels,
    /// Requests that need nothing special.
    pub direct: Direct,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// The decision log.
    pub decisions: Arc<DecisionLog>,
}

/// One request on its way through the callbacks.
#[derive(Debug)]
pub struct Context {
    started: Instant,
    client: Option<Client>,
    class: Option<Class>,
    upstream: Option<Arc<Upstream>>,
    visit: Option<Visit>,
    caching: Caching,
    attempts: usize,
    session: Option<SessionGuard>,
    websocket: bool,
    /// The status that the browser is told, once it is known.
    status: Option<u16>,
    counted: bool,
}

impl Drop for Context {
    /// A session that is cut is dropped where it stands, and never comes to [`Callbacks::logging`].
    fn drop(&mut self) {
        if let (Some(session), Some(status), false) = (&self.session, self.status, self.counted)
            && session.revocation().revoked_at().is_some()
        {
            session.metrics().answered(self.class, status, self.started.elapsed());
        }
    }
}

impl Default for Context {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            client: None,
            class: None,
            upstream: None,
            visit: None,
            caching: Caching::Outside,
            attempts: 0,
            session: None,
            websocket: false,
            status: None,
            counted: false,
        }
    }
}

/// The proxy as the library calls it.
#[derive(Clone, Debug)]
pub struct Callbacks(pub Arc<EdgeProxy>);

impl Deref for Callbacks {
    type Target = EdgeProxy;

    fn deref(&self) -> &EdgeProxy {
        &self.0
    }
}

#[async_trait]
impl ProxyHttp for Callbacks {
    type CTX = Context;

    fn new_ctx(&self) -> Context {
        Context::default()
    }

    async fn early_request_filter(&self, session: &mut Session, context: &mut Context) -> Result<()> {
        head_is_read();
        context.started = Instant::now();
        if session.is_process_shutting_down() {
            session.set_keepalive(None);
        }
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, context: &mut Context) -> Result<bool> {
        loop {
            if let Some(reply) = self.answer(session, context) {
                return reply.send(session).await.map(|()| true);
            }
            if !context.websocket {
                presented::strip(session.req_header_mut())?;
                if let Some(session) = &context.session {
                    cut_when(session.revocation());
                }
                if let Some((visit, upstream, https)) = context.asset() {
                    context.caching = self.cache.serve(session, (visit, upstream.name(), https)).await?;
                }
                let answered = matches!(context.caching, Caching::Answered);
                return Ok(answered || self.forward_directly(session, context).await?);
            }
            // In a box, so that requests without a tunnel don't carry the room for one.
            match Box::pin(self.open_tunnel(session, context)).await? {
                Opened::Tunnel | Opened::Declined => return Ok(true),
                // To be judged again, and denied as anybody else is now.
                Opened::Revoked => context.session = None,
            }
        }
    }

    async fn upstream_peer(&self, _session: &mut Session, context: &mut Context) -> Result<Box<HttpPeer>> {
        context.attempts += 1;
        let server = context.upstream.as_ref().and_then(|upstream| upstream.next_server());
        server.map(|server| Box::new(server.peer().clone())).ok_or_else(|| Error::new_up(NO_SERVER))
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        context: &mut Context,
        mut error: BError,
    ) -> BError {
        // Nothing has been sent yet, so any method may be tried again.
        error.set_retry(context.attempts < MOST_ATTEMPTS);
        error
    }

    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        upstream: &mut RequestHeader,
        context: &mut Context,
    ) -> Result<()> {
        match &context.client {
            Some(client) => forward::to_upstream(upstream, context.visit.as_ref(), client),
            None => Ok(()),
        }
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        context: &mut Context,
    ) -> Result<()> {
        let mut caching = std::mem::take(&mut context.caching);
        if let Some((visit, upstream, https)) = context.asset() {
            caching.head(session, response, (visit, upstream.name(), https)).await?;
        }
        context.caching = caching;
        Ok(())
    }

    fn upstream_response_body_filter(
        &self,
        _session: &mut Session,
        piece: &mut Option<Bytes>,
        end: bool,
        context: &mut Context,
    ) -> Result<Option<Duration>> {
        context.caching.piece(piece, end);
        Ok(None)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        context: &mut Context,
    ) -> Result<()> {
        let https = context.client.is_some_and(|client| client.https);
        if session.req_header().version < Version::HTTP_11 {
            // It could not read chunks; the end of the connection ends the body (RFC 9112 §6.1).
            response.remove_header(&header::TRANSFER_ENCODING);
        }
        context.status = Some(response.status.as_u16());
        match &context.visit {
            Some(visit) => forward::change(response, |parts| forward::to_browser(parts, visit, https)),
            None => Ok(()),
        }
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        context: &mut Context,
    ) -> FailToProxy {
        let status = failure::status(error);
        self.record_failure(error, context);
        if let Some(status) = status
            && session.response_written().is_none_or(|response| response.status.is_informational())
            && !(*error.esource() == ErrorSource::Upstream
                && context.caching.stand_in(session, context.visit.as_ref()).await)
            && let Err(error) = self.failed(session.req_header(), context, status).send(session).await
        {
            tracing::debug!(%error, "the answer to a failed request could not be sent");
        }
        FailToProxy { error_code: status.map_or(0, |status| status.as_u16()), can_reuse_downstream: false }
    }

    async fn logging(&self, session: &mut Session, _error: Option<&Error>, context: &mut Context) {
        let written = session.response_written().map(|response| response.status.as_u16());
        // A tunnel's 101 went over the connection that it took along. Otherwise nothing was answered where the
        // client went away first.
        self.count(context, written.or(context.status.filter(|status| *status == 101)));
    }

    /// Errors are counted and logged in [`Self::fail_to_proxy`]; the library's own line holds path and query.
    fn suppress_error_log(&self, _session: &Session, _context: &Context, _error: &Error) -> bool {
        true
    }

    /// The same for a server that is passed over.
    fn suppress_proxy_warn_log(
        &self,
        _session: &Session,
        context: &Context,
        error: &Error,
        _what: ProxyWarnLogContext,
    ) -> bool {
        let upstream = context.upstream.as_ref().map_or("none", |upstream| upstream.name());
        tracing::debug!(upstream, cause = ?error.root_cause(), "server passed over");
        true
    }

    /// Marks the connection as used, for the service's deadline.
    fn persist_connection_context(
        &self,
        _session: &Session,
        _context: &Context,
    ) -> Option<Box<dyn std::any::Any + Send + Sync>> {
        Some(Box::new(()))
    }
}

impl Context {
    /// What the cache has to know of an allowed request for an asset.
    fn asset(&self) -> Option<(&Visit, &Upstream, bool)> {
        let is_asset = self.class == Some(Class::Asset);
        let (visit, upstream) = (self.visit.as_ref()?, self.upstream.as_ref()?);
        is_asset.then_some((visit, upstream, self.client.is_some_and(|client| client.https)))
    }
}

impl EdgeProxy {
    /// The answer to a request that failed on its way.
    fn failed(&self, request: &RequestHeader, context: &Context, status: StatusCode) -> Reply {
        let visit = context.visit.as_ref();
        let id = visit.map_or_else(DecisionId::new, |visit| visit.decision_id);
        let own = visit.map_or(self.routes.own(&Target::None), |visit| &visit.route.own);
        let https = context.client.is_some_and(|client| client.https);
        Reply::failed(Recipient { request, own, https }, status, &id, visit.and_then(Visit::cors))
    }

    /// Counts an answered request.
    fn count(&self, context: &mut Context, status: Option<u16>) {
        context.counted = true;
        if let Some(status) = status {
            self.metrics.answered(context.class, status, context.started.elapsed());
        }
    }

    fn record_failure(&self, error: &Error, context: &Context) {
        let upstream = context.upstream.as_ref().map_or("none", |upstream| upstream.name());
        if *error.esource() == ErrorSource::Upstream {
            self.metrics.upstream_failed(upstream, failure::kind(error));
            tracing::warn!(upstream, kind = failure::kind(error), cause = ?error.root_cause(), "upstream failed");
        } else {
            tracing::debug!(upstream, kind = error.etype().as_str(), "request ended early");
        }
    }
}
