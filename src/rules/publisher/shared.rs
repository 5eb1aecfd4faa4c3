//! Rules that come from a bucket which a fleet of edges shares: changes are published there first, and are in force here
//! when they come back.

use std::sync::Arc;

use jiff::Timestamp;

use super::Publisher;
use crate::rules::error::{SaveError, StoreError};
use crate::rules::shared::{BucketPosition, SharedBatch, SharedBucket, SharedEntry};

impl Publisher {
    /// Publishes every change to this bucket from now on, before it is in force.
    #[must_use]
    pub(in crate::rules) fn with_bucket(self, bucket: Arc<dyn SharedBucket>) -> Self {
        let _ = bucket;
        self
    }

    /// Puts in force what a bucket says, in its order, with one swap, and keeps it. What can't be kept is in force all the
    /// same, and is kept as soon as that is possible. Blocks.
    ///
    /// # Errors
    ///
    /// Another process has taken over. Nothing has changed then.
    pub(in crate::rules) fn obey(&self, batch: SharedBatch) -> Result<(), SaveError> {
        let _ = batch;
        Err(SaveError::WriterFailed)
    }

    /// Position in the bucket that is in force here; `None`: no bucket was ever followed.
    pub(in crate::rules) fn position(&self) -> Option<BucketPosition> {
        None
    }

    /// Number of widgets and deletions that came from the bucket and are in force here.
    pub(in crate::rules) fn known_keys(&self) -> u64 {
        0
    }

    /// Digest of all widgets in force, with their revisions: that of another edge is the same where these are.
    pub(in crate::rules) fn digest(&self) -> u128 {
        0
    }

    /// Widgets and deletions in force, by id, after `after`, at most `limit`.
    pub(in crate::rules) fn entries(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<SharedEntry>, StoreError> {
        let _ = (after, limit);
        Ok(Vec::new())
    }

    /// Keeps when this edge last knew that it had everything, so that the age of its rules is known after a restart.
    pub(in crate::rules) fn keep_contact(&self, at: Timestamp) -> Result<(), StoreError> {
        let _ = at;
        Ok(())
    }

    /// When this edge last knew that it had everything, as it was kept.
    pub(in crate::rules) fn contact(&self) -> Option<Timestamp> {
        None
    }
}
