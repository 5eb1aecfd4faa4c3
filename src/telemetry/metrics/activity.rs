//! What is kept of embedders, in metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::{IntCounter, IntGauge};

use super::registration::{Families, counters, gauge};

/// Gauge of the memory for what is seen of embedders, and counters of sightings by outcome.
#[derive(Clone, Debug)]
pub struct ActivityMetrics {
    bytes: IntGauge,
    recorded: IntCounter,
    dropped: IntCounter,
    /// What of that has been counted.
    counted: Arc<AtomicU64>,
}

impl ActivityMetrics {
    /// The metrics, with each outcome from the start.
    pub(super) fn new(families: &Families) -> Result<Self, prometheus::Error> {
        let help = "Memory for what is seen of embedders, in bytes.";
        let bytes = gauge(families, "activity_bytes", help)?;
        let help = "Sightings of embedders, by outcome: recorded, or dropped for want of room.";
        let sightings = counters(families, "activity_sightings_total", help, &["outcome"])?;
        let of = |outcome| sightings.with_label_values(&[outcome]);
        Ok(Self { bytes, recorded: of("recorded"), dropped: of("dropped"), counted: Arc::default() })
    }

    /// Sets the memory, and the number of sightings that were dropped so far.
    pub fn set(&self, bytes: u64, dropped: u64) {
        self.bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        // Whoever looks at the same time adds only what is new.
        self.dropped.inc_by(dropped.saturating_sub(self.counted.fetch_max(dropped, Ordering::Relaxed)));
    }

    /// Counts sightings that were recorded.
    pub fn recorded(&self, sightings: u64) {
        self.recorded.inc_by(sightings);
    }
}
