//! Watch on the age of the rules: at the instant from which they are too old, all open sessions are judged again.

use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// Maximum time between two looks at the wall clock, which can be changed.
const CLOCK: Duration = Duration::from_secs(1);

/// Calls `judge` each time that the rules have become too old, and `forget` where the time to that instant is over and the
/// wall clock, which was set back, does not say so. Ends with the sender of `stale_at`.
pub(super) async fn watch(
    mut stale_at: watch::Receiver<Option<Timestamp>>,
    now: impl Fn() -> Timestamp,
    judge: impl Fn(),
    forget: impl Fn(),
) {
    let mut was_stale = false;
    loop {
        let at = *stale_at.borrow_and_update();
        let left = || at.map(|at| Duration::try_from(at.duration_since(now())).unwrap_or_default());
        // By a clock that nobody sets.
        let end = left().and_then(|left| Instant::now().checked_add(left));
        loop {
            let left = left();
            let is_stale = left == Some(Duration::ZERO);
            if is_stale && !was_stale {
                tracing::error!(
                    "the rules are too old: there was no contact with their source for longer than policy.max_staleness, so \
                     everything but public pages is denied until there is"
                );
                judge();
            } else if was_stale && !is_stale {
                tracing::info!("the rules are current again, and requests are served");
            }
            was_stale = is_stale;
            let until_end = end.map(|end| end.saturating_duration_since(Instant::now()));
            if !is_stale && until_end == Some(Duration::ZERO) {
                tracing::warn!("the system's clock was set back, so the age of the rules is not known");
                forget();
            }
            let wait = left.filter(|_| !is_stale).into_iter().chain(until_end.filter(|wait| !wait.is_zero()));
            let wait = wait.fold(CLOCK, Duration::min);
            tokio::select! {
                changed = stale_at.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return,
                },
                () = sleep(wait), if at.is_some() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
