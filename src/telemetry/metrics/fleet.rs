//! Fleet of edges, as one of them counts it.

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, IntCounter, IntGaugeVec};

use super::registration::{Families, counters, gauges, register};

/// Bucket bounds of the time until every edge enforces a change, in seconds.
const BUCKETS: [f64; 16] =
    [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];

/// Metrics of a fleet.
#[derive(Debug)]
pub struct FleetMetrics {
    edges: IntGaugeVec,
    enforced_duration: Histogram,
    enforced: IntCounter,
    behind: IntCounter,
}

impl FleetMetrics {
    /// The metrics. The states of edges come with the first call of [`Self::set_edges`].
    pub(super) fn new(families: &Families) -> Result<Self, prometheus::Error> {
        let help =
            "Edges of the fleet, by the state that this edge knows of them; without a fleet, all are zero.";
        let edges = gauges(families, "fleet_edges", help, &["state"])?;
        let help = "Changes that were to be answered once every edge enforces them (`wait=fleet`), by outcome: every one \
                    did in time, or some were behind.";
        let waits = counters(families, "fleet_waits_total", help, &["outcome"])?;
        let help = "Time from a change that is published and in force on this edge until every edge enforces it. Waits that \
                    ended with edges behind are only in `fleet_waits_total`.";
        let duration = HistogramOpts::new("fleet_enforced_duration_seconds", help).buckets(BUCKETS.to_vec());
        Ok(Self {
            edges,
            enforced_duration: register(families, Histogram::with_opts(duration)?)?,
            enforced: waits.with_label_values(&["enforced"]),
            behind: waits.with_label_values(&["behind"]),
        })
    }

    /// Sets the number of edges in a state.
    pub fn set_edges(&self, state: &'static str, edges: usize) {
        self.edges.with_label_values(&[state]).set(i64::try_from(edges).unwrap_or(i64::MAX));
    }

    /// Counts a change that was waited for.
    pub fn waited(&self, took: Duration, is_enforced: bool) {
        if is_enforced {
            self.enforced.inc();
            self.enforced_duration.observe(took.as_secs_f64());
        } else {
            self.behind.inc();
        }
    }
}
