//! Stop signals: SIGTERM and SIGQUIT end the edge after the grace period for open requests, SIGINT at once.

use std::sync::Arc;

use async_trait::async_trait;
use pingora_core::server::{ShutdownSignal, ShutdownSignalWatch};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::admin::Readiness;

/// Watch for stop signals that marks the edge as stopping for load balancers.
pub(super) struct Signals(Arc<Readiness>);

impl Signals {
    pub(super) fn new(readiness: Arc<Readiness>) -> Self {
        Self(readiness)
    }
}

#[async_trait]
impl ShutdownSignalWatch for Signals {
    async fn recv(&self) -> ShutdownSignal {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::quit()];
        let [mut interrupt, mut terminate, mut quit] = kinds.map(listen);
        let stop = tokio::select! {
            () = next(&mut interrupt) => ShutdownSignal::FastShutdown,
            () = next(&mut terminate) => ShutdownSignal::GracefulTerminate,
            () = next(&mut quit) => ShutdownSignal::GracefulTerminate,
        };
        self.0.stop();
        stop
    }
}

/// Listens for the signals of one kind from now on. `None` where the system refuses.
pub(super) fn listen(kind: SignalKind) -> Option<Signal> {
    let refused = |error: &std::io::Error| tracing::error!(%error, "can't listen for a signal");
    signal(kind).inspect_err(refused).ok()
}

/// Resolves with the next signal, or with one that came since the last. Never resolves where nobody listens.
pub(super) async fn next(signals: &mut Option<Signal>) {
    if let Some(signals) = signals
        && signals.recv().await.is_some()
    {
        return;
    }
    std::future::pending().await
}
