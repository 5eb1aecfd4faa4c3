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

    /// Opens a tunnel, which runs on its own from then on.
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
        let Some((browser, said)) = client.take_connection() else {
            return Err(Error::explain(ErrorType::InternalError, "a handshake without a connection to take"));
        };
        let relay = Relay::new(browser, upstream, (said, answered));
        tokio::spawn(run(relay, self.limits, session, Arc::clone(&self.metrics)));
        Ok(())
    }
}

impl std::fmt::Debug for Tunnels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tunnels").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// The life of one tunnel, from after its handshakes to its end.
#[expect(clippy::manual_async_fn, reason = "an async fn keeps room for its arguments twice")]
fn run(
    mut relay: Relay<Stream, Stream>,
    limits: Limits,
    guard: SessionGuard,
    metrics: Arc<Metrics>,
) -> impl Future<Output = ()> + Send {
    async move {
        let end = relay.run(limits, guard.revocation().revoked()).await;
        // On the heap: for what an end takes no room is kept while the tunnel is open.
        Box::pin(finish(relay, end, guard, metrics)).await;
    }
}

/// The end of one tunnel.
async fn finish(mut relay: Relay<Stream, Stream>, end: End, guard: SessionGuard, metrics: Arc<Metrics>) {
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
    if let Some(at) = guard.revocation().revoked_at() {
        metrics.session_revocation_duration.observe(at.elapsed().as_secs_f64());
    }
    drop(guard);
    if told {
        relay.answered().await;
    }
    relay.finish().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The size of what `make` makes, without making it.
    fn size<A, B, C, D, F>(_make: impl FnOnce(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_open_tunnel_is_small() {
        let (open, ending) = (size(run), size(finish));
        println!("{open} bytes open, {ending} more at its end");
        assert!(open <= 512, "{open}");
    }
}
