//! Clock of the limits: a minute goes by the monotonic clock, a day by that of the system.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::minute::MINUTE;
use super::opening::OpenedAt;

const DAY: u64 = 24 * 60 * 60;

/// What the monotonic clock shows at first, in milliseconds: opens of another process are older than that.
const BEGIN: u64 = 2 * MINUTE;

/// Clock of the limits.
#[derive(Debug)]
pub(super) struct LimitClock {
    begun: Instant,
    /// The [`LimitDay`].
    day: AtomicU64,
    /// When it began, in milliseconds of the monotonic clock.
    since: Mutex<u64>,
}

/// Moment at which something is opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// Milliseconds of the monotonic clock.
    pub(super) ms: u64,
    pub(super) day: LimitDay,
    /// Seconds since 1970, by the clock of the system.
    pub(super) seconds: i64,
}

/// Day of opens: how many days have begun in this process, and in the low 32 bits the days since 1970. So a later day is
/// greater, also where the clock was set back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LimitDay(u64);

impl LimitDay {
    /// Days since 1970.
    pub(super) fn number(self) -> u32 {
        self.0 as u32
    }

    fn next(self, number: u32) -> Self {
        Self((((self.0 >> 32) + 1) << 32) | u64::from(number))
    }
}

impl LimitClock {
    pub(super) fn new() -> Self {
        Self {
            begun: Instant::now(),
            day: AtomicU64::new(number(Timestamp::now().as_second()).into()),
            since: Mutex::new(BEGIN),
        }
    }

    /// The time now.
    pub(super) fn now(&self) -> Moment {
        self.moment(OpenedAt::now())
    }

    /// The moment at which the clocks showed this.
    pub(super) fn moment(&self, OpenedAt { monotonic, system }: OpenedAt) -> Moment {
        let begun = monotonic.saturating_duration_since(self.begun);
        let ms = begun.as_secs() * 1000 + u64::from(begun.subsec_millis());
        self.at(ms + BEGIN, system.as_second())
    }

    fn at(&self, ms: u64, seconds: i64) -> Moment {
        let mut day = LimitDay(self.day.load(Ordering::Acquire));
        let begun = i64::from(day.number()) * DAY as i64;
        if !(begun..begun + DAY as i64).contains(&seconds) {
            day = self.turn(ms, number(seconds), DAY * 1000);
        }
        Moment { ms, day, seconds }
    }

    /// Goes on with a day that began in another process, or before a restart. An earlier one is over. Returns the day as which
    /// it counts: one that is further ahead than tomorrow was told by a clock that was wrong, and counts as today. Else that day
    /// would go on for as long as it is ahead.
    pub(super) fn adopt(&self, number: u32) -> u32 {
        let now = self.now();
        let today = self::number(now.seconds);
        let number = if number > today.saturating_add(1) { today } else { number };
        self.turn(now.ms, number, u64::MAX);
        number
    }

    /// Begins that day, whatever the system's clock says.
    #[cfg(test)]
    pub(super) fn turn_to(&self, number: u32) {
        self.turn(self.now().ms, number, u64::MAX);
    }

    /// Begins a later day; an earlier one only after the present one has lasted for so many milliseconds.
    fn turn(&self, ms: u64, number: u32, longest: u64) -> LimitDay {
        let mut since = self.since.lock();
        let mut day = LimitDay(self.day.load(Ordering::Acquire));
        if number > day.number() || number < day.number() && ms.saturating_sub(*since) >= longest {
            *since = ms;
            day = day.next(number);
            self.day.store(day.0, Ordering::Release);
        }
        day
    }
}

impl Moment {
    /// Time until the day is over.
    pub(super) fn day_left(&self) -> Duration {
        let end = (u64::from(self.day.number()) + 1) * DAY;
        let left = end.saturating_sub(u64::try_from(self.seconds).unwrap_or_default());
        Duration::from_secs(left.clamp(1, DAY))
    }
}

fn number(seconds: i64) -> u32 {
    u32::try_from(seconds.div_euclid(DAY as i64)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOME_DAY: i64 = 20_000 * DAY as i64;

    fn clock() -> LimitClock {
        let clock = LimitClock::new();
        clock.day.store(20_000, Ordering::Release);
        clock
    }

    #[test]
    fn a_clock_that_is_set_back_gives_no_day_twice() {
        let clock = clock();
        let day = |ms: u64, seconds: i64| clock.at(BEGIN + ms, SOME_DAY + seconds).day;
        let first = day(0, 0);
        assert_eq!((first.number(), day(5, DAY as i64 - 1)), (20_000, first));
        let second = day(10, DAY as i64);
        assert!(second > first && second.number() == 20_001);
        // Back by an hour: the second day goes on, and so it does once the clock is there again.
        assert_eq!(day(20, DAY as i64 - 3600), second);
        assert_eq!(day(30, DAY as i64 + 5), second);
        // A clock that was years ahead is believed after a day, and the new day is another, though its number is smaller.
        let ahead = day(40, 1000 * DAY as i64);
        assert_eq!(day(50, 2 * DAY as i64), ahead);
        assert_eq!(day(39 + DAY * 1000, 3 * DAY as i64), ahead);
        let right = day(40 + DAY * 1000, 3 * DAY as i64);
        assert!(right > ahead && right.number() == 20_003);
    }

    #[test]
    fn a_day_ends_at_midnight() {
        let clock = clock();
        let left = |seconds: i64| clock.at(BEGIN, SOME_DAY + seconds).day_left().as_secs();
        assert_eq!((left(0), left(1), left(DAY as i64 - 1)), (DAY, DAY - 1, 1));
        // Set back, the day is told to last for one day at most.
        assert_eq!(left(-3600), DAY);
    }

    #[test]
    fn a_day_of_before_a_restart_goes_on() {
        let clock = LimitClock::new();
        let today = clock.now().day;
        assert_eq!(clock.adopt(today.number() - 1), today.number() - 1);
        assert_eq!(clock.now().day, today);
        for ahead in [2, 1000, u32::MAX - today.number()] {
            assert_eq!(clock.adopt(today.number() + ahead), today.number(), "its clock was wrong");
            assert_eq!(clock.now().day, today);
        }
        assert_eq!(clock.adopt(today.number() + 1), today.number() + 1);
        assert_eq!(clock.now().day.number(), today.number() + 1);
    }
}
