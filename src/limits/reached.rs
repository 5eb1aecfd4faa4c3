//! Limits that are reached: counted, and told once.

use std::sync::Arc;

use jiff::Timestamp;

use embedgate_policy::limits::LimitKind;

use super::clock::{LimitDay, Moment};
use super::minute::MINUTE;
use super::opening::{LimitRefusal, Opening};
use crate::notifications::notice::Notice;
use crate::notifications::notifier::Notify;
use crate::telemetry::metrics::LimitMetrics;

/// Notices and counts of limits that are reached.
pub(super) struct ReachedLimits {
    notices: Arc<dyn Notify>,
    pub(super) metrics: LimitMetrics,
}

/// What was told of one budget.
#[derive(Debug, Default)]
pub(super) struct ToldLimits {
    /// When it was told that no session is left.
    sessions: Option<u64>,
    /// Sessions were fewer since.
    has_been_below: bool,
    /// When it was told that no open is left for the minute.
    minute: Option<u64>,
    /// The day for which it was told that no open is left.
    day: Option<LimitDay>,
}

impl ReachedLimits {
    pub(super) fn new(notices: Arc<dyn Notify>, metrics: LimitMetrics) -> Self {
        Self { notices, metrics }
    }

    /// Counts a limit that an open passes. `is_first`: whether it is the first of which this is told.
    pub(super) fn passed(
        &self,
        opening: &Opening<'_>,
        refusal: &LimitRefusal,
        is_first: impl FnOnce() -> bool,
    ) {
        let LimitRefusal { part, kind, limit, mode, .. } = *refusal;
        self.metrics.passed(part, kind, mode);
        if self.notices.is_wanted() && is_first() {
            self.notices.tell(Notice::LimitReached {
                widget: opening.widget.to_owned(),
                part,
                kind,
                limit: limit.get(),
                mode,
                embedder: Some(opening.embedder.to_owned()),
                at: Timestamp::now(),
            });
        }
    }
}

impl ToldLimits {
    /// Whether this is not told yet of this minute, this day, or since sessions were fewer, of those at most once a minute.
    /// From now on it is.
    pub(super) fn is_first(&mut self, kind: LimitKind, now: &Moment) -> bool {
        let is_over = |told: Option<u64>| told.is_none_or(|told| now.ms.saturating_sub(told) > MINUTE);
        match kind {
            LimitKind::Sessions => {
                let is_first = (self.sessions.is_none() || self.has_been_below) && is_over(self.sessions);
                if is_first {
                    (self.sessions, self.has_been_below) = (Some(now.ms), false);
                }
                is_first
            }
            LimitKind::OpensPerMinute => {
                let is_first = is_over(self.minute);
                if is_first {
                    self.minute = Some(now.ms);
                }
                is_first
            }
            LimitKind::OpensPerDay => {
                let is_first = self.day < Some(now.day);
                if is_first {
                    self.day = Some(now.day);
                }
                is_first
            }
        }
    }

    /// Notes that there was room for a session.
    pub(super) fn below(&mut self) {
        self.has_been_below = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::clock::LimitClock;
    use LimitKind::{OpensPerDay, OpensPerMinute, Sessions};

    fn at(ms: u64, day: LimitDay) -> Moment {
        Moment { ms, day, seconds: 0 }
    }

    #[test]
    fn a_limit_is_told_once() {
        let (mut told, today) = (ToldLimits::default(), LimitDay::default());
        for kind in LimitKind::ALL {
            assert!(told.is_first(kind, &at(0, today)), "{kind}");
            assert!(!told.is_first(kind, &at(1, today)), "{kind}");
            assert!(!told.is_first(kind, &at(60_000, today)), "{kind}");
        }
        let later = at(60_001, today);
        assert!(told.is_first(OpensPerMinute, &later) && !told.is_first(OpensPerDay, &later));
        assert!(!told.is_first(Sessions, &later));
        told.below();
        assert!(told.is_first(Sessions, &later) && !told.is_first(Sessions, &later));
        told.below();
        assert!(!told.is_first(Sessions, &at(60_002, today)), "not again within a minute");
        assert!(told.is_first(Sessions, &at(120_002, today)));
    }

    #[test]
    fn another_day_is_told_by_itself() {
        let mut told = ToldLimits::default();
        let clock = LimitClock::new();
        let today = clock.now().day;
        clock.adopt(today.number() + 1);
        assert!(told.is_first(OpensPerDay, &at(0, today)));
        assert!(told.is_first(OpensPerDay, &at(1, clock.now().day)));
    }
}
