//! Fleet of edges, as the control plane knows it. Whoever shares rules with others implements [`Fleet`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use utoipa::ToSchema;

use super::change::Actor;
use super::error::SaveError;

pub use self::notes::{FleetNote, FleetNotes, NoteFault};
pub use self::peers::{AnswersPeers, HearsPeers, PeerAnswers, PeerQuestion, PeerWord};

mod notes;
mod peers;

/// Fleet of edges that share their rules through a bucket.
#[async_trait]
pub trait Fleet: Send + Sync {
    /// What others are told of this edge, beside its rules. Before anybody asks.
    fn describe(&self, edge: Arc<dyn EdgeFacts>);

    /// Has questions of other edges answered by this part of the edge, too.
    fn answer_by(&self, answerer: Arc<dyn AnswersPeers>);

    /// Asks all other edges, and gives the answers that come within this time, as soon as all have come.
    async fn ask(&self, question: PeerQuestion, within: Duration) -> PeerAnswers;

    /// Has words of other edges heard by this part of the edge, too.
    fn hear_by(&self, hearer: Arc<dyn HearsPeers>);

    /// Tells all other edges a word, as well as it can: it never waits, and what has no room is dropped.
    fn tell_peers(&self, word: PeerWord);

    /// The notes that the edges keep for each other, where they can.
    fn notes(&self) -> Option<Arc<dyn FleetNotes>>;

    /// From which age of its rules this edge denies by itself from now on; `None`: never. The others are told.
    fn set_max_staleness(&self, limit: Option<Duration>);

    /// Every edge, as each answers within this time.
    async fn status(&self, within: Duration) -> FleetStatus;

    /// Waits until every edge enforces the message of this sequence, and names those that don't within this time.
    async fn enforced(&self, sequence: u64, within: Duration) -> Vec<String>;

    /// Fills the bucket again from this edge, and has the fleet follow it.
    ///
    /// # Errors
    ///
    /// A live edge is ahead of this one, or the bucket can't be written.
    async fn restore(&self, actor: Actor) -> Result<RestoredFleet, FleetError>;

    /// Has the whole fleet follow the bucket as it is. `confirm`: how many widgets that may touch at most; `None` asks for
    /// their number.
    ///
    /// # Errors
    ///
    /// It is not confirmed, it touches more widgets, there is no bucket, or it can't be written.
    async fn accept(&self, confirm: Option<usize>, actor: Actor) -> Result<AcceptedBucket, FleetError>;

    /// No longer waits for an edge, until it announces itself again.
    ///
    /// # Errors
    ///
    /// No such edge was ever announced, it is alive, or the bucket can't be written.
    async fn forget(&self, edge: &str, actor: Actor) -> Result<(), FleetError>;

    /// State of the connection to the bucket.
    fn link(&self) -> watch::Receiver<FleetLink>;

    /// What this edge is in the fleet. Nobody is asked.
    fn own(&self) -> OwnEdge;

    /// Number of edges in each state, this one among them, as far as it has heard of them. Nobody is asked.
    fn states(&self) -> BTreeMap<EdgeState, usize>;
}

/// This edge, as it is in its fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnEdge {
    /// The bucket that the rules are in.
    pub bucket: String,
    /// The name of this edge.
    pub name: String,
    /// The sequence up to which it enforces the bucket.
    pub sequence: u64,
}

/// Facts about this edge that other edges are told.
pub trait EdgeFacts: Send + Sync {
    /// Number of open sessions.
    fn sessions(&self) -> usize;

    /// Fingerprint of the ticket keys. Edges of a fleet have the same.
    fn ticket_keys(&self) -> String;
}

/// State of an edge's connection to the bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetLink {
    /// Messages arrive.
    pub connected: bool,
    /// When this edge last knew that it had everything that was published: its rules are at least as new.
    pub current_at: Option<Timestamp>,
    /// The age from which this edge denies, as the other edges know it: they wait for it until then. `None`: for ever.
    pub announced_limit: Option<Duration>,
    /// Since when it knows of messages that are not in force here.
    pub behind_since: Option<Timestamp>,
    /// What is wrong with the bucket: this edge doesn't follow it.
    pub fault: Option<FleetFault>,
}

impl FleetLink {
    /// For how long messages may have been published that are not in force here; zero while everything is. Of what was
    /// published while the bucket can't be reached, this edge knows nothing: it counts from its last contact.
    pub fn lag(&self, now: Timestamp) -> SignedDuration {
        let lost = self.current_at.filter(|_| !self.connected);
        let refused = self.fault.as_ref().map(|fault| fault.since);
        let since = [self.behind_since, refused, lost].into_iter().flatten().min();
        since.map_or(SignedDuration::ZERO, |since| now.duration_since(since).max(SignedDuration::ZERO))
    }
}

/// Fault of a bucket: it is not what this edge has followed. The rules in force stay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FleetFault {
    /// Its stable code: `bucket_missing`, `another_bucket`, `bucket_shrunk`, `bucket_rewritten`, `keys_missing`,
    /// `restored_older` or `fault_elsewhere`.
    #[schema(example = "another_bucket")]
    pub code: String,
    /// What is wrong, and what to do.
    pub detail: String,
    /// Since when.
    pub since: Timestamp,
}

/// Fleet, as one of its edges sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FleetStatus {
    /// The bucket that the rules are in.
    #[schema(example = "embedgate-widgets")]
    pub bucket: String,
    /// The edge that answers.
    #[schema(example = "edge-1")]
    pub edge: String,
    /// Whether it is connected to the bucket.
    pub connected: bool,
    /// The last sequence of the bucket, as far as this edge knows.
    pub last_sequence: u64,
    /// What is wrong with the bucket, if something is: `embedgate fleet restore` or `accept` mends it.
    pub fault: Option<FleetFault>,
    /// All edges, by name.
    pub edges: Vec<EdgeStatus>,
}

/// Edge of a fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct EdgeStatus {
    /// Its name (`rules.nats.edge`).
    #[schema(example = "edge-1")]
    pub name: String,
    /// What this edge knows of it. `current`: it enforces everything that was published. `behind`: not everything yet.
    /// `fault`: it keeps its rules, because the bucket is not the one that it has followed. `silent`: it does not answer, and
    /// saves wait for it. `stale`: it has been silent for longer than its `policy.max_staleness`, so it denies by itself, and
    /// nobody waits for it.
    pub state: EdgeState,
    /// The version of embedgate; `null` if it has never told.
    pub version: Option<String>,
    /// The sequence up to which it enforces the bucket.
    pub sequence: Option<u64>,
    /// The age of its rule book, in seconds: how long ago it last knew that it had everything that was published.
    pub age_seconds: Option<u64>,
    /// The number of open sessions.
    pub sessions: Option<usize>,
    /// The fingerprint of its ticket keys. It should be the same on all edges.
    pub ticket_keys: Option<String>,
    /// The digest of its widgets. Two edges with the same sequence should have the same.
    pub digest: Option<String>,
    /// When this edge last heard of it.
    pub heard_at: Option<Timestamp>,
}

/// State of an edge of a fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EdgeState {
    /// It answers, and enforces everything that was published.
    Current,
    /// It answers, and does not enforce everything yet.
    Behind,
    /// It answers, and keeps its rules, because the bucket is not the one that it has followed.
    Fault,
    /// It does not answer. Saves wait for it.
    Silent,
    /// It has not been heard of for longer than its `policy.max_staleness`, so it denies by itself, and nobody waits for it.
    Stale,
}

impl EdgeState {
    /// All states.
    pub const ALL: [Self; 5] = [Self::Current, Self::Behind, Self::Fault, Self::Silent, Self::Stale];

    /// Its word in answers and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Behind => "behind",
            Self::Fault => "fault",
            Self::Silent => "silent",
            Self::Stale => "stale",
        }
    }
}

/// Bucket that was filled again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RestoredFleet {
    /// Widgets and deletions that were written.
    pub written: usize,
    /// Those that were there already.
    pub unchanged: usize,
    /// The sequence that the fleet enforces when all edges have followed.
    pub sequence: u64,
}

/// Bucket that the fleet follows as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AcceptedBucket {
    /// Widgets whose rules that changes on this edge.
    pub touched: usize,
    /// The sequence that the fleet enforces when all edges have followed.
    pub sequence: u64,
}

/// Failure of a call about the fleet.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FleetError {
    /// A live edge enforces more than this one.
    #[error(
        "the edge `{edge}` is ahead: it enforces message {ahead}, this one {own}; run the restore on that edge"
    )]
    Behind {
        /// The name of the edge that is ahead.
        edge: String,
        /// Its sequence.
        ahead: u64,
        /// The sequence of this edge.
        own: u64,
    },
    /// Nothing was confirmed, or fewer widgets than would change.
    #[error("following the bucket as it is would touch {}; confirm that number to do it", WidgetNumber(*touched))]
    Wide {
        /// Their number.
        touched: usize,
    },
    /// There is no bucket.
    #[error("there is no bucket `{bucket}`; `embedgate fleet restore` makes it from this edge")]
    NoBucket {
        /// Its name.
        bucket: String,
    },
    /// No such edge was ever announced.
    #[error("no edge of the name `{edge}` was ever announced; `GET /v1/fleet` lists those that were")]
    UnknownEdge {
        /// The name.
        edge: String,
    },
    /// The edge is alive, so forgetting it would be an acknowledgement that comes too early.
    #[error("the edge `{edge}` is alive; stop it first")]
    Alive {
        /// The name.
        edge: String,
    },
    /// The bucket can't be read or written, or an edge does not answer.
    #[error("the bucket can't be read or written: {detail}")]
    Unavailable {
        /// Why.
        detail: String,
    },
    /// Something could not be saved.
    #[error(transparent)]
    Save(#[from] SaveError),
}

/// Number of widgets, in a message.
struct WidgetNumber(usize);

impl fmt::Display for WidgetNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(number) = self;
        write!(f, "{number} widget{}", if *number == 1 { "" } else { "s" })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_lag_begins_with_the_earliest_thing_that_is_not_in_force() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let fault = |second| FleetFault {
            code: "bucket_shrunk".to_owned(),
            detail: "shorter".to_owned(),
            since: at(second),
        };
        let link = FleetLink {
            connected: true,
            current_at: Some(at(90)),
            announced_limit: None,
            behind_since: None,
            fault: None,
        };
        for (what, link, lag) in [
            ("in step", link.clone(), 0),
            ("behind", FleetLink { behind_since: Some(at(97)), ..link.clone() }, 3),
            ("a fault", FleetLink { fault: Some(fault(95)), behind_since: Some(at(97)), ..link.clone() }, 5),
            ("cut off", FleetLink { connected: false, behind_since: Some(at(97)), ..link.clone() }, 10),
            ("never connected", FleetLink { connected: false, current_at: None, ..link.clone() }, 0),
            ("a clock that was set back", FleetLink { behind_since: Some(at(200)), ..link }, 0),
        ] {
            assert_eq!(link.lag(at(100)).as_secs(), lag, "{what}");
        }
    }
}
