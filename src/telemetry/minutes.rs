//! Traffic by minute: what came in each of the last 24 hours' minutes, kept in memory.
//!
//! Requests pay nothing for it: the counters that there are anyway are read once at the end of each minute.

use std::collections::VecDeque;

use parking_lot::Mutex;
use serde::Serialize;
use utoipa::ToSchema;

use super::metrics::TrafficTotals;

/// Most minutes that are kept: those of a day.
pub const MOST_MINUTES: usize = 24 * 60;

/// Length of a minute, in seconds.
const MINUTE: i64 = 60;

/// How far ahead of the clock a minute may be to be kept, in seconds: the clock may be wrong now, or have been wrong then.
const MOST_AHEAD: i64 = 3600;

/// Traffic of one minute.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct TrafficMinute {
    /// When it began, in seconds of Unix time.
    #[schema(example = 1_798_797_600)]
    pub at: i64,
    /// Requests that were allowed, those that only `monitor` let through among them.
    pub allowed: u64,
    /// Requests that were denied.
    pub denied: u64,
    /// Requests that `monitor` let through, and `enforce` would deny.
    pub monitored: u64,
    /// Answers with a status from 500: of upstreams, and of the edge where an upstream failed or rules are too old.
    pub errors: u64,
    /// The time in which half of the answers were complete, in seconds, as the upper bound of a bucket of the metrics, at most
    /// 8.192. Sessions are left out: they last as long as somebody stays. `null`: there were none.
    pub p50: Option<f64>,
    /// The same for 99 of 100 answers.
    pub p99: Option<f64>,
}

/// Minutes of the last day.
#[derive(Debug, Default)]
pub struct TrafficMinutes(Mutex<KeptMinutes>);

#[derive(Debug, Default)]
struct KeptMinutes {
    /// From the oldest to the newest.
    whole: VecDeque<TrafficMinute>,
    /// The totals at the end of the last one.
    before: TrafficTotals,
}

impl TrafficMinute {
    /// The second at which the minute of `now` begins.
    pub fn beginning(now: i64) -> i64 {
        now - now.rem_euclid(MINUTE)
    }

    fn new(at: i64, traffic: &TrafficTotals) -> Self {
        let TrafficTotals { allowed, denied, monitored, errors, .. } = *traffic;
        Self { at, allowed, denied, monitored, errors, p50: traffic.within(0.5), p99: traffic.within(0.99) }
    }
}

impl TrafficMinutes {
    /// Ends the minute that began at `at`, with these totals. One that a clock has told before is not told again, unless the
    /// clock was far ahead then: what it told of days that are still to come is dropped.
    pub fn end(&self, at: i64, totals: TrafficTotals) {
        let mut kept = self.0.lock();
        kept.whole.retain(|minute| minute.at - at <= MOST_AHEAD);
        if kept.whole.back().is_some_and(|last| last.at >= at) {
            return;
        }
        let minute = TrafficMinute::new(at, &totals.since(&kept.before));
        if kept.whole.len() == MOST_MINUTES {
            kept.whole.pop_front();
        }
        kept.whole.push_back(minute);
        kept.before = totals;
    }

    /// The minutes that began in so many before the minute of `now`, oldest first.
    pub fn last(&self, minutes: usize, now: i64) -> Vec<TrafficMinute> {
        let back = i64::try_from(minutes.min(MOST_MINUTES)).unwrap_or_default() * MINUTE;
        let until = TrafficMinute::beginning(now);
        let is_one = |minute: &&TrafficMinute| (until - back..=until).contains(&minute.at);
        self.0.lock().whole.iter().filter(is_one).copied().collect()
    }

    /// The minute of `now`, as far as it has gone with these totals.
    pub fn under_way(&self, now: i64, totals: &TrafficTotals) -> TrafficMinute {
        let so_far = totals.since(&self.0.lock().before);
        TrafficMinute::new(TrafficMinute::beginning(now), &so_far)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(allowed: u64, denied: u64) -> TrafficTotals {
        let mut totals = TrafficTotals::default();
        (totals.allowed, totals.denied) = (allowed, denied);
        totals
    }

    fn told(minutes: &[TrafficMinute]) -> Vec<(i64, u64, u64)> {
        minutes.iter().map(|minute| (minute.at, minute.allowed, minute.denied)).collect()
    }

    #[test]
    fn a_clock_that_was_far_ahead_ends_no_chart() {
        let (minutes, ahead) = (TrafficMinutes::default(), 365 * 24 * 3600);
        minutes.end(ahead, totals(3, 0));
        minutes.end(ahead + 60, totals(5, 0));
        // It is right again.
        assert!(minutes.last(60, 130).is_empty());
        minutes.end(60, totals(6, 0));
        minutes.end(120, totals(8, 1));
        assert_eq!(told(&minutes.last(60, 185)), [(60, 1, 0), (120, 2, 1)]);
        assert_eq!(told(&[minutes.under_way(185, &totals(9, 1))]), [(180, 1, 0)]);
    }

    #[test]
    fn a_minute_has_what_the_counters_went_up_by() {
        let minutes = TrafficMinutes::default();
        assert!(minutes.last(60, 130).is_empty());
        assert_eq!(told(&[minutes.under_way(59, &totals(2, 0))]), [(0, 2, 0)]);
        minutes.end(0, totals(3, 1));
        minutes.end(60, totals(3, 1));
        minutes.end(120, totals(10, 2));
        // The clock was set back.
        minutes.end(60, totals(11, 2));
        assert_eq!(told(&minutes.last(60, 185)), [(0, 3, 1), (60, 0, 0), (120, 7, 1)]);
        assert_eq!(told(&minutes.last(2, 185)), [(60, 0, 0), (120, 7, 1)]);
        assert_eq!(told(&[minutes.under_way(185, &totals(12, 2))]), [(180, 2, 0)]);
        // Nobody has ended the minutes in between.
        assert_eq!(told(&minutes.last(1, 600)), []);
    }

    #[test]
    fn a_day_is_kept() {
        let minutes = TrafficMinutes::default();
        for minute in 0..1500 {
            minutes.end(minute * 60, totals(0, 0));
        }
        let kept = minutes.last(usize::MAX, 1500 * 60);
        assert_eq!((kept.len(), kept[0].at), (MOST_MINUTES, 60 * 60));
    }
}
