//! Life of the process in metrics: tasks, and the outcomes of reloads and upgrades.

use prometheus::{IntCounter, IntGaugeVec};

use super::registration::{Families, counters, gauges};

/// Gauge of tasks.
pub(super) fn tasks(families: &Families) -> Result<IntGaugeVec, prometheus::Error> {
    let help = "Tasks that run or wait, on the threads of requests and of everything else.";
    gauges(families, "tasks", help, &["runtime"])
}

/// Counter of attempts that succeed whole or change nothing.
#[derive(Debug)]
pub struct AttemptCounter {
    done: IntCounter,
    failed: IntCounter,
}

impl AttemptCounter {
    /// Counter of reloads.
    pub(super) fn of_reloads(families: &Families) -> Result<Self, prometheus::Error> {
        let help = "Reloads of the configuration, by outcome.";
        Self::new(families, "reloads_total", help, "refused")
    }

    /// Counter of upgrades.
    pub(super) fn of_upgrades(families: &Families) -> Result<Self, prometheus::Error> {
        let help = "Upgrades to a new process, by outcome: done by this one, or failed from this one.";
        Self::new(families, "upgrades_total", help, "failed")
    }

    /// The counter, with each outcome from the start. `failed`: what a failure is called.
    fn new(families: &Families, name: &str, help: &str, failed: &str) -> Result<Self, prometheus::Error> {
        let attempts = counters(families, name, help, &["outcome"])?;
        let of = |outcome| attempts.with_label_values(&[outcome]);
        Ok(Self { done: of("done"), failed: of(failed) })
    }

    /// Counts a success.
    pub fn done(&self) {
        self.done.inc();
    }

    /// Counts a failure.
    pub fn failed(&self) {
        self.failed.inc();
    }
}
