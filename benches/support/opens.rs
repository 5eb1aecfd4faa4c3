//! Opens that were let in, held against a limit.

use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// How many were let in within any 60 seconds, at least: each was counted at some moment between being sent and being
/// answered. So these are all that were answered before the end, but for as many as were sent before the beginning.
pub fn most_in_a_minute(let_in: impl IntoIterator<Item = (Duration, Duration)>) -> usize {
    let (mut sent, mut answered): (Vec<_>, Vec<_>) = let_in.into_iter().unzip();
    sent.sort_unstable();
    answered.sort_unstable();
    let within = |(before, begun): (usize, &Duration)| {
        answered.partition_point(|answered| *answered < *begun + MINUTE).saturating_sub(before)
    };
    sent.iter().enumerate().map(within).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_surely_within_a_minute_is_counted() {
        let seconds = |sent, answered| (Duration::from_secs(sent), Duration::from_secs(answered));
        assert_eq!(most_in_a_minute([]), 0);
        assert_eq!(most_in_a_minute((0..200).map(|second| seconds(second, second))), 60);
        // The first may have been counted when it was sent, the last when it was answered.
        assert_eq!(most_in_a_minute([seconds(0, 5), seconds(59, 61)]), 1);
        assert_eq!(most_in_a_minute([seconds(0, 5), seconds(2, 59), seconds(58, 61)]), 2);
        assert_eq!(most_in_a_minute((0..50).map(|_| seconds(7, 9))), 50);
    }
}
