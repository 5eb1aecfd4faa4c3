#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

impl MinuteWindow {
    /// Counts, and adds opens.
    fn add(&mut self, now: u64, count: u32, most: usize) -> u64 {
        self.count(now);
        self.add_counted(count, most)
    }
}

/// Each open by itself.
#[derive(Default)]
struct OpenList(Vec<u64>);

impl OpenList {
    fn count(&self, now: u64) -> u32 {
        self.0.iter().filter(|at| now - **at < OUT).count() as u32
    }
}

#[derive(Clone, Debug)]
enum Step {
    Passes(u64),
    Opens(u32),
    /// One of those that were counted, by its place.
    TakesBack(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => prop_oneof![0..3_u64, 0..2_000_u64, Just(59_999), Just(60_000), Just(60_001), 100_000..200_000_u64]
            .prop_map(Step::Passes),
        4 => (1..4_u32).prop_map(Step::Opens),
        1 => (0..20_usize).prop_map(Step::TakesBack),
    ];
    prop::collection::vec(step, 1..200)
}

proptest! {
    #[test]
    fn it_counts_what_a_list_of_all_opens_counts(begin in prop_oneof![Just(0), Just(u64::from(u32::MAX) - 30_000)], steps in steps()) {
        let (mut window, mut list, mut now) = (MinuteWindow::default(), OpenList::default(), begin);
        for step in steps {
            match step {
                Step::Passes(ms) => now += ms,
                Step::Opens(count) => {
                    prop_assert_eq!(window.add(now, count, usize::MAX), now);
                    list.0.extend((0..count).map(|_| now));
                }
                Step::TakesBack(place) => {
                    if !list.0.is_empty() {
                        let at = list.0.remove(place % list.0.len());
                        window.take_back(at, 1);
                    }
                }
            }
            prop_assert_eq!(window.count(now), list.count(now));
            let total: u32 = window.ages(now).iter().map(|(_, count)| count).sum();
            prop_assert_eq!(total, list.count(now));
        }
    }

    #[test]
    fn opens_of_before_are_counted_as_if_it_had_seen_them(
        steps in prop::collection::vec((0..5_000_u64, 1..4_u32), 1..60), own in 0..3_u32, later in 0..70_000_u64,
    ) {
        let (mut window, mut now) = (MinuteWindow::default(), 200_000);
        for (ms, count) in steps {
            now += ms;
            window.add(now, count, usize::MAX);
        }
        let mut other = MinuteWindow::default();
        // On another clock, and after it has counted something itself.
        let there = now + 77_777;
        other.add(there, own, usize::MAX);
        other.add_past(there, &window.ages(now), usize::MAX);
        window.add(now, own, usize::MAX);
        prop_assert_eq!(other.ages(there), window.ages(now));
        prop_assert_eq!(other.count(there + later), window.count(now + later));
    }

    #[test]
    fn it_says_when_there_is_room(steps in steps(), limit in 1..10_u32) {
        let (mut window, mut now) = (MinuteWindow::default(), 0);
        for step in steps {
            match step {
                Step::Passes(ms) => now += ms,
                Step::Opens(count) => {
                    window.add(now, count, usize::MAX);
                }
                Step::TakesBack(_) => {}
            }
            let until = window.until_below(now, limit).as_millis() as u64;
            if window.count(now) < limit {
                prop_assert_eq!(until, 0);
            } else {
                let (runs, total, newest) = (window.runs.clone(), window.total, window.newest);
                let mut later = MinuteWindow { runs, total, newest };
                prop_assert!(later.count(now + until - 1) >= limit);
                prop_assert!(later.count(now + until) < limit);
            }
        }
    }
}

#[test]
fn opens_are_within_any_minute_that_has_seen_them() {
    let mut window = MinuteWindow::default();
    window.add(1_000, 1, usize::MAX);
    assert_eq!((window.count(61_000), window.count(61_001)), (1, 0));
}

#[test]
fn a_thread_that_comes_late_is_counted_with_the_newest() {
    let mut window = MinuteWindow::default();
    window.add(5_000, 1, usize::MAX);
    assert_eq!(window.add(4_990, 1, usize::MAX), 5_000);
    assert_eq!(window.count(65_000), 2);
    assert_eq!(window.count(65_001), 0);
}

#[test]
fn what_goes_back_goes_from_its_own_time() {
    let mut window = MinuteWindow::default();
    let first = window.add(0, 1, usize::MAX);
    window.add(30_000, 1, usize::MAX);
    window.take_back(first, 1);
    assert_eq!((window.count(60_001), window.count(90_000), window.count(90_001)), (1, 1, 0));
    window.take_back(first, 1);
    assert_eq!(window.count(90_001), 0);
}

#[test]
fn a_bounded_window_counts_the_oldest_for_a_shorter_time() {
    let mut window = MinuteWindow::default();
    let times: Vec<u64> = (0..10).map(|second| window.add(second * 1_000, 1, 4)).collect();
    assert_eq!((window.runs.len(), window.count(9_000)), (4, 10));
    // Those of the first seven seconds are counted as if they were of the first.
    assert_eq!((window.count(60_000), window.count(60_001)), (10, 3));
    window.take_back(times[9], 1);
    assert_eq!(window.count(60_001), 2);
}

#[test]
fn an_empty_window_takes_no_memory() {
    let mut window = MinuteWindow::default();
    for ms in 0..100 {
        window.add(ms, 1, usize::MAX);
    }
    assert!(window.heap() >= 100 * 8 && window.heap() <= 200 * 8 + 64);
    window.shrink();
    assert!(window.heap() > 0);
    window.count(200_000);
    window.shrink();
    assert_eq!(window.heap(), 0);
}
