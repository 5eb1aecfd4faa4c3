//! What the clients of a load have seen.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use bench_support::count::Count;

/// All counts of a load.
#[derive(Default)]
pub struct Tally {
    /// Connections, and those of them that could not be opened, their TLS handshake included.
    pub opened: Count,
    pub refused: Count,
    /// Requests with a whole answer.
    pub answered: Count,
    /// Requests that were written and got no whole answer: on a connection that had answered before, or on a new one.
    pub lost_reused: Count,
    pub lost_new: Count,
    /// HTTP/2 requests that a GOAWAY or a reset said to be untouched: they may be sent again, but nothing was answered.
    pub turned_away: Count,
    /// Answers other than expected.
    pub wrong: Count,
    /// Connections that ended in order: announced, or while nothing was asked on them.
    pub ended: Count,
    /// WebSockets and event streams, and those that ended without having been asked to.
    pub sessions: Count,
    pub cut: Count,
    /// Messages that came back, and events.
    pub messages: Count,
    slowest_micros: AtomicU64,
}

impl Tally {
    /// Notes how long an answer took.
    pub fn took(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.slowest_micros.fetch_max(micros, Ordering::Relaxed);
    }

    pub fn slowest(&self) -> Duration {
        Duration::from_micros(self.slowest_micros.load(Ordering::Relaxed))
    }

    /// Requests that were sent and not answered.
    pub fn lost(&self) -> u64 {
        self.lost_reused.get() + self.lost_new.get() + self.turned_away.get()
    }

    /// What the first of them was.
    pub fn first_lost(&self) -> String {
        let firsts = [&self.lost_reused, &self.lost_new, &self.turned_away].map(Count::first);
        firsts.into_iter().find(|first| !first.is_empty()).unwrap_or_default()
    }
}
