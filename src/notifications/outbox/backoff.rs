//! Back-off: when a notification that has failed is tried again.

use std::time::Duration;

/// Bound of the first wait.
const FIRST: Duration = Duration::from_secs(1);

/// Longest wait.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// Time after which a notification that still fails is given up.
pub(super) const GIVEN_UP: Duration = Duration::from_secs(24 * 60 * 60);

/// Time to the next try of a notification that has failed so often before this time, and was taken so long ago; `None`: it is
/// given up. Exponential with full jitter: `random` is from 0 to 1. `asked`: what the receiver asks for.
pub(super) fn wait(tries: u32, age: Duration, random: f64, asked: Option<Duration>) -> Option<Duration> {
    let left = GIVEN_UP.checked_sub(age).filter(|left| !left.is_zero())?;
    let bound = FIRST.saturating_mul(1_u32.checked_shl(tries.min(31)).unwrap_or(u32::MAX)).min(LONGEST);
    let wait = bound.mul_f64(random.clamp(0.0, 1.0)).max(asked.unwrap_or_default().min(LONGEST));
    // The last try is at the end of the time.
    Some(wait.min(left))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn waits_grow_from_a_second_to_an_hour() {
        let at_most = |tries| wait(tries, Duration::ZERO, 1.0, None).unwrap().as_secs();
        assert_eq!([0, 1, 2, 5, 11, 12, 40, u32::MAX].map(at_most), [1, 2, 4, 32, 2048, 3600, 3600, 3600]);
        assert_eq!(wait(5, Duration::ZERO, 0.25, None), Some(Duration::from_secs(8)));
    }

    #[test]
    fn what_the_receiver_asks_for_is_respected_within_bounds() {
        let asked = |seconds| wait(0, Duration::ZERO, 0.0, Some(Duration::from_secs(seconds)));
        assert_eq!(asked(90), Some(Duration::from_secs(90)));
        assert_eq!(asked(100_000), Some(LONGEST));
        let soon = wait(11, Duration::ZERO, 0.5, Some(Duration::from_secs(3)));
        assert_eq!(soon, Some(Duration::from_secs(1024)), "not sooner than by itself");
    }

    proptest! {
        #[test]
        fn it_is_given_up_after_a_day_and_tried_at_its_end(
            tries in any::<u32>(), age in 0_u64..100_000, random in 0.0..=1.0, asked in proptest::option::of(0_u64..10_000)
        ) {
            let (age, asked) = (Duration::from_secs(age), asked.map(Duration::from_secs));
            match wait(tries, age, random, asked) {
                Some(wait) => prop_assert!(wait <= LONGEST && age + wait <= GIVEN_UP),
                None => prop_assert!(age >= GIVEN_UP),
            }
        }
    }
}
