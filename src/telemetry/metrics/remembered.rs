//! Sessions that have left the edge, in metrics.

use prometheus::{IntCounter, IntGauge};

use super::registration::{Families, counters, gauge};

/// What has become of a session that an upstream named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RememberedOutcome {
    /// Its upstream named it.
    Named,
    /// Its upstream said that it is over.
    Ended,
    /// The rules deny it, and somebody was told.
    Revoked,
    /// It was remembered for as long as sessions are.
    Expired,
    /// It was the oldest of too many.
    Dropped,
    /// It is in memory alone, since the file could not be written.
    NotKept,
    /// What the upstream said names no session.
    Malformed,
}

impl RememberedOutcome {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Named, "named"),
        (Self::Ended, "ended"),
        (Self::Revoked, "revoked"),
        (Self::Expired, "expired"),
        (Self::Dropped, "dropped"),
        (Self::NotKept, "not_kept"),
        (Self::Malformed, "malformed"),
    ];
}

/// Gauge of the sessions that are remembered, and counter of what becomes of them.
#[derive(Clone, Debug)]
pub struct RememberedMetrics {
    now: IntGauge,
    outcomes: Vec<IntCounter>,
}

impl RememberedMetrics {
    /// The metrics, with each outcome from the start.
    pub(super) fn new(families: &Families) -> Result<Self, prometheus::Error> {
        let help = "Sessions that have left the edge, and are remembered.";
        let now = gauge(families, "remembered_sessions", help)?;
        let help = "Sessions that have left the edge, by outcome.";
        let outcomes = counters(families, "remembered_sessions_total", help, &["outcome"])?;
        let of_each = |(_, label): (_, &str)| outcomes.with_label_values(&[label]);
        Ok(Self { now, outcomes: RememberedOutcome::ALL.map(of_each).into() })
    }

    /// Sets how many are remembered.
    pub fn remembered(&self, sessions: usize) {
        self.now.set(i64::try_from(sessions).unwrap_or(i64::MAX));
    }

    /// Counts what has become of sessions.
    pub fn count(&self, outcome: RememberedOutcome, sessions: usize) {
        if let Some(counter) = self.outcomes.get(outcome as usize) {
            counter.inc_by(sessions as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_own_place() {
        for (place, (outcome, _)) in RememberedOutcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, place, "{outcome:?}");
        }
    }
}
