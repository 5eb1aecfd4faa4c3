//! Revisions: which ones a writer may state, and which one comes next.

/// The highest revision that a writer may state. Above it are those that the edge counts on with where none is stated,
/// up to the last number that every reader of JSON can tell from the next one (RFC 8259 section 6).
pub const MAX_REVISION: u64 = (1 << 53) - (1 << 20);

/// The last one that is counted to.
const LAST_COUNTED: u64 = (1 << 53) - 1;

/// Revision that nobody may state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "revision {0} is above {MAX_REVISION}, the highest that is taken, and would leave the widget none to go on with: \
     count from 1, or leave it out"
)]
pub struct RevisionTooHigh(pub u64);

impl RevisionTooHigh {
    /// The stable code that writers see.
    pub const CODE: &'static str = "invalid_revision";

    /// Whether a stated revision may be.
    ///
    /// # Errors
    /// It is above [`MAX_REVISION`].
    pub fn check(stated: Option<u64>) -> Result<(), RevisionTooHigh> {
        stated.filter(|stated| *stated > MAX_REVISION).map_or(Ok(()), |stated| Err(RevisionTooHigh(stated)))
    }
}

/// The revision after a stored one, where none is stated: one more, and there always is one.
///
/// Where counting comes to its end, and where a store holds a revision from when any number was taken, it goes on right
/// above [`MAX_REVISION`]: above everything that a late push could state.
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
            assert!(error.to_string().contains("9007199253692416, the highest that is taken"), "{error}");
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
