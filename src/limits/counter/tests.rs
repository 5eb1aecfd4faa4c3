#![allow(clippy::unwrap_used)]

use super::*;
use crate::limits::clock::LimitClock;
use LimitKind::{OpensPerDay, OpensPerMinute, Sessions};

const OPEN: Weight = Weight { opens: 1, sessions: 0 };
const SESSION: Weight = Weight { opens: 0, sessions: 1 };
const WEBSOCKET: Weight = Weight { opens: 1, sessions: 1 };

fn limits(sessions: u32, minute: u32, day: u32) -> PartLimits {
    PartLimits {
        sessions: NonZeroU32::new(sessions),
        opens_per_minute: NonZeroU32::new(minute),
        opens_per_day: NonZeroU32::new(day),
    }
}

fn enforced(limits: &PartLimits) -> Comparison<'_> {
    Comparison { limits, is_monitoring: false, runs: usize::MAX }
}

fn after(now: &Moment, ms: u64) -> Moment {
    Moment { ms: now.ms + ms, ..*now }
}

#[test]
fn each_kind_is_refused_once_it_is_spent() {
    let now = LimitClock::new().now();
    // Limits, what is taken twice, what is refused then.
    let table = [
        (limits(2, 0, 0), SESSION, Some(Sessions)),
        (limits(2, 0, 0), WEBSOCKET, Some(Sessions)),
        (limits(2, 0, 0), OPEN, None),
        (limits(0, 2, 0), OPEN, Some(OpensPerMinute)),
        (limits(0, 2, 0), WEBSOCKET, Some(OpensPerMinute)),
        (limits(0, 2, 0), SESSION, None),
        (limits(0, 0, 2), OPEN, Some(OpensPerDay)),
        (limits(0, 2, 2), OPEN, Some(OpensPerDay)),
        (limits(2, 2, 2), WEBSOCKET, Some(OpensPerDay)),
        (limits(2, 2, 0), WEBSOCKET, Some(OpensPerMinute)),
        (limits(2, 2, 2), SESSION, Some(Sessions)),
        (limits(3, 3, 3), WEBSOCKET, None),
        (limits(0, 0, 0), WEBSOCKET, None),
    ];
    for (limits, weight, refused) in table {
        let mut counter = UseCounter::default();
        for used in 0..2 {
            let took = counter.take(&now, weight, enforced(&limits)).unwrap();
            assert_eq!((took.before.today, took.beyond), (used * weight.opens, None));
        }
        let third = counter.take(&now, weight, enforced(&limits)).err();
        assert_eq!(third.map(|passed| passed.kind), refused, "{limits:?} {weight:?}");
        let used = counter.used(&now);
        let count = if refused.is_some() { 2 } else { 3 };
        assert_eq!((used.sessions, used.today), (count * weight.sessions, count * weight.opens));
        assert_eq!(used.minute, used.today);
    }
}

#[test]
fn an_open_needs_room_for_a_session_though_it_takes_none() {
    let (now, limits) = (LimitClock::new().now(), limits(1, 0, 0));
    let mut counter = UseCounter::default();
    counter.take(&now, SESSION, enforced(&limits)).unwrap();
    let passed = counter.take(&now, OPEN, enforced(&limits)).unwrap_err();
    assert_eq!((passed.kind, passed.retry_after), (Sessions, SESSION_RETRY));
    counter.give_back(0, now.day, SESSION);
    counter.take(&now, OPEN, enforced(&limits)).unwrap();
}

#[test]
fn a_limit_says_when_to_try_again() {
    let clock = LimitClock::new();
    let now = clock.now();
    let mut counter = UseCounter::default();
    counter.add(&now, OPEN, usize::MAX);
    counter.add(&after(&now, 10_000), OPEN, usize::MAX);
    let later = after(&now, 20_000);
    let minute = |counter: &mut UseCounter, limit| {
        counter.take(&later, OPEN, enforced(&limits(0, limit, 0))).unwrap_err().retry_after.as_millis()
    };
    assert_eq!((minute(&mut counter, 2), minute(&mut counter, 1)), (40_001, 50_001));
    let day = counter.take(&later, OPEN, enforced(&limits(0, 0, 2))).unwrap_err();
    assert_eq!(day.retry_after, later.day_left());
    // What was said is so.
    let early = after(&later, 40_000);
    assert!(counter.take(&early, OPEN, enforced(&limits(0, 2, 0))).is_err());
    counter.take(&after(&early, 1), OPEN, enforced(&limits(0, 2, 0))).unwrap();
}

#[test]
fn a_changed_limit_holds_at_once() {
    let now = LimitClock::new().now();
    let mut counter = UseCounter::default();
    for _ in 0..5 {
        counter.take(&now, WEBSOCKET, enforced(&limits(5, 5, 5))).unwrap();
    }
    assert!(counter.take(&now, WEBSOCKET, enforced(&limits(3, 3, 3))).is_err());
    assert_eq!(counter.used(&now).sessions, 5);
    counter.take(&now, WEBSOCKET, enforced(&limits(6, 6, 6))).unwrap();
}

#[test]
fn monitored_limits_are_passed() {
    let (now, limits) = (LimitClock::new().now(), limits(1, 0, 0));
    let mut counter = UseCounter::default();
    let comparison = Comparison { is_monitoring: true, ..enforced(&limits) };
    assert_eq!(counter.take(&now, SESSION, comparison).unwrap().beyond, None);
    let beyond = counter.take(&now, SESSION, comparison).unwrap().beyond.unwrap();
    assert_eq!((beyond.kind, beyond.limit.get(), counter.used(&now).sessions), (Sessions, 1, 2));
}

#[test]
fn a_day_begins_with_nothing() {
    let clock = LimitClock::new();
    let now = clock.now();
    let mut counter = UseCounter::default();
    let at = counter.add(&now, WEBSOCKET, usize::MAX);
    clock.adopt(now.day.number() + 1);
    let next = clock.now();
    // A thread that read the clock before midnight counts on the new day.
    counter.add(&next, OPEN, usize::MAX);
    counter.add(&now, OPEN, usize::MAX);
    assert_eq!(counter.used(&next), UsedNow { sessions: 1, minute: 3, today: 2 });
    // What is given back of yesterday is not taken off today.
    counter.give_back(at, now.day, WEBSOCKET);
    assert_eq!(counter.used(&next), UsedNow { sessions: 0, minute: 2, today: 2 });
    assert!(!counter.is_idle(&next));
    assert_eq!(counter.used(&after(&next, 60_001)).minute, 0);
    assert!(!counter.is_idle(&after(&next, 60_001)), "the day is counted to its end");
    clock.turn_to(next.day.number() + 1);
    assert!(counter.is_idle(&after(&clock.now(), 60_001)));
    assert_eq!(counter.heap(), 0);
}
