//! Tunnel of a WebSocket: after the handshake, bytes are copied between the two connections, outside the
//! pipeline.
//!
//! A revoked session gets a Close frame between two frames: `frames` tracks their boundaries, `relay` copies
//! and ends, `limits` has the time limits.

use std::sync::Arc;

use bytes::BytesMut;

use super::registry::SessionGuard;
use crate::edge::stream::Stream;
use crate::telemetry::metrics::Metrics;

mod frames;
pub(super) mod handshake;
mod limits;
mod relay;

pub use limits::Limits;

use frames::Close;
use limits::Overdue;
use relay::{Relay, TunnelEnd};

/// Tunnel after its handshakes.
pub struct Tunnel {
    relay: Relay<Stream, Stream>,
    limits: Limits,
    session: SessionGuard,
    metrics: Arc<Metrics>,
}

impl Tunnel {
    /// A tunnel between two connections, each with its bytes that were read but not passed on.
    pub fn new(
        browser: (Stream, BytesMut),
        upstream: (Stream, BytesMut),
        limits: Limits,
        session: SessionGuard,
        metrics: Arc<Metrics>,
    ) -> Self {
        let relay = Relay::new(browser.0, upstream.0, (browser.1, upstream.1));
        Self { relay, limits, session, metrics }
    }

    /// Runs the tunnel to its end. `stopping` is ready when the server stops and it is this tunnel's turn.
    pub async fn run(mut self: Box<Self>, stopping: impl Future<Output = ()>) {
        let mut stops = false;
        let cut = async {
            tokio::select! {
                biased;
                _ = self.session.revocation().revoked() => {}
                () = stopping => stops = true,
            }
        };
        let end = self.relay.run(self.limits, cut).await;
        let end = if end == TunnelEnd::Revoked && stops { TunnelEnd::Stopping } else { end };
        // Boxed, so that an open tunnel needs no memory for its end.
        Box::pin(self.finish(end)).await;
    }

    async fn finish(self: Box<Self>, end: TunnelEnd) {
        let Self { mut relay, session, metrics, .. } = *self;
        let close = match end {
            TunnelEnd::Over => None,
            TunnelEnd::Overdue(Overdue::Idle) => Some(Close::IDLE),
            TunnelEnd::Overdue(Overdue::Lifetime) => Some(Close::EXPIRED),
            TunnelEnd::Revoked => Some(Close::REVOKED),
            TunnelEnd::Stopping => Some(Close::STOPPING),
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
    use crate::edge::connection::closing::Closing;

    /// The size of what `make` makes, without making it.
    fn size<A, F>(_make: impl FnOnce(A) -> F) -> usize {
        size_of::<F>()
    }

    /// As the connection runs it.
    async fn run(tunnel: Box<Tunnel>) {
        let closing = Closing::default();
        tunnel.run(closing.turn()).await;
    }

    #[test]
    fn an_open_tunnel_is_small() {
        let (tunnel, running) = (size_of::<Tunnel>(), size(run));
        println!("{tunnel} bytes and {running} to run it");
        assert!(tunnel + running <= 768, "{tunnel} {running}");
    }
}
