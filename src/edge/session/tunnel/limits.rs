//! Time limits of tunnels.

use std::mem::take;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::coop::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

/// Idle limit once one side has ended its half: a WebSocket has no half-open state (RFC 6455 §7.1.1).
const HALF_CLOSED: Duration = Duration::from_secs(5);

/// Number of looks within an idle limit. A tunnel is idle after so many looks in a row that saw no byte, so
/// it ends at most this fraction of the limit late.
const LOOKS: u32 = 32;

/// Time limits of a tunnel; `None`: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TunnelLimits {
    /// Maximum idle time of a tunnel; it may end up to a 32nd of it later.
    pub idle: Option<Duration>,
    /// Maximum total lifetime of a tunnel.
    pub lifetime: Option<Duration>,
    /// Maximum time in which the browser takes no byte of what waits for it.
    pub untaken: Option<Duration>,
}

/// Limit that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overdue {
    /// The idle limit.
    Idle,
    /// The lifetime.
    Lifetime,
    /// The time for the browser to take something.
    Untaken,
}

/// Watch on the idle limit and the lifetime of a tunnel. From time to time it looks whether a byte was passed on since its last
/// look. So passing on bytes needs no clock and no timer. One task polls it for its whole life.
pub struct Watch {
    idle: Option<Duration>,
    ends: Option<Instant>,
    moved: bool,
    /// Number of looks in a row that saw no byte.
    still: u32,
    /// The timer, boxed because it must not move; `None` without a limit.
    timer: Option<Pin<Box<Sleep>>>,
    /// The timer has the task's waker.
    armed: bool,
}

impl Watch {
    /// A watch that starts now.
    pub fn new(limits: TunnelLimits) -> Self {
        let TunnelLimits { idle, lifetime, .. } = limits;
        let ends = lifetime.and_then(|lifetime| Instant::now().checked_add(lifetime));
        let mut watch = Self { idle, ends, moved: false, still: 0, timer: None, armed: false };
        watch.set();
        watch
    }

    /// Notes that a byte was passed on.
    pub fn moved(&mut self) {
        self.moved = true;
    }

    /// Notes that one side has ended its half.
    pub fn half_closed(&mut self) {
        self.idle = Some(self.idle.map_or(HALF_CLOSED, |idle| idle.min(HALF_CLOSED)));
        self.moved = false;
        self.still = 0;
        self.set();
    }

    /// Ready once a limit is reached.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Overdue> {
        while let Some(timer) = &mut self.timer {
            if self.armed && !timer.is_elapsed() {
                break;
            }
            self.armed = true;
            // Unconstrained: without this, a task that has used up its budget could not register with the
            // timer.
            if pin!(unconstrained(timer.as_mut())).poll(context).is_pending() {
                break;
            }
            if self.ends.is_some_and(|ends| ends <= Instant::now()) {
                return Poll::Ready(Overdue::Lifetime);
            }
            self.still = if take(&mut self.moved) { 0 } else { self.still + 1 };
            if self.still == LOOKS {
                return Poll::Ready(Overdue::Idle);
            }
            self.set();
        }
        Poll::Pending
    }

    /// Sets the timer for the next look.
    fn set(&mut self) {
        self.armed = false;
        // Rounded up, so that no limit is reached too early.
        let look = self.idle.map(|idle| idle / LOOKS + Duration::from_nanos(1));
        let look = look.and_then(|look| Instant::now().checked_add(look));
        let Some(at) = [look, self.ends].into_iter().flatten().min() else { return };
        match &mut self.timer {
            Some(timer) => timer.as_mut().reset(at),
            None => self.timer = Some(Box::pin(sleep_until(at))),
        }
    }
}
