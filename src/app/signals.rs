//! What stops the edge: SIGTERM and SIGQUIT end it once open requests had their grace period, SIGINT at once.

use std::sync::Arc;

use async_trait::async_trait;
use pingora::server::{ShutdownSignal, ShutdownSignalWatch};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::admin::Readiness;

/// Waits for a signal, and says to load balancers that the edge is going.
pub(super) struct Signals(Arc<Readiness>);

impl Signals {
    pub(super) fn new(readiness: Arc<Readiness>) -> Self {
        Self(readiness)
    }
}

#[async_trait]
impl ShutdownSignalWatch for Signals {
    async fn recv(&self) -> ShutdownSignal {
        let stop = tokio::select! {
            () = received(SignalKind::interrupt()) => ShutdownSignal::FastShutdown,
            () = received(SignalKind::terminate()) => ShutdownSignal::GracefulTerminate,
            () = received(SignalKind::quit()) => ShutdownSignal::GracefulTerminate,
        };
        self.0.stop();
        stop
    }
}

/// Resolves with the next signal of this kind; never, where it can't be listened for.
pub(super) async fn received(kind: SignalKind) {
    let listener: std::io::Result<Signal> = signal(kind);
    match listener {
        Ok(mut signal) => {
            signal.recv().await;
        }
        Err(error) => {
            tracing::error!(%error, "a signal can't be listened for");
            std::future::pending::<()>().await;
        }
    }
}
