//! Lines that the logs have dropped.

use parking_lot::Mutex;
use prometheus::IntCounterVec;

use super::registration::{Families, counters};

/// Counter of dropped lines, by log. The logs count them themselves.
#[derive(Debug)]
pub struct DroppedLines(Mutex<IntCounterVec>);

impl DroppedLines {
    /// The counter, with each log from the start.
    pub(super) fn new(families: &Families) -> Result<Self, prometheus::Error> {
        let help = "Lines that a log could not write in time, or not at all.";
        let lines = counters(families, "log_lines_dropped_total", help, &["log"])?;
        for log in ["decisions", "operational", "requests"] {
            drop(lines.with_label_values(&[log]));
        }
        Ok(Self(Mutex::new(lines)))
    }

    /// Sets the number of lines that a log has dropped so far.
    pub fn set(&self, log: &str, lines: u64) {
        // Locked, so that two scrapes don't both add the same lines.
        let counter = self.0.lock().with_label_values(&[log]);
        counter.inc_by(lines.saturating_sub(counter.get()));
    }
}
