//! Frequent embedders of one list: exact counts of some, and a bound on what the others can have.
//!
//! A list counts the embedders that it has exactly. One that it doesn't have is counted in a sketch that all lists share,
//! and takes the place of the list's least embedder once it may have been seen more often. This is the space-saving
//! algorithm with a filter before it: without one, a flood of origins that each come once would take the place of those
//! that come now and then, and make the counts of all newcomers useless.
//!
//! What holds, whatever comes, over restarts too:
//!
//! - An embedder in the list was seen at most `count` times, and at least `count - error` times.
//! - Any other embedder was seen at most `untracked` times. So whoever was seen more often than that is in the list.

use std::cmp::Reverse;

use jiff::Timestamp;
use serde::de::IntoDeserializer;
use serde::de::value::Error as ValueError;
use serde::{Deserialize, Deserializer, Serialize};

use super::seen::{ClientCounts, EmbedderActivity, FrequentEmbedders};
use super::sketch::{FrequencySketch, SketchKey};
use super::tally::TalliedEmbedder;
use embedgate_policy::verdict::Reason;

/// Embedders that a list has room for. Fewer are shown: those behind them may be ahead one day.
pub(super) const CAPACITY: usize = 128;

/// Embedders that it has room for where it may not grow: a list of nobody would tell nothing.
pub(super) const FEWEST: usize = 8;

/// Embedders of one list, as they are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct KeptEmbedders {
    #[serde(rename = "m")]
    embedders: Vec<KeptEmbedder>,
    /// Nobody else was seen more often.
    #[serde(rename = "u")]
    untracked: u64,
    /// The contents of the sketch that `base` belongs to.
    #[serde(rename = "s")]
    epoch: u64,
    /// Nobody else was seen more often before those contents began.
    #[serde(rename = "b")]
    base: u64,
}

/// Embedder, as it is kept. Times are seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct KeptEmbedder {
    #[serde(rename = "o")]
    pub(super) origin: Box<str>,
    #[serde(rename = "n")]
    count: u64,
    #[serde(rename = "e", skip_serializing_if = "is_zero")]
    error: u64,
    #[serde(rename = "m", skip_serializing_if = "is_zero")]
    monitored: u64,
    #[serde(rename = "r", skip_serializing_if = "Option::is_none", deserialize_with = "known_reason")]
    reason: Option<Reason>,
    #[serde(rename = "t", skip_serializing_if = "Option::is_none")]
    entry: Option<Box<str>>,
    #[serde(rename = "f")]
    first: u32,
    #[serde(rename = "l")]
    last: u32,
    #[serde(rename = "b", skip_serializing_if = "is_zero")]
    browser: u64,
    #[serde(rename = "c", skip_serializing_if = "is_zero")]
    contradictory: u64,
    #[serde(rename = "u", skip_serializing_if = "is_zero")]
    unknown: u64,
}

/// Sightings of one embedder that a list is to count.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewSightings<'s> {
    pub(super) origin: &'s str,
    pub(super) tallied: &'s TalliedEmbedder,
    /// The entry that admitted it.
    pub(super) entry: Option<&'s str>,
}

impl KeptEmbedders {
    /// Counts sightings. `may_grow`: beyond [`FEWEST`]. `key`: the places of this list's embedders in the sketch. Returns the
    /// embedder as it is now in the list; `None` where it is not.
    pub(super) fn count(
        &mut self,
        new: NewSightings<'_>,
        may_grow: bool,
        sketch: &mut FrequencySketch,
        key: impl Fn(&FrequencySketch, &str) -> SketchKey,
    ) -> Option<&KeptEmbedder> {
        if let Some(at) = self.embedders.iter().position(|known| *known.origin == *new.origin) {
            let known = self.embedders.get_mut(at)?;
            known.add(new);
            return Some(known);
        }
        if self.epoch != sketch.epoch() {
            (self.epoch, self.base) = (sketch.epoch(), self.untracked);
        }
        let of_new = key(sketch, new.origin);
        let before = self.untracked.min(self.base.saturating_add(sketch.estimate(of_new)));
        let places = if may_grow { CAPACITY } else { FEWEST };
        if self.embedders.len() < places {
            self.embedders.push(KeptEmbedder::new(new, before));
            return self.embedders.last();
        }
        let bound = before.saturating_add(new.tallied.count);
        let least = self.embedders.iter_mut().min_by_key(|known| (known.count, known.last));
        match least.filter(|least| least.count < bound) {
            Some(least) => {
                // What it had is in the sketch from now on, as if it had never been in the list.
                let of_least = key(sketch, &least.origin);
                sketch.raise(of_least, least.count.saturating_sub(self.base));
                self.untracked = self.untracked.max(least.count);
                *least = KeptEmbedder::new(new, before);
                Some(&*least)
            }
            None => {
                sketch.add(of_new, new.tallied.count);
                self.untracked = self.untracked.max(bound);
                None
            }
        }
    }

    /// Whether this embedder was never counted before, as far as that is known. The kill switch says nothing of those whom it
    /// refuses, so they are new to every other reason.
    pub(super) fn is_new(
        &self,
        (origin, reason): (&str, Option<Reason>),
        sketch: &FrequencySketch,
        key: impl Fn(&FrequencySketch, &str) -> SketchKey,
    ) -> bool {
        let known = self.embedders.iter().find(|known| *known.origin == *origin);
        if let Some(known) = known {
            let is_switch = |reason| reason == Some(Reason::WidgetDisabled);
            return is_switch(known.reason) && !is_switch(reason);
        }
        self.untracked == 0 || sketch.estimate(key(sketch, origin)) == 0
    }

    /// Nobody else was seen more often.
    pub(super) fn untracked(&self) -> u64 {
        self.untracked
    }

    /// The list for people and other edges, most frequent first.
    pub(super) fn told(&self) -> FrequentEmbedders {
        let embedders = self.embedders.iter().map(KeptEmbedder::told).collect();
        let mut told = FrequentEmbedders { embedders, untracked: self.untracked };
        told.sort();
        told
    }
}

impl KeptEmbedder {
    /// One that was seen at most so often before.
    fn new(new: NewSightings<'_>, before: u64) -> Self {
        let first = new.tallied.first;
        let mut embedder =
            Self { origin: new.origin.into(), count: before, error: before, first, ..Self::default() };
        embedder.add(new);
        embedder
    }

    fn add(&mut self, NewSightings { origin: _, tallied, entry }: NewSightings<'_>) {
        self.count = self.count.saturating_add(tallied.count);
        self.monitored = self.monitored.saturating_add(tallied.monitored);
        if tallied.last >= self.last {
            self.reason = tallied.reason;
        }
        if let Some(entry) = entry.filter(|entry| self.entry.as_deref() != Some(entry)) {
            self.entry = Some(entry.into());
        }
        self.first = self.first.min(tallied.first);
        self.last = self.last.max(tallied.last);
        let ClientCounts { browser, contradictory, unknown } = tallied.clients;
        self.browser = self.browser.saturating_add(browser);
        self.contradictory = self.contradictory.saturating_add(contradictory);
        self.unknown = self.unknown.saturating_add(unknown);
    }

    /// What is compared between embedders: the greater, the more frequent.
    pub(super) fn rank(&self) -> (u64, u32, Reverse<&str>) {
        (self.count.saturating_sub(self.error), self.last, Reverse(&*self.origin))
    }

    /// The embedder for people and other edges.
    pub(super) fn told(&self) -> EmbedderActivity {
        EmbedderActivity {
            origin: self.origin.clone(),
            count: self.count,
            error: self.error,
            monitored: self.monitored,
            reason: self.reason,
            entry: self.entry.clone(),
            first: second(self.first),
            last: second(self.last),
            clients: ClientCounts {
                browser: self.browser,
                contradictory: self.contradictory,
                unknown: self.unknown,
            },
        }
    }
}

/// A reason, or `None` for one that only later versions know.
fn known_reason<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<Reason>, D::Error> {
    let name = Option::<String>::deserialize(reader)?;
    let read =
        |name: String| Reason::deserialize(IntoDeserializer::<ValueError>::into_deserializer(name)).ok();
    Ok(name.and_then(read))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// The instant that a second begins at.
pub(super) fn second(since_1970: u32) -> Timestamp {
    Timestamp::from_second(since_1970.into()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
