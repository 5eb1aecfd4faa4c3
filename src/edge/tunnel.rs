//! WebSockets: the edge opens its own connection to the upstream, passes the handshake on both ways, then takes
//! both connections out of the proxy library's hands and copies between them.
//!
//! The library's own way can't be used. It loses a tunnel whose upstream answers before the library has looked
//! for a request body (its issue 946), and it has no way to end a live one (its issue 571). Here a session that
//! the rules call back gets a Close frame between two frames: `frames` follows where they end, `relay` copies
//! and ends, `limits` says for how long.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use pingora::connectors::ConnectorOptions;
use pingora::connectors::http::v1::Connector;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::prelude::HttpPeer;
use pingora::protocols::Stream;
use pingora::protocols::http::v1::client::HttpSession as ClientSession;
use pingora::proxy::Session;
use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::ALPN;
use pingora::{Error, ErrorType, Result};

use super::forward;
use super::service::cut_when;
use super::sessions::SessionGuard;
use super::upstream::{MOST_ATTEMPTS, NO_SERVER, Upstream};
use super::visit::Visit;
use crate::telemetry::metrics::Metrics;

mod frames;
mod handshake;
mod limits;
mod relay;
mod takeover;

pub use limits::Limits;

use frames::Close;
use limits::Overdue;
use relay::{End, Relay};

/// What opening tunnels takes.
pub struct Tunnels {
    connector: Connector,
    limits: Limits,
    metrics: Arc<Metrics>,
}

/// What became of a handshake.
#[derive(Debug)]
pub enum Opened {
    /// The tunnel is open, and runs on its own.
    Tunnel,
    /// The upstream declined. Its answer is sent, as that of any other request.
    Declined,
    /// The rules denied the session before it was open; nothing is sent yet.
    Revoked,
}

/// One allowed handshake.
pub struct Handshake<'a> {
    /// The request as the upstream is to get it, but for what belongs to the connection.
    pub request: RequestHeader,
    /// The subprotocol to name where the upstream chooses none.
    pub subprotocol: Option<HeaderValue>,
    /// Where it goes.
    pub upstream: &'a Upstream,
    /// What its answer needs.
    pub visit: &'a Visit,
    /// Whether the browser's scheme is https.
    pub https: bool,
}

impl Tunnels {
    /// Prepares for tunnels that stay open for as long as `limits` say.
    pub fn new(conf: &ServerConf, limits: Limits, metrics: Arc<Metrics>) -> Self {
        Self { connector: Connector::new(Some(ConnectorOptions::from_server_conf(conf))), limits, metrics }
    }

    /// How long they may be without a byte either way; `None` is without end.
    pub fn idle_limit(&self) -> Option<Duration> {
        self.limits.idle
    }

    /// Opens a tunnel for an allowed session. The guard goes with the tunnel, and comes back where there is none.
    ///
    /// # Errors
    ///
    /// The upstream failed, or the browser is gone.
    pub async fn open(
        &self,
        session: &mut Session,
        mut handshake: Handshake<'_>,
        guard: &mut Option<SessionGuard>,
    ) -> Result<Opened> {
        handshake::to_upstream(&mut handshake.request)?;
        let asking = self.ask(handshake.upstream, handshake.request);
        let (upstream, response) = match guard {
            None => return Ok(Opened::Revoked),
            Some(guard) => tokio::select! {
                biased;
                _ = guard.revocation().revoked() => return Ok(Opened::Revoked),
                answer = asking => answer.map_err(|error| error.into_up())?,
            },
        };
        let mut response = response;
        forward::change(&mut response, |parts| forward::to_browser(parts, handshake.visit, handshake.https))?;
        if response.status != StatusCode::SWITCHING_PROTOCOLS {
            if let Some(guard) = guard {
                cut_when(guard.revocation());
            }
            return decline(session, upstream, response).await.map(|()| Opened::Declined);
        }
        handshake::accepted(&mut response, handshake.subprotocol)?;
        session.write_response_header(Box::new(response), false).await.map_err(|error| error.into_down())?;
        let taken = takeover::take_browser(session).await;
        let (Some((browser, said)), Some(guard)) = (taken, guard.take()) else {
            return Err(Error::explain(ErrorType::InternalError, "a handshake without a connection to take"));
        };
        let (upstream, answered) = takeover::take_upstream(upstream);
        let relay = Relay::new(browser, upstream, (said, answered));
        tokio::spawn(run(relay, self.limits, guard, Arc::clone(&self.metrics)));
        Ok(Opened::Tunnel)
    }

    /// Sends the handshake to a server of the upstream and reads its answer. Servers that can't be reached are
    /// passed over.
    async fn ask(
        &self,
        upstream: &Upstream,
        request: RequestHeader,
    ) -> Result<(ClientSession, ResponseHeader)> {
        let mut attempts = 0;
        let (mut session, peer) = loop {
            attempts += 1;
            let server = upstream.next_server().ok_or_else(|| Error::new(NO_SERVER))?;
            let mut peer = server.peer().clone();
            // There are no WebSockets over HTTP/2 here (RFC 8441), whatever else the server speaks.
            peer.options.alpn = ALPN::H1;
            match self.connector.get_http_session(&peer).await {
                Ok((session, _)) => break (session, peer),
                Err(error) if attempts == MOST_ATTEMPTS => return Err(error),
                Err(error) => tracing::debug!(upstream = upstream.name(), %error, "server passed over"),
            }
        };
        session.read_timeout = peer.options.read_timeout;
        session.write_timeout = peer.options.write_timeout;
        session.write_request_header(Box::new(request)).await?;
        let response = read_answer(&mut session, &peer).await?;
        Ok((session, response))
    }
}

impl std::fmt::Debug for Tunnels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tunnels").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Reads the head that is the answer; interim ones (RFC 9110 §15.2) are passed over, as browsers do.
async fn read_answer(session: &mut ClientSession, peer: &HttpPeer) -> Result<ResponseHeader> {
    const MOST_INTERIM: usize = 16;
    for _ in 0..MOST_INTERIM {
        session.read_response().await?;
        let Some(response) = session.resp_header() else { break };
        if response.status == StatusCode::SWITCHING_PROTOCOLS {
            // Whatever else the upstream would speak from here on, browsers don't.
            if session.was_upgraded() && handshake::is_accepted(response) {
                return Ok(response.clone());
            }
            return Err(Error::explain(ErrorType::InvalidHTTPHeader, "a 101 that is not to websocket"));
        }
        if !response.status.is_informational() {
            return Ok(response.clone());
        }
    }
    Err(Error::explain(ErrorType::InvalidHTTPHeader, format!("{peer} sends interim answers only")))
}

/// Passes on an answer that is no 101.
async fn decline(
    session: &mut Session,
    mut upstream: ClientSession,
    mut response: ResponseHeader,
) -> Result<()> {
    handshake::declined(&mut response)?;
    let done = upstream.is_body_done();
    session.write_response_header(Box::new(response), done).await.map_err(|error| error.into_down())?;
    while let Some(part) = next_part(&mut upstream).await? {
        session.write_response_body(Some(part), false).await.map_err(|error| error.into_down())?;
    }
    session.write_response_body(None, true).await.map_err(|error| error.into_down())
}

async fn next_part(upstream: &mut ClientSession) -> Result<Option<Bytes>> {
    if upstream.is_body_done() {
        return Ok(None);
    }
    upstream.read_body_bytes().await.map_err(|error| error.into_up())
}

/// The life of one tunnel, from after its handshakes to its end.
async fn run(mut relay: Relay<Stream, Stream>, limits: Limits, guard: SessionGuard, metrics: Arc<Metrics>) {
    let revocation = Arc::clone(guard.revocation());
    let close = match relay.run(limits, revocation.revoked()).await {
        End::Over => None,
        End::Overdue(Overdue::Idle) => Some(Close::IDLE),
        End::Overdue(Overdue::Lifetime) => Some(Close::EXPIRED),
        End::Revoked => Some(Close::REVOKED),
    };
    let mut told = false;
    if let Some(close) = close {
        told = relay.close(close).await;
        tracing::debug!(code = close.code, reason = close.reason, told, "tunnel closed");
    }
    if let Some(at) = revocation.revoked_at() {
        metrics.session_revocation_duration.observe(at.elapsed().as_secs_f64());
    }
    drop(guard);
    if told {
        relay.answered().await;
    }
    relay.finish().await;
}
