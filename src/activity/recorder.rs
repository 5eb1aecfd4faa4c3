//! Recorder of sightings on the way of requests: a bounded queue that never holds anybody up.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_queue::ArrayQueue;

use super::sighting::Sighting;

/// Recorder of sightings.
#[derive(Debug)]
pub struct ActivityRecorder {
    queue: ArrayQueue<()>,
    dropped: AtomicU64,
}

impl ActivityRecorder {
    /// A recorder with room for so many sightings that nobody has taken yet.
    pub fn new(room: usize) -> Self {
        Self { queue: ArrayQueue::new(room.max(1)), dropped: AtomicU64::new(0) }
    }

    /// Takes a sighting. One without room is dropped and counted.
    #[inline]
    pub fn record(&self, _sighting: &Sighting<'_>) {
        if self.queue.push(()).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Number of sightings that were dropped for want of room.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}
