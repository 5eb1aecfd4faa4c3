//! What is kept of one widget. Edges of a fleet exchange it, too, and add it up.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use embedgate_policy::verdict::Reason;

/// Embedders of a list that are shown.
pub(super) const SHOWN: usize = 50;

/// Embedders that a list has at most when it was added up.
const MOST: usize = 256;

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
    pub fn merge(&mut self, other: Self) {
        for (entry, activity) in other.entries {
            self.entries.entry(entry).and_modify(|known| known.merge(activity)).or_insert(activity);
        }
        self.admitted.merge(other.admitted);
        self.refused.merge(other.refused);
        self.reported.merge(other.reported);
    }
}

impl EntryActivity {
    fn merge(&mut self, other: Self) {
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.count = self.count.saturating_add(other.count);
    }
}

impl FrequentEmbedders {
    /// Adds the list of another edge. What is told of each embedder stays true: where only one list has it, the other may
    /// have counted it up to its bound on those that it doesn't have.
    fn merge(&mut self, other: Self) {
        let mut others: BTreeMap<Box<str>, EmbedderActivity> =
            other.embedders.into_iter().map(|embedder| (embedder.origin.clone(), embedder)).collect();
        for embedder in &mut self.embedders {
            match others.remove(&embedder.origin) {
                Some(other) => embedder.merge(other),
                None => embedder.may_be_more(other.untracked),
            }
        }
        self.embedders.extend(others.into_values().map(|mut embedder| {
            embedder.may_be_more(self.untracked);
            embedder
        }));
        self.untracked = self.untracked.saturating_add(other.untracked);
        self.sort();
        let cut = self.embedders.split_off(self.embedders.len().min(MOST));
        self.untracked = cut.iter().map(|embedder| embedder.count).fold(self.untracked, u64::max);
    }

    /// Puts the most frequent first.
    pub(super) fn sort(&mut self) {
        self.embedders.sort_by(|one, other| other.rank().cmp(&one.rank()));
    }
}

impl EmbedderActivity {
    /// What is compared between embedders: the greater, the more frequent.
    pub(super) fn rank(&self) -> (u64, Timestamp, Reverse<&str>) {
        (self.count.saturating_sub(self.error), self.last, Reverse(&*self.origin))
    }

    /// Notes that it may have been seen more often, at most by so many times.
    pub(super) fn may_be_more(&mut self, times: u64) {
        self.count = self.count.saturating_add(times);
        self.error = self.error.saturating_add(times);
    }

    /// Adds another record of the same embedder.
    pub fn merge(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        self.error = self.error.saturating_add(other.error);
        self.monitored = self.monitored.saturating_add(other.monitored);
        if other.last > self.last {
            self.reason = other.reason;
            self.entry = other.entry.or(self.entry.take());
        } else {
            self.entry = self.entry.take().or(other.entry);
        }
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.clients.merge(other.clients);
    }
}

impl ClientCounts {
    /// Adds other requests.
    pub fn merge(&mut self, Self { browser, contradictory, unknown }: Self) {
        self.browser = self.browser.saturating_add(browser);
        self.contradictory = self.contradictory.saturating_add(contradictory);
        self.unknown = self.unknown.saturating_add(unknown);
    }
}

#[cfg(test)]
mod tests;
