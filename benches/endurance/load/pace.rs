//! The pace of a client: pauses of changing length, so that clients don't ask in step.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

static NEXT: AtomicU64 = AtomicU64::new(1);

/// A client's pauses.
pub struct Pace(u64);

impl Pace {
    /// One unlike all others of this process.
    pub fn new() -> Self {
        Self(NEXT.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// From nothing up to twice the mean.
    pub fn pause(&mut self, mean: Duration) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        mean * u32::try_from(self.0 % 2001).unwrap_or(0) / 1000
    }
}
