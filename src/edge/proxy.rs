//! The proxy's callbacks, each a thin call into the rooms that know: refuse → route → judge → answer or forward.

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use http::header;
use http::{StatusCode, Version};
use ipnet::IpNet;
use jiff::Timestamp;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::prelude::HttpPeer;
use pingora::proxy::{FailToProxy, ProxyHttp, Session};
use pingora::{BError, Error, ErrorSource, ErrorType, Result};

use super::client::Client;
use super::decision_id::DecisionId;
use super::failure;
use super::forward;
use super::judge::{Judge, Judged};
use super::redirect::HttpsRedirect;
use super::reply::{Denial, Destination, Reply};
use super::request::{self, Upgrade};
use super::route::{RouteTable, Target};
use super::service::{cut_when, head_is_read};
use super::sessions::{SessionGuard, Sessions};
use super::tunnel::{self, Handshake, Opened, Tunnels};
use super::upstream::{MOST_ATTEMPTS, NO_SERVER, Upstream};
use super::visit::Visit;
use crate::policy::decision::{Class, EdgePolicy};
use crate::policy::headers::cors;
use crate::rules::live::LiveRules;
use crate::rules::sessions::SessionFacts;
use crate::telemetry::decision_log::DecisionLog;
use crate::telemetry::metrics::Metrics;

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
    /// Who is in.
    pub sessions: Arc<Sessions>,
    /// WebSockets.
    pub tunnels: Tunnels,
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
    attempts: usize,
    session: Option<SessionGuard>,
    websocket: bool,
    /// The status that the browser is told, once it is known.
    status: Option<u16>,
    counted: bool,
}

impl Drop for Context {
    /// A session that is cut is dropped where it stands, and never comes to [`EdgeProxy::logging`].
    fn drop(&mut self) {
        if let (Some(session), Some(status), false) = (&self.session, self.status, self.counted)
            && session.revocation().revoked_at().is_some()
        {
            session.metrics().answered(self.class, status, self.started.elapsed());
        }
    }
}

#[async_trait]
impl ProxyHttp for EdgeProxy {
    type CTX = Context;

    fn new_ctx(&self) -> Context {
        Context {
            started: Instant::now(),
            client: None,
            class: None,
            upstream: None,
            visit: None,
            attempts: 0,
            session: None,
            websocket: false,
            status: None,
            counted: false,
        }
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
                if let Some(session) = &context.session {
                    cut_when(session.revocation());
                }
                return Ok(false);
            }
            match self.open_tunnel(session, context).await? {
                Opened::Tunnel | Opened::Declined => return Ok(true),
                // To be judged again, and denied as anybody else is now.
                Opened::Revoked => context.session = None,
            }
        }
    }

    async fn upstream_peer(&self, _session: &mut Session, context: &mut Context) -> Result<Box<HttpPeer>> {
        context.attempts += 1;
        let peer = context.upstream.as_ref().and_then(|upstream| upstream.next_peer());
        peer.map(Box::new).ok_or_else(|| Error::new_up(NO_SERVER))
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
            Some(visit) => forward::to_browser(response, visit, https),
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
        {
            let (id, grant) = match &context.visit {
                Some(visit) => (visit.decision_id, visit.cors()),
                None => (DecisionId::new(), None),
            };
            let https = context.client.is_some_and(|client| client.https);
            let reply = Reply::failed(status, &id, grant).with_transport_security(https);
            if let Err(error) = reply.send(session).await {
                tracing::debug!(%error, "the answer to a failed request could not be sent");
            }
        }
        FailToProxy { error_code: status.map_or(0, |status| status.as_u16()), can_reuse_downstream: false }
    }

    async fn logging(&self, session: &mut Session, _error: Option<&Error>, context: &mut Context) {
        context.counted = true;
        let written = session.response_written().map(|response| response.status.as_u16());
        // A tunnel's 101 went over the connection that it took along. Otherwise nothing was answered where the
        // client went away first.
        let Some(status) = written.or(context.status.filter(|status| *status == 101)) else { return };
        self.metrics.answered(context.class, status, context.started.elapsed());
    }

    /// Errors are counted and logged in [`Self::fail_to_proxy`]; the library's own line holds path and query.
    fn suppress_error_log(&self, _session: &Session, _context: &Context, _error: &Error) -> bool {
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

impl EdgeProxy {
    /// The edge's own answer to a request, or `None` when it goes on to an upstream.
    fn answer(&self, session: &mut Session, context: &mut Context) -> Option<Reply> {
        let head = session.as_downstream().as_http1().map(|http1| http1.get_headers_raw_bytes());
        if let Err(refusal) = request::check(session.req_header(), head.as_deref().unwrap_or_default()) {
            return Some(Reply::refusal(refusal));
        }
        let upgrade = request::upgrade(session.req_header());
        if upgrade == Upgrade::Other {
            session.req_header_mut().remove_header(&header::UPGRADE);
        }
        let request = session.req_header();
        let client = self.client(session);
        context.client = Some(client);
        if let Some(redirect) = self.redirect.as_ref().filter(|_| !client.https) {
            return Some(redirect.reply(request));
        }
        let (route, widget) = match self.routes.find(request::host(request), request.uri.path()) {
            Target::Route { route, widget } => (route, widget),
            Target::DemoPage(_) if upgrade == Upgrade::WebSocket => {
                return Some(Reply::refusal(request::WEBSOCKET_ELSEWHERE));
            }
            Target::DemoPage(upstream) => {
                context.upstream = Some(Arc::clone(upstream));
                return None;
            }
            Target::None => return Some(Reply::not_found().with_transport_security(client.https)),
        };
        context.class = Some(route.class);
        if upgrade == Upgrade::WebSocket && route.class != Class::Session {
            return Some(Reply::refusal(request::WEBSOCKET_ELSEWHERE));
        }
        context.websocket = upgrade == Upgrade::WebSocket;
        if context.websocket && tunnel::has_body(request) {
            return Some(Reply::refusal(request::WEBSOCKET_WITH_BODY));
        }
        let is_preflight = request::is_preflight(request);
        let judged = loop {
            let judge =
                Judge { policy: &self.policy.load(), metrics: &self.metrics, decisions: &self.decisions };
            let judged = judge.judge(&self.rules, route, widget, request, Timestamp::now());
            let Judged::Allowed(allowed) = &judged else { break judged };
            if route.class != Class::Session || is_preflight {
                break judged;
            }
            let facts = SessionFacts::keep(&allowed.facts);
            context.session = facts.and_then(|facts| self.sessions.open(widget, facts));
            if context.session.is_some() {
                break judged;
            }
            // Other rules came into force in between: it is judged by those.
        };
        let reply = match judged {
            Judged::Denied { decision, embedder, id } => {
                let grant = cors(route.class, &decision, &embedder, route.credentials);
                if is_preflight && grant.is_some() {
                    Reply::preflight(request, grant, true)
                } else {
                    let destination = Destination::parse(request::lines(request, SEC_FETCH_DEST));
                    let absent = route.class == Class::Public;
                    let denial = Denial { embedder: &embedder, decision_id: &id, destination, absent };
                    Reply::denial(&denial, grant)
                }
            }
            Judged::Allowed(allowed) if is_preflight => {
                Reply::preflight(request, allowed.visit.cors(), false)
            }
            Judged::Allowed(allowed) => {
                context.upstream = Some(allowed.upstream);
                context.visit = Some(allowed.visit);
                return None;
            }
        };
        Some(reply.with_transport_security(client.https))
    }

    async fn open_tunnel(&self, session: &mut Session, context: &mut Context) -> Result<Opened> {
        let (Some(client), Some(upstream), Some(visit)) =
            (&context.client, &context.upstream, &context.visit)
        else {
            return Err(Error::new_in(ErrorType::InternalError));
        };
        let mut request = session.req_header().clone();
        forward::to_upstream(&mut request, Some(visit), client)?;
        let handshake = Handshake { request, upstream, visit, https: client.https };
        let opened = self.tunnels.open(session, handshake, &mut context.session).await?;
        if matches!(opened, Opened::Tunnel) {
            context.status = Some(StatusCode::SWITCHING_PROTOCOLS.as_u16());
        }
        Ok(opened)
    }

    fn client(&self, session: &Session) -> Client {
        let peer = session.client_addr().and_then(|addr| addr.as_inet()).map(|addr| addr.ip());
        let tls = session.digest().is_some_and(|digest| digest.ssl_digest.is_some());
        Client::read(session.req_header(), peer, tls, &self.trusted_proxies)
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

const SEC_FETCH_DEST: header::HeaderName = header::HeaderName::from_static("sec-fetch-dest");
