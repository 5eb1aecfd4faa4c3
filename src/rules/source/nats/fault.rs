//! Faults of a bucket: signs that it is not what this edge has followed. Rules never go backwards by them.

use jiff::Timestamp;

use super::bucket::BucketFacts;
use crate::rules::fleet::FleetFault;
use crate::rules::shared::BucketPosition;

/// Code of the fault that an edge knows from others alone.
pub(super) const ELSEWHERE: &str = "fault_elsewhere";

/// Kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BucketFault {
    /// There is none.
    Missing,
    /// It was made anew.
    Another,
    /// It has lost its end.
    Shrunk { last: u64, applied: u64 },
    /// It has lost its end, and has grown again.
    Rewritten { sequence: u64 },
    /// Other edges keep their rules, as the bucket has lost what they have.
    Elsewhere { edges: usize },
    /// It was filled again from an edge that has less than this one.
    RestoredOlder { lost: usize, known: usize },
    /// Keys are missing, more than may be without a word.
    KeysMissing { missing: usize, known: usize },
}

impl BucketFault {
    /// Its stable code.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::Missing => "bucket_missing",
            Self::Another => "another_bucket",
            Self::Shrunk { .. } => "bucket_shrunk",
            Self::Rewritten { .. } => "bucket_rewritten",
            Self::Elsewhere { .. } => ELSEWHERE,
            Self::RestoredOlder { .. } => "restored_older",
            Self::KeysMissing { .. } => "keys_missing",
        }
    }

    /// What is wrong, and what to do.
    pub(super) fn told(self, bucket: &str) -> FleetFault {
        let wrong = match self {
            Self::Missing => format!("there is no bucket `{bucket}` any more"),
            Self::Another => format!("the bucket `{bucket}` was made anew, so it is another one"),
            Self::Shrunk { last, applied } => {
                format!(
                    "the bucket `{bucket}` ends at message {last}, and message {applied} is in force here"
                )
            }
            Self::Rewritten { sequence } => {
                format!("message {sequence} of the bucket `{bucket}` is not the one that is in force here")
            }
            Self::Elsewhere { edges } => {
                format!(
                    "{edges} other edges keep their rules, as the bucket `{bucket}` has lost what they have"
                )
            }
            Self::RestoredOlder { lost, known } => {
                format!(
                    "the bucket `{bucket}` was filled again from an edge that has less: it lacks {lost} of the {known} widgets \
                     and deletions in force here, or has them at a lower revision"
                )
            }
            Self::KeysMissing { missing, known } => {
                format!(
                    "the bucket `{bucket}` lacks {missing} of the {known} widgets and deletions in force here"
                )
            }
        };
        let mend = match self {
            Self::Missing => "`embedgate fleet restore` makes it again from this edge",
            Self::Elsewhere { .. } => {
                "`embedgate fleet status` names them: restore the bucket from one of them, or accept it as it is"
            }
            _ => {
                "`embedgate fleet restore` fills it again from this edge, `embedgate fleet accept --confirm N` has \
                 all edges follow it as it is"
            }
        };
        let detail = format!("{wrong}; the rules in force stay, and nothing is saved: {mend}");
        FleetFault { code: self.code().into(), detail, since: Timestamp::now() }
    }
}

/// What is wrong with a bucket by its facts. `followed`: the position in force here. `applied`: the last sequence that
/// this process has taken, which may be that of a message without a change.
pub(super) fn by_facts(
    followed: Option<BucketPosition>,
    applied: u64,
    facts: Option<BucketFacts>,
) -> Option<BucketFault> {
    let position = followed?;
    let Some(facts) = facts else { return Some(BucketFault::Missing) };
    let applied = applied.max(position.sequence);
    if facts.created != position.created {
        Some(BucketFault::Another)
    } else if facts.last_sequence < applied {
        Some(BucketFault::Shrunk { last: facts.last_sequence, applied })
    } else {
        None
    }
}

/// What is wrong with a bucket by the message at a sequence that was taken here when it was written at `written`.
/// `found`: when the message that is there now was written; `None` where it is gone, as replaced ones are.
pub(super) fn by_message(sequence: u64, written: u64, found: Option<u64>) -> Option<BucketFault> {
    found.filter(|found| *found != written).map(|_| BucketFault::Rewritten { sequence })
}

/// What is wrong with a bucket by the last announcement of this process, which was published as `published`: its sequence,
/// and when it was written. `found`: the same of the last announcement under its name; nobody takes it away.
pub(super) fn by_announcement(published: (u64, u64), found: Option<(u64, u64)>) -> Option<BucketFault> {
    let (sequence, written) = published;
    let is_there = found.is_some_and(|(last, at)| last > sequence || last == sequence && at == written);
    (!is_there).then_some(BucketFault::Rewritten { sequence })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_at_fault_unless_it_goes_on_where_this_edge_is() {
        let position = BucketPosition { created: 7, sequence: 10, written: 100, followed: 0 };
        let facts =
            |created, last_sequence| Some(BucketFacts { created, last_sequence, keys: 3, is_atomic: true });
        let shrunk = |last, applied| Some(BucketFault::Shrunk { last, applied });
        for (followed, applied, facts, fault) in [
            // Nothing was ever followed: every bucket is right, and none is made.
            (None, 0, None, None),
            (None, 0, facts(9, 0), None),
            (Some(position), 10, facts(7, 10), None),
            (Some(position), 10, facts(7, 500), None),
            (Some(position), 0, facts(7, 10), None),
            (Some(position), 10, None, Some(BucketFault::Missing)),
            (Some(position), 10, facts(8, 10), Some(BucketFault::Another)),
            (Some(position), 10, facts(8, 3), Some(BucketFault::Another)),
            (Some(position), 10, facts(7, 9), shrunk(9, 10)),
            // A message without a change has come after the last change.
            (Some(position), 12, facts(7, 11), shrunk(11, 12)),
        ] {
            assert_eq!(by_facts(followed, applied, facts), fault, "{followed:?} {applied} {facts:?}");
        }
    }

    #[test]
    fn another_message_at_the_same_sequence_is_a_fault_and_a_replaced_one_is_none() {
        assert_eq!(by_message(10, 100, Some(100)), None);
        assert_eq!(by_message(10, 100, None), None);
        assert_eq!(by_message(10, 100, Some(101)), Some(BucketFault::Rewritten { sequence: 10 }));
    }

    #[test]
    fn an_announcement_is_there_until_another_one_comes() {
        let rewritten = Some(BucketFault::Rewritten { sequence: 10 });
        for (found, fault) in [
            (Some((10, 100)), None),
            (Some((11, 200)), None),
            (Some((10, 200)), rewritten),
            (Some((9, 90)), rewritten),
            (None, rewritten),
        ] {
            assert_eq!(by_announcement((10, 100), found), fault, "{found:?}");
        }
    }

    #[test]
    fn a_fault_says_what_to_do() {
        let told = BucketFault::Missing.told("rules");
        assert_eq!(told.code, "bucket_missing");
        assert!(told.detail.contains("`rules`") && told.detail.contains("fleet restore"), "{}", told.detail);
        let told = BucketFault::KeysMissing { missing: 3, known: 4 }.told("rules").detail;
        assert!(told.contains("lacks 3 of the 4") && told.contains("fleet accept"), "{told}");
    }
}
