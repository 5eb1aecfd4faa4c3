//! Revisions: the range that a writer may state, and the next one.

/// Highest revision that a writer may state. Above it, the edge counts on when no revision is stated, up to
/// the last integer that every reader of JSON can represent exactly (RFC 8259 section 6).
pub const MAX_REVISION: u64 = (1 << 53) - (1 << 20);

/// Last revision that the edge counts to.
const LAST_COUNTED: u64 = (1 << 53) - 1;

/// Error of a stated revision above the maximum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("revision {0} is above the maximum {MAX_REVISION}; count from 1, or leave it out")]
pub struct RevisionTooHigh(pub u64);

impl RevisionTooHigh {
    /// The stable code that writers see.
    pub const CODE: &'static str = "invalid_revision";

    /// Checks a stated revision.
    ///
    /// # Errors
    /// The revision is above [`MAX_REVISION`].
    pub fn check(stated: Option<u64>) -> Result<(), RevisionTooHigh> {
        stated.filter(|stated| *stated > MAX_REVISION).map_or(Ok(()), |stated| Err(RevisionTooHigh(stated)))
    }
}

/// The revision after a stored one, if none is stated: one more.
///
/// At the last number, and for an old store with a higher revision, counting continues right above
/// [`MAX_REVISION`]. That is above everything that a late push could state.
#[must_use]
pub fn next_revision(stored: u64) -> u64 {
    if stored < LAST_COUNTED { stored + 1 } else { MAX_REVISION + 1 }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_stated_has_an_upper_end() {
        for stated in [None, Some(0), Some(1), Some(MAX_REVISION)] {
            assert_eq!(RevisionTooHigh::check(stated), Ok(()));
        }
        for stated in [MAX_REVISION + 1, LAST_COUNTED, 1 << 53, u64::MAX] {
            let error = RevisionTooHigh::check(Some(stated)).unwrap_err();
            assert_eq!(error, RevisionTooHigh(stated));
            assert!(error.to_string().contains("above the maximum 9007199253692416"), "{error}");
        }
    }

    #[test]
    fn counting_ends_nowhere() {
        for (stored, next) in [
            (0, 1),
            (7, 8),
            (MAX_REVISION, MAX_REVISION + 1),
            (LAST_COUNTED - 1, LAST_COUNTED),
            (LAST_COUNTED, MAX_REVISION + 1),
            (1 << 53, MAX_REVISION + 1),
            (u64::MAX, MAX_REVISION + 1),
        ] {
            assert_eq!(next_revision(stored), next, "{stored}");
        }
    }

    proptest! {
        #[test]
        fn the_next_one_is_another_and_above_all_that_may_be_stated_and_was(stored: u64, late in 0..=MAX_REVISION) {
            let next = next_revision(stored);
            prop_assert!(next != stored && next <= LAST_COUNTED);
            prop_assert!(next > stored || (next > MAX_REVISION && stored >= LAST_COUNTED));
            prop_assert!(late > stored || next > late);
            // As a number of JavaScript's.
            prop_assert_eq!(next as f64 as u64, next);
        }
    }
}
