//! Life of the process in metrics: tasks, and the outcomes of reloads and upgrades.

use prometheus::{IntCounter, IntGaugeVec};

use super::registration::{Families, counters, gauges};

/// Gauge of tasks.
pub(super) fn tasks(families: &Families) -> Result<IntGaugeVec, prometheus::Error> {
    let help = "Tasks that run or wait, on the threads of requests and of everything else.";
    gauges(families, "tasks", help, &["runtime"])
}

/// Outcome of a reload of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReloadOutcome {
    /// The configuration is in force, as far as it can be without an upgrade.
    Done,
    /// The configuration has an error; nothing has changed.
    Refused,
}

/// Outcome of an upgrade to a new process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpgradeOutcome {
    /// This process has taken over.
    Done,
    /// The new process has not become ready; this one goes on.
    Failed,
}

/// Counter of reloads, by outcome.
#[derive(Debug)]
pub struct ReloadCounter([IntCounter; 2]);

/// Counter of upgrades, by outcome.
#[derive(Debug)]
pub struct UpgradeCounter([IntCounter; 2]);

impl ReloadCounter {
    /// The counter, with each outcome from the start.
    pub(super) fn new(families: &Families) -> Result<Self, prometheus::Error> {
        let help = "Reloads of the configuration, by outcome.";
        let reloads = counters(families, "reloads_total", help, &["outcome"])?;
        Ok(Self(["done", "refused"].map(|outcome| reloads.with_label_values(&[outcome]))))
    }

    /// Counts one reload.
    pub fn count(&self, outcome: ReloadOutcome) {
        let [done, refused] = &self.0;
        match outcome {
            ReloadOutcome::Done => done.inc(),
            ReloadOutcome::Refused => refused.inc(),
        }
    }
}

impl UpgradeCounter {
    /// The counter, with each outcome from the start.
    pub(super) fn new(families: &Families) -> Result<Self, prometheus::Error> {
        let help = "Upgrades to a new process, by outcome: done by this one, or failed from this one.";
        let upgrades = counters(families, "upgrades_total", help, &["outcome"])?;
        Ok(Self(["done", "failed"].map(|outcome| upgrades.with_label_values(&[outcome]))))
    }

    /// Counts one upgrade.
    pub fn count(&self, outcome: UpgradeOutcome) {
        let [done, failed] = &self.0;
        match outcome {
            UpgradeOutcome::Done => done.inc(),
            UpgradeOutcome::Failed => failed.inc(),
        }
    }
}
