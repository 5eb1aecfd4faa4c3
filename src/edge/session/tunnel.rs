//! Tunnel of a WebSocket: after the handshake, bytes are copied between the two connections, outside the
//! pipeline.
//!
//! A revoked session gets a Close frame between two frames: `frames` tracks their boundaries, `relay` copies
//! and ends, `limits` has the time limits.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::BytesMut;

use super::registry::SessionGuard;
use crate::edge::connection::closing::{Closing, Stop};
use crate::edge::stream::Stream;
use crate::telemetry::metrics::Metrics;
use embedgate_policy::verdict::Reason;

pub(in crate::edge) mod frames;
pub(in crate::edge) mod handshake;
mod limits;
mod line;
mod relay;

pub use limits::TunnelLimits;
pub use line::{TunnelLine, TunnelOpening};

use frames::Close;
use limits::Overdue;
use relay::{Relay, TunnelEnd};

/// Tunnel after its handshakes.
pub struct Tunnel {
    relay: Relay<Stream, Stream>,
    limits: TunnelLimits,
    session: SessionGuard,
    /// The line of the request log, if the tunnel may have one.
    line: Option<Box<TunnelLine>>,
    metrics: Arc<Metrics>,
}

impl Tunnel {
    /// A tunnel between two connections, each with its bytes that were read but not passed on.
    pub fn new(
        browser: (Stream, BytesMut),
        upstream: (Stream, BytesMut),
        limits: TunnelLimits,
        session: SessionGuard,
        line: Option<Box<TunnelLine>>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let relay = Relay::new(browser.0, upstream.0, (browser.1, upstream.1));
        Self { relay, limits, session, line, metrics }
    }

    /// Runs the tunnel to its end, which is also near when the server stops.
    pub async fn run(mut self: Box<Self>, closing: &Closing) {
        let end = self.relayed(closing).await;
        // Boxed, so that an open tunnel needs no memory for its end.
        Box::pin(self.finish(end)).await;
    }

    async fn relayed(&mut self, closing: &Closing) -> TunnelEnd {
        let Self { relay, limits, session, .. } = self;
        let mut stopped = None;
        // Pinned here and lent, so that an open tunnel has room for each of them once.
        let (mut revoked, mut stopping) = (pin!(session.revocation().revoked()), pin!(closing.turn()));
        let cut = poll_fn(|context| {
            if revoked.as_mut().poll(context).is_ready() {
                return Poll::Ready(());
            }
            stopping.as_mut().poll(context).map(|stop| stopped = Some(stop))
        });
        match (relay.run(*limits, cut).await, stopped) {
            (TunnelEnd::Revoked, Some(stop)) => TunnelEnd::Stopped(stop),
            (end, _) => end,
        }
    }

    async fn finish(self: Box<Self>, end: TunnelEnd) {
        let Self { mut relay, session, line, metrics, .. } = *self;
        let close = match end {
            // A browser that takes nothing takes no Close frame, either.
            TunnelEnd::Over | TunnelEnd::Overdue(Overdue::Untaken) => None,
            TunnelEnd::Overdue(Overdue::Idle) => Some(Close::IDLE),
            TunnelEnd::Overdue(Overdue::Lifetime) => Some(Close::EXPIRED),
            TunnelEnd::Revoked => match session.revocation().reason() {
                Some(Reason::StaleRules) => Some(Close::STALE),
                _ => Some(Close::REVOKED),
            },
            TunnelEnd::Stopped(Stop::Stopping) => Some(Close::STOPPING),
            TunnelEnd::Stopped(Stop::Orphaned) => Some(Close::RESTARTED),
        };
        let mut told = false;
        if let Some(close) = close {
            told = relay.close(close).await;
            tracing::debug!(code = close.code, reason = close.reason, told, "tunnel closed");
        }
        if let Some(at) = session.revocation().revoked_at() {
            metrics.session_revocation_duration.observe(at.elapsed().as_secs_f64());
        }
        if let Some(line) = line {
            line.write(session.widget(), end, relay.carried_down());
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

    /// As the connection runs it.
    async fn run(tunnel: Box<Tunnel>) {
        tunnel.run(&Closing::default()).await;
    }

    #[test]
    fn an_open_tunnel_is_small() {
        let (tunnel, running) = (size_of::<Tunnel>(), size(run));
        println!("{tunnel} bytes and {running} to run it");
        assert!(tunnel + running <= 768, "{tunnel} {running}");
    }
}
