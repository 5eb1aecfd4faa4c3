//! What the service manager is told (sd_notify(3)): that the edge is ready, which process it is, that it stops, and that
//! it is alive. Without a service manager, nothing is told.

use std::process;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::tasks;
use super::welcome::Welcome;
use crate::admin::Readiness;

/// Whether the service manager has started this very process, and not a shell or another program below it.
pub(super) fn is_started_by() -> bool {
    std::env::var_os("SYSTEMD_EXEC_PID").is_some_and(|id| id == *process::id().to_string())
}

/// Service manager of the process that is the edge.
pub(super) struct Systemd {
    /// Tells it that the edge is ready, and then again and again that it is alive; ends with this.
    alive: AbortOnDropHandle<()>,
}

impl Systemd {
    /// Says that this process is the edge, once it is ready, and that it is alive. `requests`: where requests are served.
    pub(super) fn start(welcome: Welcome, readiness: Arc<Readiness>, requests: Handle) -> Self {
        let alive = async move {
            tasks::welcome(welcome, readiness).await;
            // The service manager knows the process that it has started, which this one may have relieved.
            tell(&[NotifyState::MainPid(process::id()), NotifyState::Ready]);
            watchdog(requests).await;
        };
        Self { alive: AbortOnDropHandle::new(tokio::spawn(alive)) }
    }

    /// Says that the edge stops.
    pub(super) fn stopping(&self) {
        tell(&[NotifyState::Stopping]);
    }

    /// Says that another process is the edge, and nothing more. That has to be said before this one ends: the end of the
    /// main process is the end of the service.
    pub(super) fn relieved(&self, pid: u32) {
        self.alive.abort();
        tell(&[NotifyState::MainPid(pid)]);
    }
}

/// Says that the edge is alive, as long as the threads of requests do their work.
async fn watchdog(requests: Handle) {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    let interval = limit / 2;
    loop {
        let answer = requests.spawn(std::future::ready(()));
        if timeout(interval, answer).await.is_ok() {
            tell(&[NotifyState::Watchdog]);
        }
        sleep(interval.min(LONGEST)).await;
    }
}

/// Longest pause between two signs of life.
const LONGEST: Duration = Duration::from_secs(10);

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager can't be told");
    }
}
