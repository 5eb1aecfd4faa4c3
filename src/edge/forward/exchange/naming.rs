//! Naming of sessions that leave the edge: the answer to a session's request names them, and passes once they are remembered.

use std::future::pending;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use http::header::{HeaderName, HeaderValue};
use http::{Method, StatusCode};

use super::ForwardRequest;
use super::head::Outgoing;
use crate::edge::http::message::ResponseHead;
use crate::edge::session::registry::SessionGuard;
use crate::edge::setup::LiveSetup;
use crate::notifications::remembered::{NamedSessions, NamingRequest, RememberedSessions};
use embedgate_policy::headers::{ENDED_SESSION, NAMED_SESSION};

/// Session whose answer may name others that have left the edge, and where those are remembered.
#[derive(Clone, Copy, Debug)]
pub struct Naming<'a> {
    /// The session.
    pub session: &'a SessionGuard,
    /// Where they are remembered.
    pub remembered: &'a Arc<RememberedSessions>,
    /// The networks of trusted proxies are in it.
    pub setup: &'a LiveSetup,
}

/// Resolves once the sessions that an answer names are remembered.
type Remembering<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

impl<'a> ForwardRequest<'a> {
    /// The remembering of what an answer names, if it names anything. Only an answer that has opened something counts: a
    /// successful one, or a WebSocket's 101.
    pub(super) fn named(&self, head: &ResponseHead) -> Option<Remembering<'a>> {
        let naming = self.naming?;
        let has_opened = head.status.is_success() && self.outgoing.request.method != Method::HEAD
            || head.status == StatusCode::SWITCHING_PROTOCOLS;
        let is_naming = |name: &HeaderName| [&NAMED_SESSION, &ENDED_SESSION].contains(&name);
        if !has_opened || !head.fields.iter().any(|(name, _)| is_naming(name)) {
            return None;
        }
        let lines = |name| head.fields.get_all(name).map(HeaderValue::as_bytes);
        let named = NamedSessions::read(lines(&NAMED_SESSION), lines(&ENDED_SESSION));
        let (outgoing, upstream) = (&self.outgoing, self.upstream.name());
        let address = outgoing.client.address(outgoing.request, &naming.setup.borrow().trusted_proxies);
        Some(Box::pin(async move { naming.remember((upstream, address), named).await }))
    }
}

impl ForwardRequest<'_> {
    /// Has a session be counted as long as its answer, which is a stream though nothing of the request has said so.
    pub(super) fn streams_unasked(&self) {
        if let Some(Naming { session, setup, .. }) = self.naming {
            let Outgoing { client, request, .. } = self.outgoing;
            session.streams(client.address(request, &setup.borrow().trusted_proxies));
        }
    }
}

impl Naming<'_> {
    async fn remember(self, (upstream, address): (&str, Option<IpAddr>), named: NamedSessions) {
        let Self { session, remembered, .. } = self;
        // Without facts, the session has ended.
        if let Some(facts) = session.facts() {
            let request = NamingRequest { widget: session.widget(), facts, address, upstream };
            remembered.learn(request, named).await;
        }
        if session.revocation().revoked_at().is_some() {
            // Whoever watches the session cuts the request off, and nothing of the answer passes.
            pending::<()>().await;
        }
    }
}
