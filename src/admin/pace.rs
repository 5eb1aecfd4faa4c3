//! Pace at which the other side sends or takes bytes.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Time limit for the next byte.
const NEXT: Duration = Duration::from_secs(30);

/// Time that is granted before the least rate counts.
const GRACE: Duration = Duration::from_secs(30);

/// Least rate, in bytes a second.
const LEAST_RATE: u64 = 16 * 1024;

/// Pace of one side. Only the time in which it was waited for counts, so our own slowness is nobody's fault.
#[derive(Default)]
pub(super) struct Pace {
    bytes: u64,
    waited: Duration,
    waiting_since: Option<Instant>,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Pace {
    /// Notes bytes that came or went.
    pub(super) fn moved(&mut self, bytes: usize) {
        if let Some(since) = self.waiting_since.take() {
            self.waited += since.elapsed();
        }
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// Waits for the next byte: ready once that takes too long. `is_stream`: the least rate does not count, because what
    /// is sent has no end that could come late.
    pub(super) fn poll_late(&mut self, cx: &mut Context<'_>, is_stream: bool) -> Poll<()> {
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        let late = since + if is_stream { NEXT } else { self.patience() };
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(late)));
        if alarm.deadline() != late {
            alarm.as_mut().reset(late);
        }
        alarm.as_mut().poll(cx)
    }

    /// How long the next byte may take.
    fn patience(&self) -> Duration {
        let earned = Duration::from_millis(self.bytes.saturating_mul(1000) / LEAST_RATE);
        (GRACE + earned).saturating_sub(self.waited).min(NEXT)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::future::poll_fn;

    use tokio::time::sleep;

    use super::*;

    /// The time after which a side is too slow that moves so many bytes at once, with a pause before each.
    async fn late_after(
        bytes: usize,
        pause: Duration,
        is_stream: bool,
        at_most: Duration,
    ) -> Option<Duration> {
        let (mut pace, begun) = (Pace::default(), Instant::now());
        while begun.elapsed() < at_most {
            tokio::select! {
                biased;
                () = poll_fn(|cx| pace.poll_late(cx, is_stream)) => return Some(begun.elapsed()),
                () = sleep(pause) => pace.moved(bytes),
            }
        }
        None
    }

    #[tokio::test(start_paused = true)]
    async fn who_moves_nothing_or_too_little_is_late() {
        let second = Duration::from_secs;
        let day = second(86_400);
        for (bytes, pause, is_stream, late) in [
            (1, second(3600), false, Some(30..=30)),
            (1, second(3600), true, Some(30..=30)),
            (1, second(10), false, Some(30..=30)),
            (1, second(10), true, None),
            (8 * 1024, second(1), false, Some(58..=62)),
            (16 * 1024, second(1), false, None),
            (1024 * 1024, second(29), false, None),
            (1024 * 1024, second(31), false, Some(30..=30)),
        ] {
            let after = late_after(bytes, pause, is_stream, day).await.map(|after| after.as_secs());
            let fits = match (&late, after) {
                (Some(range), Some(after)) => range.contains(&after),
                (None, None) => true,
                _ => false,
            };
            assert!(
                fits,
                "{bytes} bytes each {pause:?}, stream {is_stream}: late after {after:?} s, not {late:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn our_own_slowness_does_not_count() {
        let mut pace = Pace::default();
        pace.moved(1);
        sleep(Duration::from_secs(3600)).await;
        assert_eq!(pace.patience(), Duration::from_secs(30));
    }
}
