//! Pace of a reader that wants only so many decisions in a second. It looks for news a few times a second, so that whoever
//! tells an event seldom has to wake it.

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::EventKind;

/// Shortest time between two looks.
const LOOK: Duration = Duration::from_millis(200);

/// Time in which decisions are counted.
const SECOND: Duration = Duration::from_secs(1);

/// Pace of a reader.
#[derive(Debug)]
pub(super) struct ReaderPace {
    most: NonZeroU32,
    /// When the second began, and how many of its decisions this reader has got.
    second: (Instant, u32),
    looked: Instant,
    /// Decisions that it left out and has not said so.
    left_out: u64,
    /// Decisions that the sample has left out, up to what it has said.
    known: u64,
}

impl ReaderPace {
    /// At most so many in a second. `known`: how many the sample has left out so far.
    pub(super) fn new(most: NonZeroU32, known: u64) -> Self {
        let now = Instant::now();
        Self { most, second: (now, 0), looked: now, left_out: 0, known }
    }

    /// Whether another event of this kind may be told now. If not, it is counted.
    pub(super) fn admits(&mut self, kind: EventKind) -> bool {
        if kind != EventKind::Decision {
            return true;
        }
        // A second that is over ends when what was left out of it was told.
        let (begun, told) = &mut self.second;
        if self.left_out == 0 && begun.elapsed() >= SECOND {
            (*begun, *told) = (Instant::now(), 0);
        }
        let is_admitted = *told < self.most.get();
        match is_admitted {
            true => *told += 1,
            false => self.left_out += 1,
        }
        is_admitted
    }

    /// How many were left out, once in a second. `sampled`: how many the sample has left out so far.
    pub(super) fn left_out(&mut self, sampled: impl FnOnce() -> u64) -> Option<u64> {
        if self.second.0.elapsed() < SECOND {
            return None;
        }
        self.second = (Instant::now(), 0);
        let sampled = sampled();
        let missed = self.left_out + sampled.saturating_sub(self.known);
        (self.left_out, self.known) = (0, sampled);
        (missed > 0).then_some(missed)
    }

    /// Waits for news, not too often, and no longer than until it is time to say what was left out.
    pub(super) async fn wait(&mut self, news: impl Future<Output = ()>) {
        let end = self.second.0 + SECOND;
        match self.left_out {
            0 => news.await,
            _ => tokio::select! {
                () = news => {}
                () = sleep_until(end) => {}
            },
        }
        sleep_until(self.looked + LOOK).await;
        self.looked = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn so_many_in_a_second_and_the_others_are_counted() {
        let mut pace = ReaderPace::new(NonZeroU32::new(2).unwrap(), 10);
        let admitted = |pace: &mut ReaderPace| (0..5).filter(|_| pace.admits(EventKind::Decision)).count();
        assert_eq!(admitted(&mut pace), 2);
        assert!(pace.admits(EventKind::Swap), "others always come");
        assert_eq!(pace.left_out(|| 14), None, "the second is not over");
        tokio::time::advance(SECOND).await;
        assert_eq!(pace.left_out(|| 14), Some(3 + 4));
        assert_eq!(admitted(&mut pace), 2);
        tokio::time::advance(SECOND).await;
        assert_eq!((pace.left_out(|| 14), pace.left_out(|| 15)), (Some(3), None));
    }

    #[tokio::test(start_paused = true)]
    async fn it_looks_a_few_times_in_a_second() {
        let mut pace = ReaderPace::new(NonZeroU32::MIN, 0);
        let begun = Instant::now();
        for _ in 0..10 {
            pace.wait(async {}).await;
        }
        assert_eq!(begun.elapsed(), LOOK * 10);
        pace.admits(EventKind::Decision);
        pace.admits(EventKind::Decision);
        pace.wait(std::future::pending()).await;
        assert_eq!(pace.left_out(|| 0), Some(1), "whatever comes or does not");
    }
}
