//! Totals of traffic, read from the counters for people who follow it: requests are not counted a second time.

use prometheus::Histogram;
use prometheus::core::Metric;

/// Number of buckets of the time of an answer that have a bound.
pub(super) const DURATION_BUCKETS: usize = 16;

/// Bound of the first bucket, in seconds. Each further one is twice as long.
pub(super) const FIRST_DURATION: f64 = 0.000_25;

/// What was answered since the process was started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrafficTotals {
    /// Requests that were allowed, those that only `monitor` let through among them.
    pub allowed: u64,
    /// Requests that were denied.
    pub denied: u64,
    /// Requests that `monitor` let through, and `enforce` would deny.
    pub monitored: u64,
    /// Answers with a status from 500.
    pub errors: u64,
    /// Answers by their time; the last bucket has those above all bounds.
    pub(super) durations: [u64; DURATION_BUCKETS + 1],
}

impl TrafficTotals {
    /// What came since `before`.
    pub fn since(&self, before: &Self) -> Self {
        let mut durations = self.durations;
        for (now, before) in durations.iter_mut().zip(before.durations) {
            *now = now.saturating_sub(before);
        }
        Self {
            allowed: self.allowed.saturating_sub(before.allowed),
            denied: self.denied.saturating_sub(before.denied),
            monitored: self.monitored.saturating_sub(before.monitored),
            errors: self.errors.saturating_sub(before.errors),
            durations,
        }
    }

    /// The time within which this share of the answers was complete, in seconds: the bound of the bucket that it falls in, and
    /// the largest bound for what took longer. `None`: there was no answer.
    pub fn within(&self, share: f64) -> Option<f64> {
        let all: u64 = self.durations.iter().sum();
        if all == 0 {
            return None;
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "a count of requests, to be compared with a share of itself"
        )]
        let is_enough = |count: u64| count as f64 >= all as f64 * share;
        let (mut count, mut bound) = (0, FIRST_DURATION);
        for more in self.durations.iter().take(DURATION_BUCKETS) {
            count += more;
            if is_enough(count) {
                return Some(bound);
            }
            bound *= 2.0;
        }
        Some(bound / 2.0)
    }

    /// Adds the answers of a histogram with these buckets.
    pub(super) fn add(&mut self, answers: &Histogram) {
        let told = answers.metric();
        let told = told.get_histogram();
        let (mut before, all) = (0, told.get_sample_count());
        let counts = told.get_bucket().iter().map(|bucket| bucket.cumulative_count()).chain(Some(all));
        for (sum, count) in self.durations.iter_mut().zip(counts) {
            *sum += count.saturating_sub(before);
            before = count;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use super::*;
    use crate::telemetry::metrics::Metrics;
    use embedgate_policy::decision::Decision;
    use embedgate_policy::verdict::{Class, Reason, Verdict};

    fn decision(verdict: Verdict, reason: Reason, would_deny: Option<Reason>) -> Decision {
        Decision { verdict, reason, would_deny, entry: None, near_miss: None }
    }

    #[test]
    fn totals_are_those_of_the_counters() {
        let metrics = Metrics::new().unwrap();
        assert_eq!(metrics.traffic(), TrafficTotals::default());
        let allowed = decision(Verdict::Allow, Reason::Exact, None);
        let monitored = decision(Verdict::Allow, Reason::Unrestricted, Some(Reason::NotListed));
        let denied = decision(Verdict::Deny, Reason::NotListed, None);
        for told in [&allowed, &allowed, &monitored, &denied] {
            metrics.decided(Class::Asset, told, Duration::from_micros(1));
        }
        for (status, times) in [(200, 97), (403, 1), (500, 1), (502, 1)] {
            for _ in 0..times {
                metrics.answered(Some(Class::Asset), status, Duration::from_millis(1));
            }
        }
        let before = metrics.traffic();
        assert_eq!((before.allowed, before.denied, before.monitored, before.errors), (3, 1, 1, 2));
        assert_eq!((before.within(0.5), before.within(0.99)), (Some(0.001), Some(0.001)));

        metrics.decided(Class::Session, &denied, Duration::from_micros(1));
        metrics.answered(Some(Class::Frame), 503, Duration::from_secs(100));
        // A session is open for as long as somebody stays.
        metrics.answered(Some(Class::Session), 101, Duration::from_secs(3600));
        let since = metrics.traffic().since(&before);
        assert_eq!((since.allowed, since.denied, since.monitored, since.errors), (0, 1, 0, 1));
        assert_eq!(since.within(0.5), Some(8.192), "the largest bound");
    }

    #[test]
    fn a_share_of_the_answers_has_the_bound_of_its_bucket() {
        let of = |counts: &[(usize, u64)]| {
            let mut totals = TrafficTotals::default();
            counts.iter().for_each(|(at, count)| totals.durations[*at] = *count);
            (totals.within(0.5), totals.within(0.99))
        };
        for (counts, p50, p99) in [
            (&[][..], None, None),
            (&[(0, 1)], Some(0.000_25), Some(0.000_25)),
            (&[(0, 50), (2, 50)], Some(0.000_25), Some(0.001)),
            (&[(0, 49), (2, 51)], Some(0.001), Some(0.001)),
            (&[(1, 99), (3, 1)], Some(0.000_5), Some(0.000_5)),
            (&[(1, 98), (3, 2)], Some(0.000_5), Some(0.002)),
        ] {
            assert_eq!(of(counts), (p50, p99), "{counts:?}");
        }
    }
}
