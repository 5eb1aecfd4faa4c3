//! Questions and words among the edges of a fleet. The fleet carries them as bytes: what they mean is known to the parts that
//! ask, answer, speak and hear.

use std::collections::{BTreeMap, BTreeSet};

/// Question to all other edges of a fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerQuestion {
    /// What it is about, such as `activity.widget`: lower-case letters, digits, `_` and dots. An edge that does not know
    /// the topic, as it is older, counts as missing.
    pub topic: &'static str,
    /// What is asked, in at most 16 KiB.
    pub body: Vec<u8>,
}

/// Answers of the other edges to one question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerAnswers {
    /// The answers, by the names of the edges.
    pub answers: BTreeMap<String, Vec<u8>>,
    /// The edges of the fleet from which there is no answer.
    pub missing: BTreeSet<String>,
}

/// Word to all other edges of a fleet. Nobody answers it, and an edge that is away misses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerWord {
    /// What it is about: lower-case letters, digits, `_` and dots. An edge that does not know the topic leaves it out.
    pub topic: &'static str,
    /// What is said, in at most 16 KiB.
    pub body: Vec<u8>,
}

/// Part of an edge that hears words of other edges.
pub trait HearsPeers: Send + Sync {
    /// Hears what the edge of this name has said about this topic. It must not block.
    fn hear(&self, edge: &str, topic: &str, body: &[u8]);
}

/// Part of an edge that answers questions of other edges.
pub trait AnswersPeers: Send + Sync {
    /// The answer to a question about this topic, in at most so many bytes. `None`: the topic is another part's, the
    /// question can't be read, or there is no answer that is small enough. Blocks.
    fn answer(&self, topic: &str, body: &[u8], most: usize) -> Option<Vec<u8>>;
}
