//! Patience with a caller: how long it may take to send a body, and to take an answer.

use std::task::{Context, Poll};
use std::time::Duration;

use crate::pacing::deadline::Deadline;
use crate::pacing::pace::Pace;

/// Time limit for the next byte, and the time that is granted before the least rate counts.
const NEXT: Duration = Duration::from_secs(30);

/// Least rate, in bytes a second.
const LEAST_RATE: u64 = 16 * 1024;

/// Patience with one side of a caller's connection.
pub(super) struct CallerPatience {
    pace: Pace,
    deadline: Deadline,
}

impl Default for CallerPatience {
    fn default() -> Self {
        Self { pace: Pace::new(NEXT, LEAST_RATE), deadline: Deadline::default() }
    }
}

impl CallerPatience {
    /// Notes bytes that came or went.
    pub(super) fn moved(&mut self, bytes: usize) {
        self.pace.rests();
        self.pace.moved(bytes);
    }

    /// Asks for no rate from now on, only for the next byte in time.
    pub(super) fn ask_no_rate(&mut self) {
        self.pace.ask_no_rate();
    }

    /// Waits for the next byte: ready once that takes too long.
    pub(super) fn poll_late(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.deadline.poll_until(self.pace.until(), context)
    }
}
