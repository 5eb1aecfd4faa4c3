//! Notifications, in metrics.

use prometheus::{IntCounter, IntGauge};
use serde::Serialize;
use utoipa::ToSchema;

use super::registration::{Families, counters, gauge};

/// Kinds of notifications.
pub const NOTIFICATION_KINDS: [&str; 10] = [
    "embedder.first_denied",
    "embedder.first_seen",
    "embedder.summary",
    "limit.reached",
    "rules.changed",
    "rules.summary",
    "entry.expiring",
    "certificate.expiring",
    "session.revoked",
    "test",
];

/// What came of a notification, or of one try to send it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotificationOutcome {
    /// It has arrived.
    Delivered,
    /// A try has failed, and there will be another.
    Retried,
    /// It was given up: it is a dead letter.
    Dead,
    /// It is lost: there was no room for it, or for the dead letter.
    Dropped,
}

/// Labels, in the order of the outcomes.
const LABELS: [&str; 4] = ["delivered", "retried", "dead", "dropped"];

/// Counts of notifications since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct NotificationTotals {
    /// Those that have arrived.
    pub delivered: u64,
    /// Tries that have failed and were, or will be, followed by another.
    pub retried: u64,
    /// Those that were given up.
    pub dead: u64,
    /// Those that are lost: there was no room for them, or for the dead letter.
    pub dropped: u64,
}

/// Counter of notifications by kind and outcome, and gauge of those that wait.
#[derive(Clone, Debug)]
pub struct NotificationMetrics {
    /// Of each kind, by outcome.
    counts: Vec<[IntCounter; LABELS.len()]>,
    pending: IntGauge,
}

impl NotificationMetrics {
    /// The metrics, with each kind and outcome from the start.
    pub(super) fn new(families: &Families) -> Result<Self, prometheus::Error> {
        let help = "Notifications, by kind and outcome: delivered, a try that failed, given up, or lost for want of room.";
        let counts = counters(families, "notifications_total", help, &["kind", "outcome"])?;
        let of = |kind| LABELS.map(|outcome| counts.with_label_values(&[kind, outcome]));
        let counts = NOTIFICATION_KINDS.into_iter().map(of).collect();
        let pending = gauge(families, "notifications_pending", "Notifications that wait to arrive.")?;
        Ok(Self { counts, pending })
    }

    /// Counts an outcome.
    pub fn count(&self, kind: &str, outcome: NotificationOutcome) {
        let place = NOTIFICATION_KINDS.iter().position(|known| *known == kind);
        let counts = place.and_then(|place| self.counts.get(place));
        if let Some(counter) = counts.and_then(|counts| counts.get(outcome as usize)) {
            counter.inc();
        }
    }

    /// Sets how many wait.
    pub fn set_pending(&self, pending: usize) {
        self.pending.set(i64::try_from(pending).unwrap_or(i64::MAX));
    }

    /// The counts of all kinds together.
    pub fn totals(&self) -> NotificationTotals {
        let mut totals = NotificationTotals::default();
        for [delivered, retried, dead, dropped] in &self.counts {
            totals.delivered += delivered.get();
            totals.retried += retried.get();
            totals.dead += dead.get();
            totals.dropped += dropped.get();
        }
        totals
    }
}
