//! Pace at which the other side of a connection sends or takes bytes.

use std::time::Duration;

use tokio::time::Instant;

/// Pace of one body: a credit of time in which the other side may be waited for. Waiting uses it up, and every byte that
/// moves earns some, up to what there was at first. So whoever moves nothing for that long, or less than the rate from
/// then on, has no credit left.
#[derive(Debug)]
pub struct Pace {
    /// The credit at first, and the most that can be earned.
    most: Duration,
    /// The minimum rate in bytes a second; 0: none, so that any byte earns the whole credit.
    min_rate: u64,
    left: Duration,
    /// When the current wait began.
    since: Option<Instant>,
}

impl Pace {
    /// A pace with the whole credit.
    pub fn new(most: Duration, min_rate: u64) -> Self {
        Self { most, min_rate, left: most, since: None }
    }

    /// Asks for no rate from now on.
    pub fn ask_no_rate(&mut self) {
        self.min_rate = 0;
    }

    /// Notes that so many bytes have moved. The current wait, if any, begins anew.
    pub fn moved(&mut self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        self.rests();
        // Fast path: most bodies are never waited for.
        if self.left == self.most {
            return;
        }
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let earned = match bytes.saturating_mul(NANOS).checked_div(self.min_rate) {
            Some(nanos) => Duration::from_nanos(nanos),
            None => self.most,
        };
        self.left = self.left.saturating_add(earned).min(self.most);
    }

    /// Notes that the other side is waited for.
    pub fn waits(&mut self) {
        self.since.get_or_insert_with(Instant::now);
    }

    /// Notes that the other side is not waited for.
    pub fn rests(&mut self) {
        if let Some(since) = self.since.take() {
            self.left = self.left.saturating_sub(since.elapsed());
        }
    }

    /// When the credit is used up, if the wait goes on.
    pub fn until(&mut self) -> Instant {
        *self.since.get_or_insert_with(Instant::now) + self.left
    }
}

const NANOS: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use tokio::time::{advance, sleep_until};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// How long the other side is waited for, if it moves so many bytes each time it is waited for that long, at most for
    /// a day.
    async fn lasts(mut pace: Pace, every: Duration, bytes: usize) -> Duration {
        let began = Instant::now();
        while began.elapsed() < SECOND * 86_400 {
            pace.waits();
            if Instant::now() + every > pace.until() {
                let until = pace.until();
                sleep_until(until).await;
                break;
            }
            advance(every).await;
            pace.moved(bytes);
        }
        (began.elapsed().as_millis() / 100 * 100).try_into().map(Duration::from_millis).unwrap_or_default()
    }

    #[tokio::test(start_paused = true)]
    async fn too_slow_or_silent_for_too_long_is_the_end() {
        const DAY: u64 = 86_400;
        for (rate, every, bytes, lasted) in [
            // Nothing at all, and nothing in time.
            (1024, 61, 1, 60),
            (0, 61, 1_000_000, 60),
            // A byte now and then.
            (1024, 1, 1, 60),
            (1024, 10, 1, 60),
            (0, 59, 1, DAY),
            // Half of the rate, the rate, and more.
            (1024, 1, 512, 119),
            (1024, 2, 512, 78),
            (1024, 1, 1024, DAY),
            (1024, 50, 51_200, DAY),
            (1, 1, 1, DAY),
            (u64::MAX, 1, 1_000_000, 60),
        ] {
            let pace = Pace::new(SECOND * 60, rate);
            let was = lasts(pace, Duration::from_secs(every), bytes).await.as_secs().min(DAY);
            assert!(was.abs_diff(lasted) <= 1, "{rate} B/s, {bytes} each {every} s: {was} s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_not_saved_up() {
        let mut pace = Pace::new(SECOND * 60, 1024);
        pace.moved(usize::MAX);
        assert_eq!(pace.until() - Instant::now(), SECOND * 60);
        advance(SECOND * 59).await;
        pace.moved(1 << 40);
        assert_eq!(pace.until() - Instant::now(), SECOND * 60);
    }

    #[tokio::test(start_paused = true)]
    async fn only_waiting_takes_time() {
        let mut pace = Pace::new(SECOND * 60, 1024);
        for _ in 0..5 {
            pace.waits();
            advance(SECOND * 10).await;
            pace.moved(0);
            pace.rests();
            advance(SECOND * 1000).await;
        }
        assert_eq!(pace.until() - Instant::now(), SECOND * 10);
        advance(SECOND * 4).await;
        pace.moved(1024);
        assert_eq!(pace.until() - Instant::now(), SECOND * 7);
    }
}
