//! WebSockets: once the upstream has taken a handshake, both connections are taken out of the pipeline's hands, and bytes
//! are copied between them.
//!
//! A session that the rules call back gets a Close frame between two frames: `frames` follows where they end, `relay`
//! copies and ends, `limits` says for how long.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use http::HeaderValue;
use pingora::{Error, ErrorType, Result};

use super::connection::stream::Stream;
use super::deadline::Deadline;
use super::downstream::Downstream;
use super::exchange::CLIENT_TIMEOUT;
use super::sessions::SessionGuard;
use crate::edge::message::ResponseHead;
use crate::telemetry::metrics::Metrics;

mod frames;
mod handshake;
mod limits;
mod relay;

pub use limits::Limits;

use frames::Close;
use limits::Overdue;
use relay::{End, Relay};

/// What opening tunnels takes.
pub struct Tunnels {
    limits: Limits,
    metrics: Arc<Metrics>,
}

/// A handshake that the upstream has taken.
pub struct Handshake {
    /// The head of the upstream's answer, its connection, and what came behind the head.
    pub switched: (ResponseHead, Stream, BytesMut),
    /// The subprotocol to name where the upstream chose none.
    pub subprotocol: Option<HeaderValue>,
    /// The session's entry in the registry, which lasts as long as the tunnel.
    pub session: SessionGuard,
}

impl Tunnels {
    /// Prepares for tunnels that stay open for as long as `limits` say.
    pub fn new(limits: Limits, metrics: Arc<Metrics>) -> Self {
        Self { limits, metrics }
    }

    /// How long they may be without a byte either way; `None` is without end.
    pub fn idle_limit(&self) -> Option<Duration> {
        self.limits.idle
    }

    /// Opens a tunnel, which runs once the request is served.
    ///
    /// # Errors
    ///
    /// The browser is gone.
    pub async fn open(
        &self,
        client: &mut impl Downstream,
        handshake: Handshake,
        deadline: &mut Deadline,
    ) -> Result<()> {
        let Handshake { switched: (mut head, upstream, answered), subprotocol, session } = handshake;
        handshake::accepted(&mut head.fields, subprotocol);
        client.head(head, true)?;
        let sent = tokio::select! {
            biased;
            sent = deadline.within(CLIENT_TIMEOUT, client.sent()) => sent,
            _ = session.revocation().revoked() => {
                client.abort(true);
                return Ok(());
            }
        };
        sent.unwrap_or_else(|_| Err(Error::new_down(ErrorType::WriteTimedout)))?;
        client.switch(|browser, said| Tunnel {
            relay: Relay::new(browser, upstream, (said, answered)),
            limits: self.limits,
            session,
            metrics: Arc::clone(&self.metrics),
        })
    }
}

impl std::fmt::Debug for Tunnels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tunnels").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// One tunnel, after its handshakes.
pub struct Tunnel {
    relay: Relay<Stream, Stream>,
    limits: Limits,
    session: SessionGuard,
    metrics: Arc<Metrics>,
}

impl Tunnel {
    /// Runs to its end.
    pub async fn run(mut self: Box<Self>) {
        let end = self.relay.run(self.limits, self.session.revocation().revoked()).await;
        // On the heap: for what an end takes no room is kept while the tunnel is open.
        Box::pin(self.finish(end)).await;
    }

    async fn finish(self: Box<Self>, end: End) {
        let Self { mut relay, session, metrics, .. } = *self;
        let close = match end {
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
        if let Some(at) = session.revocation().revoked_at() {
            metrics.session_revocation_duration.observe(at.elapsed().as_secs_f64());
        }
        drop(session);
        if told {
            relay.answered().await;
        }
        relay.finish().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The size of what `make` makes, without making it.
    fn size<A, F>(_make: impl FnOnce(A) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_open_tunnel_is_small() {
        let (tunnel, running) = (size_of::<Tunnel>(), size(Tunnel::run));
        println!("{tunnel} bytes and {running} to run it");
        assert!(tunnel + running <= 768, "{tunnel} {running}");
    }
}
