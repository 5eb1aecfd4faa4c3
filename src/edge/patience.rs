//! Time that a client has for the bodies of one request: to send its own, and to take the answer.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use pingora_core::{BError, Error, ErrorType, Result};
use tokio::time::Instant;

use super::deadline::Deadline;
use super::pipeline::downstream::Downstream;
use crate::config::BoundsSettings;

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

/// Patience with the client of one request.
#[derive(Debug)]
pub struct Patience<'d> {
    /// The timer of the client's connection.
    pub deadline: &'d mut Deadline,
    /// The pace of the request's body.
    pub up: Pace,
    /// The pace of the answer.
    pub down: Pace,
}

impl<'d> Patience<'d> {
    /// The patience that these bounds say.
    pub fn new(bounds: &BoundsSettings, deadline: &'d mut Deadline) -> Self {
        let pace = || Pace::new(bounds.body_timeout, bounds.body_min_rate);
        Self { deadline, up: pace(), down: pace() }
    }

    /// Asks for no rate: in a stream, both sides say something when there is something to say.
    pub fn with_stream(&mut self) {
        (self.up.min_rate, self.down.min_rate) = (0, 0);
    }

    /// Sends what is queued for the client, and counts what it takes. Ready once it has taken everything.
    pub fn poll_sent(&mut self, client: &mut impl Downstream, context: &mut Context<'_>) -> Poll<Result<()>> {
        let before = client.waiting();
        let sent = client.poll_sent(context);
        self.down.moved(before.saturating_sub(client.waiting()));
        match sent {
            Poll::Ready(_) => self.down.rests(),
            Poll::Pending => self.down.waits(),
        }
        sent
    }

    /// Waits until the client has taken everything that is queued.
    ///
    /// # Errors
    ///
    /// The client has left, or does not take it in time.
    pub async fn sent(&mut self, client: &mut impl Downstream) -> Result<()> {
        poll_fn(|context| {
            if let Poll::Ready(sent) = self.poll_sent(client, context) {
                return Poll::Ready(sent);
            }
            self.deadline.poll_until(self.down.until(), context).map(|()| Err(not_taken()))
        })
        .await
    }

    /// Waits for something of the request's body, at most until the client has used its time up.
    ///
    /// # Errors
    ///
    /// The time is used up, or what `poll` fails with.
    pub async fn received<T>(
        &mut self,
        mut poll: impl FnMut(&mut Pace, &mut Context<'_>) -> Poll<Result<T>>,
    ) -> Result<T> {
        poll_fn(|context| {
            if let Poll::Ready(received) = poll(&mut self.up, context) {
                self.up.rests();
                return Poll::Ready(received);
            }
            self.deadline.poll_until(self.up.until(), context).map(|()| Err(not_received()))
        })
        .await
    }
}

/// The error: the client does not send its body in time.
pub fn not_received() -> BError {
    let timeout = ErrorType::HTTPStatus(http::StatusCode::REQUEST_TIMEOUT.as_u16());
    Error::explain(timeout, "the client does not send its body in time").into_down()
}

/// The error: the client does not take the answer in time.
pub fn not_taken() -> BError {
    Error::explain(ErrorType::WriteTimedout, "the client does not take the answer in time").into_down()
}

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
