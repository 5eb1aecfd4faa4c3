//! Opening of tunnels: after the upstream has accepted a WebSocket handshake, the client is told, and a
//! tunnel takes over the connection.

use std::sync::Arc;

use bytes::BytesMut;
use http::HeaderValue;
use pingora_core::Result;

use super::registry::SessionGuard;
use super::tunnel::{Tunnel, TunnelLimits, TunnelLine, handshake};
use crate::edge::http::message::ResponseHead;
use crate::edge::patience::Patience;
use crate::edge::pipeline::downstream::Downstream;
use crate::edge::stream::Stream;
use crate::telemetry::metrics::Metrics;

/// WebSocket handshake that the upstream has accepted.
pub struct Handshake<'a> {
    /// The head of the upstream's answer, its connection, and the bytes after the head.
    pub switched: (ResponseHead, Stream, BytesMut),
    /// The subprotocol to name if the upstream chose none.
    pub subprotocol: Option<HeaderValue>,
    /// The session's guard, which lives as long as the tunnel.
    pub session: SessionGuard,
    /// The line of the request log, taken by the tunnel once it is open.
    pub line: &'a mut Option<Box<TunnelLine>>,
    /// The `Set-Cookie` that renews the ticket by which the session was allowed.
    pub cookie: Option<HeaderValue>,
    /// The time limits of the tunnel.
    pub limits: TunnelLimits,
    /// The counters.
    pub metrics: Arc<Metrics>,
}

impl Handshake<'_> {
    /// Opens a tunnel, which runs after the request. `false`: the session was revoked meanwhile, and is cut.
    ///
    /// # Errors
    ///
    /// The browser has left.
    pub async fn open(self, client: &mut impl Downstream, patience: &mut Patience<'_>) -> Result<bool> {
        let Self { switched, subprotocol, session, line, cookie, limits, metrics } = self;
        let (mut head, upstream, answered) = switched;
        handshake::accepted(&mut head.fields, subprotocol, cookie);
        client.head(head, true)?;
        let sent = tokio::select! {
            biased;
            sent = patience.sent(client) => sent,
            _ = session.revocation().revoked() => {
                client.abort(true);
                return Ok(false);
            }
        };
        sent?;
        client.switch(|browser, said| {
            Tunnel::new((browser, said), (upstream, answered), limits, session, line.take(), metrics)
        })?;
        Ok(true)
    }
}
