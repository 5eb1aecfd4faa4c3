//! What is kept of one widget. Edges of a fleet exchange it, too, and add it up.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use embedgate_policy::verdict::Reason;

/// Activity of one widget.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WidgetActivity {
    /// Entries that have admitted somebody, by their canonical text.
    pub entries: BTreeMap<Box<str>, EntryActivity>,
    /// Embedders that the verdict let in by right: by an entry, on an open widget, or on the vendor's dashboard.
    pub admitted: FrequentEmbedders,
    /// Embedders that were refused, or that `access: monitor` let through although its list does not admit them.
    pub refused: FrequentEmbedders,
    /// Pages around the widget that browsers have reported. Anybody could have sent such a report.
    pub reported: FrequentEmbedders,
}

/// Activity of one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryActivity {
    /// When it first admitted somebody.
    pub first: Timestamp,
    /// When it last did.
    pub last: Timestamp,
    /// The number of requests.
    pub count: u64,
}

/// The most frequent embedders of one kind, most frequent first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrequentEmbedders {
    /// The embedders.
    pub embedders: Vec<EmbedderActivity>,
    /// An embedder that is not among them was seen at most so often.
    pub untracked: u64,
}

/// Activity of one embedder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmbedderActivity {
    /// Its origin, or the text of an opaque one.
    pub origin: Box<str>,
    /// The number of requests: at most so many, and fewer by at most `error`.
    pub count: u64,
    /// By how much `count` may be too high.
    pub error: u64,
    /// How many of them `access: monitor` let through.
    pub monitored: u64,
    /// The reason of the last verdict: with `monitored`, that of the refusal; `None` for reports.
    pub reason: Option<Reason>,
    /// The entry that last admitted it, canonical.
    pub entry: Option<Box<str>>,
    /// When it was first seen.
    pub first: Timestamp,
    /// When it was last seen.
    pub last: Timestamp,
    /// Its requests by the class of the client, as far as they are classed.
    pub clients: ClientCounts,
}

/// Numbers of requests by the class of the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientCounts {
    /// Of browsers that say where a request comes from.
    pub browser: u64,
    /// Of clients that contradict themselves.
    pub contradictory: u64,
    /// Of clients that say nothing.
    pub unknown: u64,
}

impl WidgetActivity {
    /// Adds what another edge has seen of the same widget.
    pub fn merge(&mut self, _other: Self) {}
}
