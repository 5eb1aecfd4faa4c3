//! End of the edge's connections, when the server stops.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

/// Signal that open connections should accept no more requests.
#[derive(Debug, Default)]
pub struct Closing {
    begun: AtomicBool,
    told: Notify,
    /// Time within which tunnels end.
    spread: Duration,
}

impl Closing {
    /// A signal that was not given yet. `grace_period`: the time that connections have to end after it.
    pub fn within(grace_period: Duration) -> Self {
        // The last quarter is for the last ones to say goodbye.
        Self { spread: grace_period / 4 * 3, ..Self::default() }
    }

    /// Gives the signal.
    pub(super) fn begin(&self) {
        self.begun.store(true, Ordering::Release);
        self.told.notify_waiters();
    }

    /// Whether the signal was given.
    pub(super) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// Resolves once the signal is given.
    pub(super) async fn awaited(&self) {
        // This receives later signals; an earlier one shows in the flag.
        let told = self.told.notified();
        if !self.has_begun() {
            told.await;
        }
    }

    /// Resolves some time after the signal, another time for each tunnel: if all of them ended at once, their browsers
    /// would come back at once.
    pub async fn turn(&self) {
        self.awaited().await;
        // Boxed, so that an open tunnel needs no memory for it.
        Box::pin(tokio::time::sleep(self.spread.mul_f64(rand::random()))).await;
    }
}
