//! Expiries that were told, so that each is told once.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};

use jiff::Timestamp;
use parking_lot::Mutex;

/// Expiries that are remembered. Of more, each is told every time that it is found.
const MOST: usize = 100_000;

/// Expiries that were told: of each a hash, until it is over.
#[derive(Default)]
pub(super) struct ToldExpiries {
    told: Mutex<HashMap<u64, Timestamp>>,
    hasher: RandomState,
}

impl ToldExpiries {
    /// Notes that the expiry of something is told. Returns whether it was not before.
    pub(super) fn note(&self, what: &impl Hash, expires_at: Timestamp, now: Timestamp) -> bool {
        let hash = self.hasher.hash_one((what, expires_at));
        let mut told = self.told.lock();
        if told.contains_key(&hash) {
            return false;
        }
        if told.len() >= MOST {
            told.retain(|_, expires_at| *expires_at > now);
        }
        if told.len() < MOST {
            told.insert(hash, expires_at);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn second(second: usize) -> Timestamp {
        Timestamp::from_second(i64::try_from(second).unwrap()).unwrap()
    }

    #[test]
    fn each_expiry_is_told_once() {
        let told = ToldExpiries::default();
        for (what, expires_at, is_new) in
            [("a", 7, true), ("a", 7, false), ("a", 8, true), ("b", 7, true), ("b", 7, false)]
        {
            assert_eq!(told.note(&what, second(expires_at), second(1)), is_new, "{what} {expires_at}");
        }
    }

    #[test]
    fn those_that_are_over_make_room() {
        let told = ToldExpiries::default();
        for number in 0..MOST {
            assert!(told.note(&number, second(10 + number % 2), second(1)));
        }
        // Without room it is told again.
        assert!(told.note(&"more", second(20), second(1)) && told.note(&"more", second(20), second(1)));
        assert!(told.note(&"more", second(20), second(10)) && !told.note(&"more", second(20), second(10)));
        assert_eq!(told.told.lock().len(), MOST / 2 + 1);
    }
}
