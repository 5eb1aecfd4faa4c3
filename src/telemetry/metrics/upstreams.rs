//! Metrics of upstreams and their servers. Their series come and go with them.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus::{Histogram, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec};

use super::registration::{Families, counters, gauges, histograms};

/// Bucket bounds of the time until an answer, in seconds.
const BUCKETS: [f64; 14] =
    [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

/// Metrics of all upstreams.
#[derive(Clone, Debug)]
pub struct UpstreamMetrics(Arc<UpstreamFamilies>);

#[derive(Debug)]
struct UpstreamFamilies {
    errors: IntCounterVec,
    healthy: IntGaugeVec,
    duration: HistogramVec,
    owners: Mutex<SeriesOwners>,
}

/// Newest owner of each series, by its labels. After a reload, an upstream and its successor may have the same labels.
#[derive(Debug, Default)]
struct SeriesOwners {
    claims: u64,
    newest: BTreeMap<Vec<String>, u64>,
}

/// Claim to a series, which is removed with its newest owner.
#[derive(Debug)]
struct SeriesClaim {
    families: Arc<UpstreamFamilies>,
    labels: Vec<String>,
    owner: u64,
}

/// Gauge of one server: 1 while requests are sent to it.
#[derive(Debug)]
pub struct HealthGauge {
    gauge: IntGauge,
    _claim: SeriesClaim,
}

/// Histogram of one upstream: the time until its answers begin.
#[derive(Debug)]
pub struct AnswerDuration {
    duration: Histogram,
    _claim: SeriesClaim,
}

impl UpstreamMetrics {
    /// The families, without a series.
    pub(super) fn new(families: &Families) -> Result<Self, prometheus::Error> {
        let errors = counters(
            families,
            "upstream_errors_total",
            "Failed tries at servers of an upstream, by upstream and kind. A request may be tried at several.",
            &["upstream", "kind"],
        )?;
        let healthy = gauges(
            families,
            "upstream_healthy",
            "1 while requests are sent to a server, 0 while it is out, because requests or health checks failed.",
            &["upstream", "server"],
        )?;
        let duration = histograms(
            families,
            "upstream_duration_seconds",
            "Time from a request's first try at an upstream until the head of its answer.",
            &["upstream"],
            BUCKETS.to_vec(),
        )?;
        Ok(Self(Arc::new(UpstreamFamilies { errors, healthy, duration, owners: Mutex::default() })))
    }

    /// Begins to count an upstream's failures, those of each kind at zero.
    pub fn start_counting(&self, upstream: &str, kinds: &[&str]) {
        for kind in kinds {
            drop(self.0.errors.with_label_values(&[upstream, kind]));
        }
    }

    /// Counts a failed try.
    pub fn failed(&self, upstream: &str, kind: &str) {
        self.0.errors.with_label_values(&[upstream, kind]).inc();
    }

    /// The gauge of a server that was just found, which is healthy until it proves otherwise.
    pub fn server(&self, upstream: &str, server: &str) -> HealthGauge {
        let claim = self.claim(vec![upstream.to_owned(), server.to_owned()]);
        // A server of the upstream before goes on with a gauge that is not told any more. An error means that there is
        // none.
        let _ = self.0.healthy.remove_label_values(&[upstream, server]);
        let gauge = self.0.healthy.with_label_values(&[upstream, server]);
        gauge.set(1);
        HealthGauge { gauge, _claim: claim }
    }

    /// The histogram of an upstream. One of the same name goes on with it.
    pub fn duration(&self, upstream: &str) -> AnswerDuration {
        let claim = self.claim(vec![upstream.to_owned()]);
        AnswerDuration { duration: self.0.duration.with_label_values(&[upstream]), _claim: claim }
    }

    fn claim(&self, labels: Vec<String>) -> SeriesClaim {
        let mut owners = self.0.owners.lock();
        owners.claims += 1;
        let owner = owners.claims;
        owners.newest.insert(labels.clone(), owner);
        SeriesClaim { families: Arc::clone(&self.0), labels, owner }
    }
}

impl Drop for SeriesClaim {
    fn drop(&mut self) {
        let mut owners = self.families.owners.lock();
        if owners.newest.get(&self.labels) != Some(&self.owner) {
            return;
        }
        owners.newest.remove(&self.labels);
        let labels: Vec<&str> = self.labels.iter().map(String::as_str).collect();
        // An error means that it is gone already.
        let _ = match labels.len() {
            1 => self.families.duration.remove_label_values(&labels),
            _ => self.families.healthy.remove_label_values(&labels),
        };
    }
}

impl HealthGauge {
    /// Tells whether requests are sent to the server.
    pub fn set(&self, is_healthy: bool) {
        self.gauge.set(i64::from(is_healthy));
    }
}

impl AnswerDuration {
    /// Counts an answer that began after this many seconds.
    pub fn observe(&self, seconds: f64) {
        self.duration.observe(seconds);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crate::telemetry::metrics::Metrics;

    #[test]
    fn series_come_and_go_with_their_owners() {
        let metrics = Metrics::new().unwrap();
        let told = |line: &str| metrics.render().unwrap().lines().any(|told| told == line);
        let of =
            |value: &str| format!("embedgate_upstream_healthy{{server=\"a:1\",upstream=\"app\"}} {value}");
        let count =
            |value: &str| format!("embedgate_upstream_duration_seconds_count{{upstream=\"app\"}} {value}");
        assert!(told("# TYPE embedgate_upstream_healthy gauge"));
        assert!(told("# TYPE embedgate_upstream_duration_seconds histogram"));

        let (old, old_time) = (metrics.upstreams.server("app", "a:1"), metrics.upstreams.duration("app"));
        assert!(told(&of("1")) && told(&count("0")));
        old.set(false);
        old_time.observe(0.1);
        assert!(told(&of("0")) && told(&count("1")));

        // A reload: the successor is there before the other one goes.
        let (new, new_time) = (metrics.upstreams.server("app", "a:1"), metrics.upstreams.duration("app"));
        assert!(told(&of("1")), "a new server has not failed yet");
        old.set(false);
        new_time.observe(0.1);
        assert!(told(&of("1")) && told(&count("2")), "the newest is told, and times go on");
        drop((old, old_time));
        assert!(told(&of("1")) && told(&count("2")));
        drop((new, new_time));
        assert!(!told(&of("1")) && !told(&count("2")));
        assert!(told("# TYPE embedgate_upstream_healthy gauge"), "the name stays");
    }
}
