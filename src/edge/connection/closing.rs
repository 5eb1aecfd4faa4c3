//! End of the edge's connections, when the process stops or another one takes over.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Signal to open connections that their end is near.
#[derive(Debug, Default)]
pub struct Closing {
    phase: AtomicU8,
    changed: Notify,
    /// Time within which tunnels end.
    spread: Mutex<Duration>,
}

/// Phase of the end; none is left for an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
enum Phase {
    /// Clients are told to use another connection for their next request. Nothing is cut.
    Told = 1,
    /// Idle connections are closed, and tunnels end one after the other.
    Ending = 2,
    /// Idle connections are closed, and tunnels end at once, because no rules reach them any more.
    Orphaned = 3,
}

/// Reason why a tunnel ends although both of its sides go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The process stops.
    Stopping,
    /// The process that has taken over is gone.
    Orphaned,
}

impl Closing {
    /// Tells clients to use another connection for their next request.
    pub(super) fn tell(&self) {
        self.enter(Phase::Told);
    }

    /// Ends idle connections at once, and tunnels within this time.
    pub(super) fn end(&self, spread: Duration) {
        *self.spread.lock() = spread;
        self.enter(Phase::Ending);
    }

    /// Ends idle connections and tunnels at once. This alone: a tunnel that `end` wakes first tells another reason.
    pub(super) fn orphan(&self) {
        self.enter(Phase::Orphaned);
    }

    /// Whether clients are told to use another connection.
    pub(super) fn is_told(&self) -> bool {
        self.has_reached(Phase::Told)
    }

    /// Resolves once clients are told to use another connection.
    pub(super) async fn told(&self) {
        self.reached(Phase::Told).await;
    }

    /// Resolves once idle connections are closed.
    pub(super) async fn ended(&self) {
        self.reached(Phase::Ending).await;
    }

    /// Resolves when a tunnel has to end: after the end has begun, another time for each, because if all of them ended
    /// at once, their browsers would come back at once.
    pub async fn turn(&self) -> Stop {
        self.ended().await;
        // Boxed, so that an open tunnel needs no memory for it.
        Box::pin(async {
            let wait = self.spread.lock().mul_f64(rand::random());
            tokio::select! {
                biased;
                () = self.reached(Phase::Orphaned) => Stop::Orphaned,
                () = tokio::time::sleep(wait) => Stop::Stopping,
            }
        })
        .await
    }

    fn enter(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    fn has_reached(&self, phase: Phase) -> bool {
        self.phase.load(Ordering::Acquire) >= phase as u8
    }

    async fn reached(&self, phase: Phase) {
        loop {
            // This receives later changes; an earlier one shows in the phase.
            let changed = self.changed.notified();
            if self.has_reached(phase) {
                return;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn tunnels_go_on_while_clients_are_only_told() {
        let closing = Closing::default();
        closing.tell();
        assert!(closing.is_told() && closing.told().now_or_never().is_some());
        assert_eq!((closing.ended().now_or_never(), closing.turn().now_or_never()), (None, None));
        closing.end(Duration::from_secs(1));
        assert_eq!(closing.turn().await, Stop::Stopping);
    }

    #[tokio::test(start_paused = true)]
    async fn an_orphan_does_not_wait_for_its_turn() {
        let closing = Closing::default();
        closing.end(Duration::from_secs(3600));
        let turn = closing.turn();
        tokio::pin!(turn);
        assert_eq!((&mut turn).now_or_never(), None);
        closing.orphan();
        closing.tell();
        assert_eq!(turn.now_or_never(), Some(Stop::Orphaned));
    }

    #[tokio::test(start_paused = true)]
    async fn an_orphan_needs_no_other_end_first() {
        let closing = Closing::default();
        let (turn, ended) = (closing.turn(), closing.ended());
        tokio::pin!(turn, ended);
        assert_eq!(((&mut turn).now_or_never(), (&mut ended).now_or_never()), (None, None));
        closing.orphan();
        assert_eq!((turn.now_or_never(), ended.now_or_never()), (Some(Stop::Orphaned), Some(())));
        assert!(closing.is_told());
    }
}
