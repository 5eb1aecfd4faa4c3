//! Changes that the brake has held.

use prometheus::IntCounterVec;

use super::registration::{Families, counters};

/// Roads by which many changes reach a running edge. An import into a stopped one has no metrics.
const ROADS: [&str; 2] = ["batch", "file"];

/// Counter of held changes, by road.
#[derive(Debug)]
pub struct BrakeCounter(IntCounterVec);

impl BrakeCounter {
    /// The counter, with each road from the start.
    pub(super) fn new(families: &Families) -> Result<Self, prometheus::Error> {
        let help = "Changes of many widgets at once that were held because nobody had confirmed them.";
        let held = counters(families, "brake_refusals_total", help, &["road"])?;
        for road in ROADS {
            drop(held.with_label_values(&[road]));
        }
        Ok(Self(held))
    }

    /// Counts a change that was held.
    pub fn held(&self, road: &'static str) {
        self.0.with_label_values(&[road]).inc();
    }
}
