//! Words for numbers and times.

use jiff::Timestamp;

/// A number of things: "1 widget", "2 widgets".
pub(super) fn counted(number: usize, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

/// Whole days from `now` until `at`, negative for what is over.
pub(super) fn days_until(at: Timestamp, now: Timestamp) -> i64 {
    at.duration_since(now).as_secs().div_euclid(24 * 60 * 60)
}
