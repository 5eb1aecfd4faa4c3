//! Outcomes of browsers' reports, as the metrics count them.

use prometheus::IntCounter;

use super::registration::{Families, counters};

/// Outcome of one report of a page around a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportOutcome {
    /// It told of a page, which was kept.
    Kept,
    /// It told nothing that verdicts had not told.
    NothingNew,
    /// It was one too many about this widget from this address.
    Bounded,
    /// It had no valid token, or was no browser's report.
    Refused,
}

/// Labels, in the order of the outcomes.
const LABELS: [&str; 4] = ["kept", "nothing_new", "bounded", "refused"];

/// Counter of reports, by outcome.
#[derive(Debug)]
pub struct ReportCounter([IntCounter; 4]);

impl ReportCounter {
    /// The counter, with each outcome from the start.
    pub(super) fn new(families: &Families) -> Result<Self, prometheus::Error> {
        let help = "Reports that browsers sent of a page around a frame that the widget's list does not admit, by outcome.";
        let reports = counters(families, "reports_total", help, &["outcome"])?;
        Ok(Self(LABELS.map(|label| reports.with_label_values(&[label]))))
    }

    /// Counts one report.
    pub fn count(&self, outcome: ReportOutcome) {
        if let Some(counter) = self.0.get(outcome as usize) {
            counter.inc();
        }
    }
}
