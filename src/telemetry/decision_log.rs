//! The decision log: one JSON object a line on standard output. It names embedders by origin alone, never the
//! path or query of a page, and no visitor.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU8, Ordering};

use jiff::Timestamp;
use serde::Serialize;
use tracing_appender::non_blocking::{NonBlocking, WorkerGuard};

use crate::policy::decision::{Decision, Verdict};

/// Which decisions are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Scope {
    /// Each one.
    All = 0,
    /// Denials, and what a monitored widget would have denied.
    Denied = 1,
    /// None.
    Off = 2,
}

/// One line.
#[derive(Debug, Serialize)]
pub struct Record<'a> {
    /// When the request arrived, RFC 3339.
    pub time: Timestamp,
    /// The decision's id; the denied page shows the same one.
    pub decision_id: &'a str,
    /// The widget that was asked for; absent when the path names no possible id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub widget: Option<&'a str>,
    /// The class of the route.
    pub class: &'a str,
    /// `allow` or `deny`.
    pub verdict: &'a str,
    /// The stable reason code.
    pub reason: &'a str,
    /// The code with which `enforce` would deny what `monitor` let through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub would_deny: Option<&'a str>,
    /// The embedder's origin, `null` for an opaque one; absent when unknown or malformed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedder: Option<&'a str>,
    /// What is wrong with a malformed `Origin` or `Referer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub malformed: Option<&'a str>,
    /// The entry that matched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<String>,
    /// The entry that nearly did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub near_miss: Option<String>,
    /// The request method.
    pub method: &'a str,
}

/// The writer. A line that the standard output can't take in time is dropped, never waited for.
#[derive(Debug)]
pub struct DecisionLog {
    scope: AtomicU8,
    out: NonBlocking,
}

impl DecisionLog {
    /// Starts the writing thread; lines still queued are written when the guard is dropped.
    pub fn start(scope: Scope, out: impl Write + Send + 'static) -> (Self, WorkerGuard) {
        let (out, guard) = tracing_appender::non_blocking(out);
        (Self { scope: AtomicU8::new(scope as u8), out }, guard)
    }

    /// Changes which decisions are written.
    pub fn set_scope(&self, scope: Scope) {
        self.scope.store(scope as u8, Ordering::Relaxed);
    }

    /// Whether this decision is written.
    pub fn wants(&self, decision: &Decision) -> bool {
        let scope = self.scope.load(Ordering::Relaxed);
        scope == Scope::All as u8
            || scope == Scope::Denied as u8
                && (decision.verdict == Verdict::Deny || decision.would_deny.is_some())
    }

    /// Queues one line.
    pub fn write(&self, record: &Record<'_>) -> io::Result<()> {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        self.out.clone().write_all(&line)
    }

    /// How many lines were dropped because the standard output was too slow.
    pub fn dropped(&self) -> usize {
        self.out.error_counter().dropped_lines()
    }
}
