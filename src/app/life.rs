//! Life of a running edge, from the first request to its end.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;

use super::AppError;
use super::reload::Reloader;
use super::signals::Signals;
use crate::admin::Readiness;
use crate::edge::connection::listeners::Accepting;
use crate::edge::connection::service::EdgeService;
use crate::telemetry::decision_log::DecisionLog;

/// Time for calls of the control plane that change something to be answered before the process ends.
const CHANGES_END: Duration = Duration::from_secs(5);

/// Running edge, with what its end needs.
pub(super) struct Life {
    pub(super) signals: Signals,
    pub(super) reloader: Arc<Reloader>,
    pub(super) readiness: Arc<Readiness>,
    pub(super) edge: Arc<EdgeService>,
    pub(super) accepting: Vec<Accepting>,
    /// Calls that change something, as long as they run.
    pub(super) changes: TaskTracker,
    pub(super) decisions: Arc<DecisionLog>,
}

impl Life {
    /// Serves until a signal stops the edge and the last connection has ended, or the grace period. A second signal
    /// ends it at once.
    pub(super) async fn live(mut self) -> Result<(), AppError> {
        let signals = self.signals.clone();
        signals.stop().await;
        tokio::select! {
            () = self.stop() => {}
            () = signals.impatience() => tracing::info!("the edge ends at once"),
        }
        let open = self.edge.open_connections();
        if open > 0 {
            tracing::warn!(connections = open, "connections were cut");
        }
        self.decisions.sum_up();
        Ok(())
    }

    async fn stop(&mut self) {
        let (drain_delay, grace_period) = {
            let settings = self.reloader.settings.lock().await;
            (settings.edge.drain_delay, settings.edge.grace_period)
        };
        self.readiness.stop();
        if !drain_delay.is_zero() {
            tracing::info!("/readyz says 503; the listeners close in {drain_delay:?}");
            sleep(drain_delay).await;
        }
        for accepting in self.accepting.drain(..) {
            accepting.stop().await;
        }
        self.edge.tell();
        tracing::info!(
            connections = self.edge.open_connections(),
            "the listeners are closed, and open connections are told"
        );
        match self.edge.close(grace_period).await {
            true => tracing::info!("the last connection has ended"),
            false => tracing::warn!("the grace period is over"),
        }
        self.changes.close();
        // An error means that they take too long.
        let _ = timeout(CHANGES_END, self.changes.wait()).await;
    }
}
