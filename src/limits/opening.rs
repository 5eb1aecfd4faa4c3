//! What a request opens, and what comes of it.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use embedgate_policy::limits::{LimitKind, LimitMode, LimitPart, Limits};
use embedgate_policy::verdict::Reason;

use super::charge::Charge;
use super::shares::ShareWait;

/// Open of a widget with limits, which the rules allow.
#[derive(Clone, Copy)]
pub struct Opening<'a> {
    /// The widget's id.
    pub widget: &'a str,
    /// The widget's limits.
    pub limits: &'a Limits,
    /// The embedder: the page of its ticket, else its origin, or the text of an opaque one.
    pub embedder: &'a str,
    /// Tells whether an entry of the widget names the embedder exactly. Such a one never shares a counter with others. It is
    /// asked where that is not known yet.
    pub is_listed: &'a dyn Fn() -> bool,
    /// The client's address; `None` where it is not known.
    pub address: Option<IpAddr>,
    /// Whether it counts as an open.
    pub is_open: bool,
    /// Whether it is a session until its charge is dropped.
    pub is_session: bool,
    /// Whether a larger share may be waited for. Without, the open is refused when the share is used up.
    pub may_wait: bool,
}

/// When something is opened, by both clocks.
#[derive(Clone, Copy, Debug)]
pub struct OpenedAt {
    /// By the monotonic clock.
    pub monotonic: Instant,
    /// By the clock of the system.
    pub system: Timestamp,
}

impl OpenedAt {
    /// Now.
    pub fn now() -> Self {
        Self { monotonic: Instant::now(), system: Timestamp::now() }
    }
}

/// What comes of an open.
#[derive(Debug)]
pub enum Opened {
    /// It is let through. `beyond`: the limit that it passes, on a widget that only monitors its limits.
    Admitted {
        /// What it has taken.
        charge: Charge,
        /// The limit that it passes, where `mode` is `monitor`.
        beyond: Option<LimitRefusal>,
    },
    /// It is refused.
    Refused(LimitRefusal),
    /// The share of this edge is used up, and more was asked for: open again once the wait is over.
    Waits(ShareWait),
}

/// Limit that an open passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitRefusal {
    /// Whose opens and sessions are counted together.
    pub part: LimitPart,
    /// What is counted.
    pub kind: LimitKind,
    /// The limit.
    pub limit: NonZeroU32,
    /// Whether the open is refused for it.
    pub mode: LimitMode,
    /// From when on it may be tried again; for sessions nobody knows, so a short while.
    pub retry_after: Duration,
}

impl LimitRefusal {
    /// The reason of the verdict.
    pub fn reason(&self) -> Reason {
        match self.kind {
            LimitKind::Sessions => Reason::LimitSessions,
            LimitKind::OpensPerMinute | LimitKind::OpensPerDay => Reason::LimitOpens,
        }
    }
}
