//! Verdicts, as the metrics count them.

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec};

use super::registration::{Families, counters, register};
use super::traffic::TrafficTotals;
use embedgate_policy::decision::{Decision, can_be_monitored, is_possible};
use embedgate_policy::verdict::{Class, Reason, Verdict};

/// Counters of verdicts, each outcome that can be from the start, and the histogram of their times.
#[derive(Debug)]
pub(super) struct DecisionMetrics {
    verdicts: IntCounterVec,
    /// By [`place`]; `None` for what can't be.
    by_outcome: Vec<Option<IntCounter>>,
    monitored: IntCounterVec,
    /// By class and reason.
    monitored_by_reason: Vec<Option<IntCounter>>,
    duration: Histogram,
}

impl DecisionMetrics {
    pub(super) fn new(families: &Families) -> Result<Self, prometheus::Error> {
        let help = "Verdicts, by class of route, verdict and reason.";
        let verdicts = counters(families, "decisions_total", help, &["class", "verdict", "reason"])?;
        let help =
            "Requests that `monitor` allowed, as access or as mode of limits, and `enforce` would deny.";
        let monitored = counters(families, "decisions_would_deny_total", help, &["class", "reason"])?;
        let duration = HistogramOpts::new("decision_duration_seconds", "Time to reach one verdict.")
            .buckets(prometheus::exponential_buckets(50e-9, 2.0, 16)?);
        let by_outcome = outcomes().map(|(class, verdict, reason)| {
            is_possible(class, verdict, reason)
                .then(|| verdicts.with_label_values(&labels(class, verdict, reason)))
        });
        let by_reason = Class::ALL.into_iter().flat_map(|class| Reason::ALL.map(|reason| (class, reason)));
        let monitored_by_reason = by_reason.map(|(class, reason)| {
            can_be_monitored(class, reason)
                .then(|| monitored.with_label_values(&[class.as_str(), reason.as_str()]))
        });
        Ok(Self {
            by_outcome: by_outcome.collect(),
            verdicts,
            monitored_by_reason: monitored_by_reason.collect(),
            monitored,
            duration: register(families, Histogram::with_opts(duration)?)?,
        })
    }

    /// Counts one verdict, and the time it took.
    pub(super) fn decided(&self, class: Class, decision: &Decision, took: Duration) {
        let Decision { verdict, reason, .. } = *decision;
        match self.by_outcome.get(place(class, verdict, reason)) {
            Some(Some(counter)) => counter.inc(),
            _ => self.verdicts.with_label_values(&labels(class, verdict, reason)).inc(),
        }
        if let Some(reason) = decision.would_deny {
            match self.monitored_by_reason.get(class as usize * Reason::ALL.len() + reason as usize) {
                Some(Some(counter)) => counter.inc(),
                _ => self.monitored.with_label_values(&[class.as_str(), reason.as_str()]).inc(),
            }
        }
        self.duration.observe(took.as_secs_f64());
    }

    /// Adds the verdicts to totals.
    pub(super) fn add_to(&self, totals: &mut TrafficTotals) {
        for (counter, (_, verdict, _)) in self.by_outcome.iter().zip(outcomes()) {
            let count = counter.as_ref().map_or(0, IntCounter::get);
            match verdict {
                Verdict::Allow => totals.allowed += count,
                Verdict::Deny => totals.denied += count,
            }
        }
        totals.monitored += self.monitored_by_reason.iter().flatten().map(IntCounter::get).sum::<u64>();
    }
}

/// All combinations, in the order of [`place`].
fn outcomes() -> impl Iterator<Item = (Class, Verdict, Reason)> {
    Class::ALL.into_iter().flat_map(|class| {
        Verdict::ALL.into_iter().flat_map(move |verdict| Reason::ALL.map(|reason| (class, verdict, reason)))
    })
}

fn place(class: Class, verdict: Verdict, reason: Reason) -> usize {
    (class as usize * Verdict::ALL.len() + verdict as usize) * Reason::ALL.len() + reason as usize
}

fn labels(class: Class, verdict: Verdict, reason: Reason) -> [&'static str; 3] {
    [class.as_str(), verdict.as_str(), reason.as_str()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_has_its_own_place() {
        for (at, (class, verdict, reason)) in outcomes().enumerate() {
            assert_eq!(place(class, verdict, reason), at, "{class} {verdict} {reason}");
        }
    }
}
