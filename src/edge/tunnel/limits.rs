//! How long a tunnel may stay open.

use std::mem::take;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::coop::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

/// Once one side has ended its half, this long without a byte ends the other: a WebSocket has no half-open state
/// to live on in (RFC 6455 §7.1.1).
const HALF_CLOSED: Duration = Duration::from_secs(5);

/// How often an idle limit's time is looked at. A tunnel is found idle by as many looks in a row that saw nothing go
/// through, so at most this part of the limit late.
const LOOKS: u32 = 32;

/// How long a tunnel may stay open; `None` is without end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Without a byte either way; a 32nd of it more at most.
    pub idle: Option<Duration>,
    /// At all.
    pub lifetime: Option<Duration>,
}

/// Which limit was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overdue {
    /// Nothing went either way for too long.
    Idle,
    /// It was open for too long.
    Lifetime,
}

/// Watch over a tunnel's limits. It looks now and then whether something went through since it last looked, so that
/// what goes through reads no clock and sets no timer. One task polls it, as long as it lives.
pub struct Watch {
    idle: Option<Duration>,
    ends: Option<Instant>,
    moved: bool,
    /// Looks in a row that saw nothing go through.
    still: u32,
    /// `None` without a limit. On the heap, because it must not move.
    timer: Option<Pin<Box<Sleep>>>,
    /// The timer knows whom to wake.
    armed: bool,
}

impl Watch {
    /// A tunnel that starts now.
    pub fn new(limits: Limits) -> Self {
        let Limits { idle, lifetime } = limits;
        let ends = lifetime.and_then(|lifetime| Instant::now().checked_add(lifetime));
        let mut watch = Self { idle, ends, moved: false, still: 0, timer: None, armed: false };
        watch.set();
        watch
    }

    /// Something went through.
    pub fn moved(&mut self) {
        self.moved = true;
    }

    /// One of the two sides will send nothing more.
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
            // Where the task has used up its budget, the timer would not be told whom to wake.
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
        // Rounded up: no limit is reached before its time.
        let look = self.idle.map(|idle| idle / LOOKS + Duration::from_nanos(1));
        let look = look.and_then(|look| Instant::now().checked_add(look));
        let Some(at) = [look, self.ends].into_iter().flatten().min() else { return };
        match &mut self.timer {
            Some(timer) => timer.as_mut().reset(at),
            None => self.timer = Some(Box::pin(sleep_until(at))),
        }
    }
}
