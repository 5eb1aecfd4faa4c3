//! Count of sessions and opens that one limit is compared with.

use std::num::NonZeroU32;
use std::time::Duration;

use embedgate_policy::limits::{LimitKind, PartLimits};

use super::clock::{LimitDay, Moment};
use super::minute::MinuteWindow;

/// Limits in the order in which they are compared: of two that are reached, the refusal that lasts longer is told.
const ORDER: [LimitKind; 3] = [LimitKind::OpensPerDay, LimitKind::OpensPerMinute, LimitKind::Sessions];

/// Time after which a session may be tried again. Nobody knows when one ends.
const SESSION_RETRY: Duration = Duration::from_secs(5);

/// Count of what is used of the limits of one widget, embedder or address. It knows no limits, so a changed one holds at once.
#[derive(Debug, Default)]
pub(super) struct UseCounter {
    sessions: u32,
    minute: MinuteWindow,
    /// The day of which [`Self::today`] is.
    day: LimitDay,
    today: u32,
}

/// What is taken of a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Weight {
    pub(super) opens: u32,
    pub(super) sessions: u32,
}

/// How much is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct UsedNow {
    pub(super) sessions: u32,
    pub(super) minute: u32,
    pub(super) today: u32,
}

/// Limit that is passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PassedLimit {
    pub(super) kind: LimitKind,
    pub(super) limit: NonZeroU32,
    pub(super) retry_after: Duration,
}

/// What was taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    /// How much was used before.
    pub(super) before: UsedNow,
    /// The limit that is passed where limits are only monitored.
    pub(super) beyond: Option<PassedLimit>,
    /// When the opens were counted, for [`UseCounter::give_back`].
    pub(super) at: u64,
}

/// How limits are compared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Comparison<'l> {
    pub(super) limits: &'l PartLimits,
    /// Whether what passes them is taken all the same.
    pub(super) is_monitoring: bool,
    /// Runs that a minute may have.
    pub(super) runs: usize,
}

impl UsedNow {
    pub(super) fn of(&self, kind: LimitKind) -> u32 {
        match kind {
            LimitKind::Sessions => self.sessions,
            LimitKind::OpensPerMinute => self.minute,
            LimitKind::OpensPerDay => self.today,
        }
    }

    /// The first limit of which `is_spent` says that nothing is left. Sessions are asked for opens, too: whoever hands out a
    /// token for one needs room for it.
    pub(super) fn spent(
        &self,
        limits: &PartLimits,
        weight: Weight,
        mut is_spent: impl FnMut(LimitKind, NonZeroU32, u32) -> bool,
    ) -> Option<(LimitKind, NonZeroU32)> {
        ORDER.into_iter().filter(|kind| *kind == LimitKind::Sessions || weight.opens > 0).find_map(|kind| {
            let limit = limits.of(kind)?;
            is_spent(kind, limit, self.of(kind)).then_some((kind, limit))
        })
    }
}

impl UseCounter {
    /// How much is used.
    pub(super) fn used(&mut self, now: &Moment) -> UsedNow {
        if self.day < now.day {
            (self.day, self.today) = (now.day, 0);
        }
        UsedNow { sessions: self.sessions, minute: self.minute.count(now.ms), today: self.today }
    }

    /// Takes so much, or says which limit that passes.
    pub(super) fn take(
        &mut self,
        now: &Moment,
        weight: Weight,
        comparison: Comparison<'_>,
    ) -> Result<Taken, PassedLimit> {
        let Comparison { limits, is_monitoring, runs } = comparison;
        let before = self.used(now);
        let spent = before.spent(limits, weight, |_, limit, used| used >= limit.get());
        let beyond = spent.map(|(kind, limit)| self.passed(now, kind, limit));
        if let Some(passed) = beyond
            && !is_monitoring
        {
            return Err(passed);
        }
        Ok(Taken { before, beyond, at: self.add_now(weight, runs) })
    }

    /// Adds so much, whatever the limits say, and returns when the opens were counted.
    pub(super) fn add(&mut self, now: &Moment, weight: Weight, runs: usize) -> u64 {
        self.used(now);
        self.add_now(weight, runs)
    }

    /// The same once what is used now was looked at.
    fn add_now(&mut self, weight: Weight, runs: usize) -> u64 {
        self.sessions = self.sessions.saturating_add(weight.sessions);
        self.today = self.today.saturating_add(weight.opens);
        self.minute.add_counted(weight.opens, runs)
    }

    /// Gives back what was taken. `at`: when the opens were counted.
    pub(super) fn give_back(&mut self, at: u64, day: LimitDay, weight: Weight) {
        self.sessions = self.sessions.saturating_sub(weight.sessions);
        if weight.opens > 0 {
            self.minute.take_back(at, weight.opens);
            if self.day == day {
                self.today = self.today.saturating_sub(weight.opens);
            }
        }
    }

    /// Adds opens of this day that are not of the last minute.
    pub(super) fn add_earlier(&mut self, now: &Moment, opens: u32) {
        self.used(now);
        self.today = self.today.saturating_add(opens);
    }

    /// Adds opens of the last minute that the day has counted already, each so long ago, the oldest first.
    pub(super) fn add_minute(&mut self, now: &Moment, ages: &[(u32, u32)], runs: usize) {
        self.minute.add_past(now.ms, ages, runs);
    }

    /// The opens of the last minute, the oldest first: how long ago, in milliseconds, and how many.
    pub(super) fn ages(&mut self, now: &Moment) -> Vec<(u32, u32)> {
        self.minute.ages(now.ms)
    }

    /// This limit as one that is passed.
    pub(super) fn passed(&mut self, now: &Moment, kind: LimitKind, limit: NonZeroU32) -> PassedLimit {
        let retry_after = match kind {
            LimitKind::Sessions => SESSION_RETRY,
            LimitKind::OpensPerMinute => self.minute.until_below(now.ms, limit.get()),
            LimitKind::OpensPerDay => now.day_left(),
        };
        PassedLimit { kind, limit, retry_after }
    }

    /// Whether nothing is counted. Then it takes no memory beside its own size.
    pub(super) fn is_idle(&mut self, now: &Moment) -> bool {
        let is_idle = self.used(now) == UsedNow::default();
        self.minute.shrink();
        is_idle
    }

    /// Memory beside its own size.
    pub(super) fn heap(&self) -> usize {
        self.minute.heap()
    }
}

#[cfg(test)]
mod tests;
