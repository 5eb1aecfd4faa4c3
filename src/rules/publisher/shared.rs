//! Rules that come from a bucket which a fleet of edges shares: changes are published there first, and are in force here
//! when they come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::time::Instant;

use super::Publisher;
use crate::rules::error::StoreError;
use crate::rules::shared::{BucketPosition, SharedBucket, SharedEntry};
use crate::rules::storage::Storage;
use crate::rules::storage::share::{KeptContact, KeptShare, SharedKey};

/// What a publisher knows of the bucket that a fleet shares.
#[derive(Default)]
pub(super) struct Sharing {
    bucket: Option<Arc<dyn SharedBucket>>,
    /// Up to where the bucket is in force.
    in_force: Mutex<KeptShare>,
    moved: Condvar,
    /// The sequence that the book in force has reached, or is about to reach.
    reached: AtomicU64,
    pub(super) keeping: Mutex<Keeping>,
    pub(super) times: SharingTimes,
}

/// Times that a change waits for the bucket.
#[derive(Clone, Copy)]
pub(super) struct SharingTimes {
    /// For a change to be published.
    pub(super) trying: Duration,
    /// For what is published to come back.
    pub(super) coming_back: Duration,
    /// For each of both with a kill switch, which is in force then in any case.
    pub(super) stopping: Duration,
    /// For a message that was in the way to arrive.
    pub(super) arriving: Duration,
}

impl Default for SharingTimes {
    fn default() -> Self {
        Self {
            trying: Duration::from_secs(10),
            coming_back: Duration::from_secs(5),
            stopping: Duration::from_secs(1),
            arriving: Duration::from_secs(2),
        }
    }
}

/// How keeping what the bucket has said is going.
#[derive(Clone, Copy, Default)]
pub(super) struct Keeping {
    /// The position that was kept last, and when.
    pub(super) position: Option<(BucketPosition, Instant)>,
    /// The last try failed.
    pub(super) is_failing: bool,
}

impl Sharing {
    pub(super) fn bucket(&self) -> Option<&dyn SharedBucket> {
        self.bucket.as_deref()
    }

    /// Begins with what was kept.
    pub(super) fn begin(&self, kept: KeptShare) {
        self.note_reached(sequence(&kept));
        self.set(kept);
    }

    /// What is in force.
    pub(super) fn in_force(&self) -> KeptShare {
        *self.in_force.lock()
    }

    /// The sequence that the book in force has reached, at least.
    pub(super) fn reached(&self) -> u64 {
        self.reached.load(Ordering::Acquire)
    }

    /// Notes the sequence that the next book has reached, before it is in force.
    pub(super) fn note_reached(&self, sequence: u64) {
        self.reached.store(sequence, Ordering::Release);
    }

    /// Tells everybody who waits what is in force now.
    pub(super) fn set(&self, share: KeptShare) {
        *self.in_force.lock() = share;
        self.moved.notify_all();
    }

    /// Wakes everybody who waits.
    pub(super) fn wake(&self) {
        // Whoever is about to wait has looked already, unless this waits for it.
        drop(self.in_force.lock());
        self.moved.notify_all();
    }

    /// Waits for a state, no longer than this.
    pub(super) fn wait(&self, deadline: Instant, is_it: impl Fn(&KeptShare) -> bool) -> bool {
        let mut share = self.in_force.lock();
        loop {
            if is_it(&share) {
                return true;
            }
            let rest = deadline.saturating_duration_since(Instant::now());
            if rest == Duration::ZERO {
                return false;
            }
            self.moved.wait_for(&mut share, rest);
        }
    }
}

pub(super) fn sequence(share: &KeptShare) -> u64 {
    share.position.map_or(0, |position| position.sequence)
}

impl Publisher {
    /// Publishes every change to this bucket from now on, before it is in force.
    #[must_use]
    pub(in crate::rules) fn with_bucket(mut self, bucket: Arc<dyn SharedBucket>) -> Self {
        self.sharing.bucket = Some(bucket);
        self
    }

    /// Position in the bucket that is in force here; `None`: no bucket was ever followed.
    pub(in crate::rules) fn position(&self) -> Option<BucketPosition> {
        self.sharing.in_force().position
    }

    /// Whether everything that the bucket has said and that is in force is kept, too.
    pub(in crate::rules) fn is_kept(&self) -> bool {
        self.storage.behind().is_kept()
    }

    /// Number of widgets and deletions that came from the bucket and are in force here.
    pub(in crate::rules) fn known_keys(&self) -> u64 {
        self.sharing.in_force().keys
    }

    /// Digest of all widgets in force, with their revisions: that of another edge is the same where these are.
    pub(in crate::rules) fn digest(&self) -> u128 {
        self.sharing.in_force().digest
    }

    /// Widgets and deletions in force, by id, after `after`, at most `limit`.
    pub(in crate::rules) fn entries(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<SharedEntry>, StoreError> {
        self.storage.entries(after, limit)
    }

    /// The last message about each of these widgets; `None`: the bucket knew nothing of it.
    pub(in crate::rules) fn shared_keys(&self, ids: &[&str]) -> Result<Vec<Option<SharedKey>>, StoreError> {
        self.storage.shared_keys(ids)
    }

    /// Whether another process has taken over for good.
    pub(in crate::rules) fn is_handed_over(&self) -> bool {
        self.handed_over.load(Ordering::Acquire)
    }

    /// Keeps the last contact to the bucket, so that the age of its rules is known after a restart.
    pub(in crate::rules) fn keep_contact(&self, contact: KeptContact) -> Result<(), StoreError> {
        self.storage.keep_contact(contact)
    }

    /// Edges of the fleet that this one knew of, as they were kept.
    pub(in crate::rules) fn edges(&self) -> Result<Vec<u8>, StoreError> {
        self.storage.edges()
    }

    /// Keeps which edges of the fleet this one knows of.
    pub(in crate::rules) fn keep_edges(&self, edges: &[u8]) -> Result<(), StoreError> {
        self.storage.keep_edges(edges)
    }

    /// The last contact to the bucket, as it was kept.
    pub(in crate::rules) fn contact(&self) -> Option<KeptContact> {
        self.storage.share().contact
    }
}

#[cfg(test)]
impl Publisher {
    /// The same with other times.
    pub(super) fn with_times(mut self, patience: SharingTimes) -> Self {
        self.sharing.times = patience;
        self
    }
}
