//! Bounds of what waits, and of what was given up.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::time::Instant;

use super::{DeadLetter, Outbox, Queued, Waiting};
use crate::telemetry::metrics::NotificationOutcome;

/// Notifications that wait at most, and bytes of them.
const MOST: usize = 10_000;
const MOST_BYTES: usize = 64 << 20;

/// Revocations among them at most, and bytes of them. Others are left with whoever remembers the sessions.
const MOST_REVOKED: usize = MOST / 2;
const MOST_REVOKED_BYTES: usize = MOST_BYTES / 2;

/// Dead letters that are kept at most, and bytes of them.
const MOST_DEAD: usize = 1_000;
const MOST_DEAD_BYTES: usize = 16 << 20;

impl Outbox {
    /// Makes dead letters of the oldest where too many wait.
    pub(super) fn hold_bounds(&self) {
        let mut waiting = self.waiting.lock();
        let mut given_up = 0_usize;
        while waiting.lanes.len() > MOST || waiting.lanes.bytes() > MOST_BYTES {
            let Some((queued, tries)) = waiting.lanes.evict(Instant::now()) else { break };
            self.bury(&mut waiting, queued, tries, "too many waited, and it was the oldest".into());
            given_up += 1;
        }
        self.note_pending(&waiting);
        if given_up > 0 {
            drop(waiting);
            tracing::warn!(
                notifications = given_up,
                "too many notifications wait, so the oldest are dead letters now"
            );
            self.to_write.notify_one();
        }
    }

    /// How many revocations there is room for, if all of them together have this many bytes at most.
    pub fn room_for_revocations(&self, bytes: usize) -> usize {
        // Without a receiver, nothing waits.
        if self.receiver.load().is_none() {
            return usize::MAX;
        }
        let (waiting, waiting_bytes) = self.waiting.lock().lanes.revocations();
        let (told, told_bytes) = self.intake.lock().revocations();
        let has_room = waiting_bytes + told_bytes + bytes <= MOST_REVOKED_BYTES;
        if has_room { MOST_REVOKED.saturating_sub(waiting + told) } else { 0 }
    }

    /// Makes a dead letter of a notification that has left its lane.
    pub(super) fn bury(&self, waiting: &mut Waiting, queued: Arc<Queued>, tries: u32, error: Box<str>) {
        self.metrics.count(&queued.kind, NotificationOutcome::Dead);
        waiting.gone.push(queued.number);
        waiting.dead_bytes += queued.bytes();
        let letter = Arc::new(DeadLetter { queued, died: Timestamp::now(), tries, error });
        waiting.buried.push(Arc::clone(&letter));
        let place = waiting.dead.partition_point(|dead| dead.place() < letter.place());
        waiting.dead.insert(place, letter);
        while waiting.dead.len() > MOST_DEAD || waiting.dead_bytes > MOST_DEAD_BYTES {
            let Some(oldest) = waiting.dead.pop_front() else { break };
            waiting.dead_bytes -= oldest.queued.bytes();
            waiting.forgotten.push(oldest.queued.number);
            self.metrics.count(&oldest.queued.kind, NotificationOutcome::Dropped);
        }
    }

    pub(super) fn note_pending(&self, waiting: &Waiting) {
        self.metrics.set_pending(waiting.lanes.len());
    }
}
