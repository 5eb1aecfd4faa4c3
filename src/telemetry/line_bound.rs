//! Bound on the lines of a log in a second: a flood of requests must not fill a disk.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use jiff::Timestamp;

/// Bound on lines in each second.
#[derive(Debug)]
pub(super) struct LineBound {
    /// Most lines in a second; 0: any number.
    most: AtomicU32,
    /// The second, and the number of its lines: `second:u32 lines:u32`.
    window: AtomicU64,
    left_out: AtomicU64,
}

impl LineBound {
    pub(super) fn new(most: u32) -> Self {
        Self { most: AtomicU32::new(most), window: AtomicU64::new(0), left_out: AtomicU64::new(0) }
    }

    pub(super) fn set(&self, most: u32) {
        self.most.store(most, Ordering::Relaxed);
    }

    /// Whether another line may be written now. If not, it is counted.
    pub(super) fn admits(&self, now: Timestamp) -> bool {
        let most = u64::from(self.most.load(Ordering::Relaxed));
        if most == 0 {
            return true;
        }
        // In 32 bits until the year 2106.
        let second = u64::from(now.as_second() as u32) << 32;
        let next = |window: u64| match window {
            _ if window & !u64::from(u32::MAX) != second => Some(second | 1),
            _ if window & u64::from(u32::MAX) < most => Some(window + 1),
            _ => None,
        };
        let admitted = self.window.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok();
        if !admitted {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
        admitted
    }

    /// Number of lines that were left out and not taken yet.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out.load(Ordering::Relaxed)
    }

    /// Number of lines that were left out since the last call, and the latest second that had lines; `None` if there
    /// were none.
    pub(super) fn take_left_out(&self) -> Option<(u64, Timestamp)> {
        let left_out = self.left_out.swap(0, Ordering::Relaxed);
        let second = self.window.load(Ordering::Relaxed) >> 32;
        let time = Timestamp::from_second(i64::try_from(second).ok()?).ok()?;
        (left_out > 0).then_some((left_out, time))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn each_second_has_its_own_lines() {
        let at = |millisecond| Timestamp::from_millisecond(millisecond).unwrap();
        let bound = LineBound::new(3);
        let admitted =
            |bound: &LineBound, times: &[i64]| times.iter().filter(|time| bound.admits(at(**time))).count();
        assert_eq!(admitted(&bound, &[1_000, 1_100, 1_500, 1_999, 1_999]), 3);
        assert_eq!(bound.take_left_out(), Some((2, at(1_000))));
        assert_eq!(admitted(&bound, &[2_000, 2_001]), 2);
        assert_eq!(bound.take_left_out(), None);
        bound.set(0);
        assert_eq!(admitted(&bound, &[2_002; 100]), 100);
    }

    #[test]
    fn threads_share_it() {
        let bound = LineBound::new(1_000);
        let now = Timestamp::from_second(7).unwrap();
        let admitted: usize = std::thread::scope(|scope| {
            let count = || (0..1_000).filter(|_| bound.admits(now)).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(count)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!((admitted, bound.take_left_out()), (1_000, Some((3_000, now))));
    }
}
