//! What a storage keeps of a bucket that a fleet shares: up to where it was followed, and the last message of each widget.

use std::time::Duration;

use jiff::Timestamp;
use ring::digest::{Context, SHA256};

use super::WidgetState;
use crate::rules::shared::BucketPosition;
use embedgate_policy::widget::WidgetId;

/// Last message about a widget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::rules) struct SharedKey {
    pub(in crate::rules) sequence: u64,
    /// What the widget's state adds to the digest of all.
    pub(in crate::rules) term: u128,
}

/// Share of a bucket that is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::rules) struct KeptShare {
    /// `None`: no bucket was ever followed.
    pub(in crate::rules) position: Option<BucketPosition>,
    /// The terms of all widgets, added up.
    pub(in crate::rules) digest: u128,
    /// Number of widgets and deletions that came from the bucket.
    pub(in crate::rules) keys: u64,
    /// The last contact to it.
    pub(in crate::rules) contact: Option<KeptContact>,
}

/// Last contact to a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::rules) struct KeptContact {
    /// When this edge last knew that it had everything that was published.
    pub(in crate::rules) at: Timestamp,
    /// The age from which it denies, as the other edges know it; `None`: never.
    pub(in crate::rules) limit: Option<Duration>,
}

impl KeptShare {
    /// Counts another last message of a widget, in place of the one before.
    pub(in crate::rules) fn turn(&mut self, before: Option<SharedKey>, now: Option<SharedKey>) {
        let term = |key: Option<SharedKey>| key.map_or(0, |key| key.term);
        self.digest = self.digest.wrapping_sub(term(before)).wrapping_add(term(now));
        let keys = self.keys.saturating_add(u64::from(now.is_some()));
        self.keys = keys.saturating_sub(u64::from(before.is_some()));
    }
}

/// Part of a commit that is about a bucket.
#[derive(Clone, Debug, Default)]
pub(in crate::rules) struct ShareCommit {
    /// The last message of each of these widgets; `None`: the bucket knows nothing of it. Each widget once.
    pub(in crate::rules) keys: Vec<(WidgetId, Option<SharedKey>)>,
    /// `None`: it stays.
    pub(in crate::rules) position: Option<BucketPosition>,
}

impl WidgetState {
    /// What this state of a widget adds to the digest of all.
    pub(in crate::rules) fn term(&self, id: &WidgetId) -> u128 {
        match self {
            Self::Put { revision, json, .. } => term(id, *revision, json),
            Self::Deleted(tombstone) => term_of_deletion(id, tombstone.revision, tombstone.was_restricted),
        }
    }
}

/// Term of a document: canonical JSON without its revision.
pub(in crate::rules) fn term(id: &WidgetId, revision: u64, json: &[u8]) -> u128 {
    let mut context = Context::new(&SHA256);
    for part in [id.as_bytes(), b"\0", revision.to_string().as_bytes(), b"\0", json] {
        context.update(part);
    }
    let digest = context.finish();
    digest.as_ref().first_chunk().map_or(0, |first| u128::from_be_bytes(*first))
}

/// Term of a deletion.
pub(in crate::rules) fn term_of_deletion(id: &WidgetId, revision: u64, was_restricted: bool) -> u128 {
    let json: &[u8] = match was_restricted {
        true => br#"{"deleted":true,"restricted":true}"#,
        false => br#"{"deleted":true,"restricted":false}"#,
    };
    term(id, revision, json)
}
