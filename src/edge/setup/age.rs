//! Age of the rules: from when on they are too old to judge by.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// What is known of the age of the rules in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RulesAge {
    /// They are this edge's alone, so they are never too old.
    Own,
    /// They are shared: when this edge last knew that it had everything that was published (`None`: it has never known), and
    /// the age from which the other edges take it to deny (`None`: they wait for it for ever).
    Contact(Option<Timestamp>, Option<Duration>),
    /// Another process has taken over, and says from when on they are too old.
    Told(Option<Timestamp>),
}

impl RulesAge {
    /// The instant from which the rules are too old, if they may be as old as `most`.
    pub(super) fn stale_at(self, most: Option<Duration>) -> Option<Timestamp> {
        match self {
            Self::Own => None,
            Self::Told(at) => at,
            Self::Contact(at, announced) => {
                let most = [most, announced].into_iter().flatten().min();
                most.map(|most| at.map_or(Timestamp::UNIX_EPOCH, |at| later(at, most)))
            }
        }
    }

    /// The same, but for when that is.
    pub(super) fn unknown(self) -> Self {
        match self {
            Self::Own => Self::Own,
            Self::Contact(_, announced) => Self::Contact(None, announced),
            Self::Told(at) => Self::Told(at.map(|_| Timestamp::UNIX_EPOCH)),
        }
    }
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn rules_are_too_old_so_long_after_the_last_contact() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let minute = Some(Duration::from_secs(60));
        for (age, most, expected) in [
            (RulesAge::Own, minute, None),
            (RulesAge::Own, None, None),
            (RulesAge::Contact(Some(at(100)), None), minute, Some(at(160))),
            (RulesAge::Contact(Some(at(100)), None), None, None),
            (RulesAge::Contact(Some(at(100)), None), Some(Duration::MAX), Some(Timestamp::MAX)),
            // A longer age counts once the others know of it, a shorter one at once.
            (RulesAge::Contact(Some(at(100)), Some(Duration::from_secs(10))), minute, Some(at(110))),
            (RulesAge::Contact(Some(at(100)), Some(Duration::from_secs(10))), None, Some(at(110))),
            (RulesAge::Contact(Some(at(100)), Some(Duration::from_secs(90))), minute, Some(at(160))),
            (RulesAge::Contact(None, None), minute, Some(Timestamp::UNIX_EPOCH)),
            (RulesAge::Contact(None, None), None, None),
            (RulesAge::Told(Some(at(7))), minute, Some(at(7))),
            (RulesAge::Told(Some(at(7))), None, Some(at(7))),
            (RulesAge::Told(None), minute, None),
        ] {
            assert_eq!(age.stale_at(most), expected, "{age:?} {most:?}");
            // Nothing is known to be in time any more, and what has no end gets none.
            let unknown = age.unknown().stale_at(most);
            assert_eq!(unknown, expected.map(|_| Timestamp::UNIX_EPOCH), "{age:?} {most:?}");
        }
    }
}
