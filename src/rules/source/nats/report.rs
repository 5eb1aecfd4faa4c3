//! Words between the edges of a fleet: announcements and decisions in the bucket, questions and reports beside it.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Announcement of an edge, in the bucket under its name. Whoever saves waits for it from then on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Announcement {
    pub(super) name: String,
    /// The process: another one of the same name is another.
    pub(super) instance: String,
    pub(super) version: String,
    /// The age of its rules from which it denies by itself.
    #[serde(default)]
    pub(super) max_staleness_seconds: Option<f64>,
    /// It has stopped, so nobody waits for it.
    #[serde(default)]
    pub(super) signed_off: bool,
    /// An operator has said that nobody is to wait for it.
    #[serde(default)]
    pub(super) forgotten: bool,
}

impl Announcement {
    /// That of an edge of which only its report is known. It tells its limit of age when it announces itself.
    pub(super) fn of_live(report: &Report) -> Self {
        Self {
            name: report.name.clone(),
            instance: report.instance.clone(),
            version: report.version.clone(),
            max_staleness_seconds: None,
            signed_off: false,
            forgotten: false,
        }
    }

    /// Whether saves wait for the edge.
    pub(super) fn is_waited_for(&self) -> bool {
        !self.signed_off && !self.forgotten
    }

    /// The age of its rules from which it denies by itself; `None`: never.
    pub(super) fn max_staleness(&self) -> Option<Duration> {
        self.max_staleness_seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
    }
}

/// OperatorDecision of an operator about the whole bucket: every edge follows it as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OperatorDecision {
    /// Above those of all earlier ones.
    pub(super) number: u64,
    pub(super) kind: DecisionKind,
    /// Who has decided, and when.
    pub(super) by: String,
    pub(super) at: Timestamp,
    /// When the bucket was created, in nanoseconds of Unix time: it holds for no other.
    pub(super) created: u64,
    /// How many widgets it may touch, as the operator has confirmed.
    #[serde(default)]
    pub(super) confirm: Option<usize>,
}

/// What an operator has decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum DecisionKind {
    /// The bucket was filled again from an edge.
    Restore,
    /// The bucket is right as it is.
    Accept,
}

impl DecisionKind {
    /// The word in messages and in the log.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Restore => "restore",
            Self::Accept => "accept",
        }
    }
}

/// FleetQuestion to all edges.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct FleetQuestion {
    /// The process that asks, which doesn't answer itself.
    pub(super) from: String,
    /// To be answered once this sequence is in force; `None`: at once.
    #[serde(default)]
    pub(super) sequence: Option<u64>,
}

/// Report of an edge about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) name: String,
    pub(super) instance: String,
    pub(super) version: String,
    /// The bucket that it follows: when it was created.
    pub(super) created: u64,
    /// The sequence up to which the bucket is in force there.
    pub(super) sequence: u64,
    /// The sequence of the last message about a widget among these. Where it is the same, the digest is.
    pub(super) changed: u64,
    pub(super) digest: String,
    /// The number of the last decision that it has followed.
    pub(super) followed: u64,
    /// How long ago it last knew that it had everything.
    #[serde(default)]
    pub(super) age_seconds: Option<u64>,
    pub(super) sessions: usize,
    pub(super) ticket_keys: String,
    /// Why it doesn't follow the bucket.
    #[serde(default)]
    pub(super) fault: Option<String>,
    /// It is the last report of this process.
    #[serde(default)]
    pub(super) ended: bool,
}
