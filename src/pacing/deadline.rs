//! Time limits on the hot path. To set and cancel a timer for each wait costs more than the read that it
//! guards. This timer lives as long as its connection, and is moved only when it fires too early.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::task::coop::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

/// Time limits of one connection, one after the other.
#[derive(Debug, Default)]
pub struct Deadline {
    /// The timer, never later than the current limit; `None` until the first wait.
    timer: Option<Pin<Box<Sleep>>>,
    /// The waker that the timer wakes.
    waker: Option<Waker>,
}

/// Error: the time limit was reached first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl Deadline {
    /// Waits for `future`, at most for `limit` after its first poll that has to wait.
    ///
    /// # Errors
    ///
    /// The time limit was reached.
    pub async fn within<T>(
        &mut self,
        limit: Duration,
        future: impl Future<Output = T>,
    ) -> Result<T, Elapsed> {
        let mut future = pin!(future);
        let mut at = None;
        poll_fn(|context| {
            if let Poll::Ready(value) = future.as_mut().poll(context) {
                return Poll::Ready(Ok(value));
            }
            let at = *at.get_or_insert_with(|| Instant::now() + limit);
            self.poll_until(at, context).map(|()| Err(Elapsed))
        })
        .await
    }

    /// Ready at that time.
    pub fn poll_until(&mut self, at: Instant, context: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if timer.deadline() > at {
            self.waker = None;
            timer.as_mut().reset(at);
        }
        let waker = context.waker();
        // Most waits end long before the limit, so a running timer is polled only once for each task.
        if !timer.is_elapsed() && self.waker.as_ref().is_some_and(|told| told.will_wake(waker)) {
            return Poll::Pending;
        }
        // Unconstrained: without this, a task that has used up its budget could not register with the timer.
        while pin!(unconstrained(timer.as_mut())).poll(context).is_ready() {
            if timer.deadline() >= at {
                self.waker = None;
                return Poll::Ready(());
            }
            timer.as_mut().reset(at);
        }
        match &mut self.waker {
            Some(told) => told.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::task::coop::poll_proceed;
    use tokio::time::{sleep, timeout};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Awaits what takes `work` for no longer than `limit`; whether it was in time, and how long that took.
    async fn one(deadline: &mut Deadline, limit: Duration, work: Duration) -> (bool, Duration) {
        let started = Instant::now();
        let in_time = deadline.within(limit, sleep(work)).await.is_ok();
        (in_time, started.elapsed().as_millis().try_into().map(Duration::from_millis).unwrap_or_default())
    }

    #[tokio::test(start_paused = true)]
    async fn each_limit_holds_whatever_was_before() {
        let limits = [70, 3, 10, 1, 70, 2];
        for first in limits {
            for second in limits {
                for used in [0, 1, first, first + 1] {
                    let mut deadline = Deadline::default();
                    one(&mut deadline, SECOND * first, SECOND * used).await;
                    for (work, in_time) in [(second - 1, true), (second + 1, false), (second - 1, true)] {
                        let was = one(&mut deadline, SECOND * second, SECOND * work).await;
                        let took = SECOND * work.min(second);
                        assert_eq!(was.0, in_time, "{first} {second} {used} {work}");
                        assert!(
                            was.1 >= took && was.1 <= took + Duration::from_millis(2),
                            "{was:?} {took:?}"
                        );
                    }
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_ready_needs_no_timer() {
        let mut deadline = Deadline::default();
        assert_eq!(deadline.within(Duration::ZERO, ready(1)).await, Ok(1));
        assert!(deadline.timer.is_none());
        assert_eq!(deadline.within(Duration::ZERO, pending::<()>()).await, Err(Elapsed));
    }

    /// Whether this task is told of a limit that another one waited for before.
    async fn is_told(
        deadline: &mut Deadline,
        before: impl Fn(&mut Deadline, Instant, &mut Context<'_>),
    ) -> bool {
        let at = Instant::now() + SECOND;
        let mut is_first = true;
        let waited = poll_fn(|context| {
            if std::mem::take(&mut is_first) {
                before(deadline, at, context);
            }
            deadline.poll_until(at, context)
        });
        timeout(SECOND * 2, waited).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn the_task_that_waits_last_is_told() {
        let mut deadline = Deadline::default();
        for _ in 0..2 {
            let other = |deadline: &mut Deadline, at, _: &mut Context<'_>| {
                assert!(deadline.poll_until(at, &mut Context::from_waker(Waker::noop())).is_pending());
            };
            assert!(is_told(&mut deadline, other).await);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_used_up_its_budget_is_told() {
        let mut deadline = Deadline::default();
        for _ in 0..2 {
            let used_up = |_: &mut Deadline, _, context: &mut Context<'_>| {
                while let Poll::Ready(share) = poll_proceed(context) {
                    share.made_progress();
                }
            };
            assert!(is_told(&mut deadline, used_up).await);
        }
    }
}
