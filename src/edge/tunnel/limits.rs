//! How long a tunnel may stay open.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Once one side has ended its half, this long without a byte ends the other: a WebSocket has no half-open state
/// to live on in (RFC 6455 §7.1.1).
const HALF_CLOSED: Duration = Duration::from_secs(5);

/// How long a tunnel may stay open; `None` is without end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Without a byte either way.
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

/// When something last went through a tunnel.
pub struct Progress {
    started: Instant,
    /// Milliseconds after `started`.
    last: AtomicU64,
    half_closed: AtomicBool,
    sooner: Notify,
}

impl Progress {
    /// A tunnel that starts now.
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
            last: AtomicU64::new(0),
            half_closed: AtomicBool::new(false),
            sooner: Notify::new(),
        }
    }

    /// Something went through.
    pub fn made(&self) {
        let passed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(passed, Ordering::Relaxed);
    }

    /// One of the two sides will send nothing more.
    pub fn half_closed(&self) {
        self.made();
        self.half_closed.store(true, Ordering::Relaxed);
        self.sooner.notify_one();
    }

    /// Resolves once a limit is reached.
    pub async fn overdue(&self, limits: Limits) -> Overdue {
        loop {
            let (at, limit) = self.next(limits);
            if at.is_some_and(|at| at <= Instant::now()) {
                return limit;
            }
            tokio::select! {
                () = self.sooner.notified() => {}
                () = until(at) => {}
            }
        }
    }

    /// Which limit comes next, and when if nothing goes through until then.
    fn next(&self, limits: Limits) -> (Option<Instant>, Overdue) {
        let half_closed = self.half_closed.load(Ordering::Relaxed).then_some(HALF_CLOSED);
        let idle = [limits.idle, half_closed].into_iter().flatten().min();
        let last = self.started + Duration::from_millis(self.last.load(Ordering::Relaxed));
        let idle = idle.map(|idle| last + idle);
        let lifetime = limits.lifetime.map(|lifetime| self.started + lifetime);
        match (idle, lifetime) {
            (Some(idle), Some(lifetime)) if lifetime < idle => (Some(lifetime), Overdue::Lifetime),
            (None, lifetime) => (lifetime, Overdue::Lifetime),
            (idle, _) => (idle, Overdue::Idle),
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
