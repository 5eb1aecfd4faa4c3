//! Judging of sessions that have left the edge: again whenever their verdict may be another one. Those that are denied are
//! told, and forgotten in the same transaction.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::memory::{DeniedSource, SessionName};
use super::row::RowChanges;
use super::{RememberedPhase, RememberedSessions, RememberedState};
use crate::notifications::notice::Notice;
use crate::telemetry::metrics::RememberedOutcome;
use embedgate_policy::verdict::Reason;

/// Most lines of the log about the embedders that lose sessions by one change; one more sums up the others.
const LINES: usize = 20;

/// Most sessions in one notice.
const MOST_TOLD: usize = 1_000;

/// Maximum time between two looks at the wall clock, by which entries expire and which can be changed, and between two tries
/// to write what could not be written.
const CLOCK: Duration = Duration::from_secs(1);

/// Time after a start in which the process before this one may still have the file, and in which sessions don't end because
/// the rules are too old: their source has to be found first.
const AT_START: Duration = Duration::from_secs(10);

/// Time between two tries to read the file, which the process before this one may still have.
const READ_AGAIN: Duration = Duration::from_millis(50);

impl RememberedSessions {
    /// Reads the sessions from their file once it is there, judges them again when that is due, and forgets them in time.
    /// Runs for ever.
    pub async fn run(self: Arc<Self>) {
        let (started, mut was_current, mut was_stale) = (Instant::now(), false, false);
        loop {
            let is_whole = self.read().await;
            self.take_back_passed();
            let is_stale = self.policy.load().is_stale(Timestamp::now());
            if is_stale && !was_stale {
                self.judge_all();
            }
            (was_stale, was_current) = (is_stale, was_current || !is_stale);
            let is_new = started.elapsed() < AT_START;
            // An edge that has just started has the source of its rules to find first.
            if was_current || !is_new {
                self.judge_changed();
            }
            self.forget();
            self.catch_up().await;
            let wait = if !is_whole && is_new { READ_AGAIN } else { self.next_look() };
            tokio::select! {
                () = self.wake.notified() => {}
                () = sleep(wait) => {}
            }
        }
    }

    /// The time until something is due.
    fn next_look(&self) -> Duration {
        let now = Timestamp::now();
        let stale_at = self.policy.load().stale_at.filter(|at| *at > now);
        let due = self.state.lock().memory.next_due();
        let wait = due.into_iter().chain(stale_at).min().map(|due| due.duration_since(now));
        wait.map_or(CLOCK, |wait| Duration::try_from(wait).unwrap_or_default().min(CLOCK))
    }

    /// Judges the sessions of the widgets that have changed, or of which an entry has expired.
    fn judge_changed(self: &Arc<Self>) {
        let widgets: Vec<Arc<str>> = {
            let mut state = self.state.lock();
            let RememberedState { memory, changed, .. } = &mut *state;
            let mut widgets = mem::take(changed);
            widgets.extend(memory.take_expired(Timestamp::now()));
            if self.all_changed.swap(false, Ordering::Acquire) {
                widgets.extend(memory.widgets().cloned());
            }
            widgets.into_iter().collect()
        };
        // One at a time, so that no request waits for all of them.
        for widget in widgets {
            self.judge(&widget);
        }
    }

    fn judge(self: &Arc<Self>, widget: &str) {
        let mut state = self.state.lock();
        if state.phase == RememberedPhase::Relieved {
            return;
        }
        // Loaded under the lock, so that no session is judged by a book older than the one that it was named under.
        let (book, policy, now) = (self.rules.load(), self.policy.load(), Timestamp::now());
        let rules = book.get(widget);
        let denied = state.memory.take_denied(widget, |source| {
            let decision = source.facts.judge(rules, &policy, now);
            (!decision.is_allowed()).then_some(decision.reason)
        });
        state.memory.expect_expiry(widget, rules.and_then(|rules| rules.allowlist.next_expiry(now)));
        if let Some(rules) = rules.filter(|rules| rules.limits.is_some()) {
            state.memory.place(widget, |source, address| self.occupy(source, rules, address));
        }
        drop(self.tell(widget, denied));
        self.metrics.remembered(state.memory.len());
    }

    /// Tells of sessions of a widget that are denied now, and has their rows be forgotten with that. The lock of the memory is
    /// held.
    pub(super) fn tell(self: &Arc<Self>, widget: &str, denied: Vec<DeniedSource>) -> Vec<JoinHandle<()>> {
        let policy = self.policy.load();
        // An iframe and its page rest on different facts, but the embedder is the same.
        let mut by_embedder: BTreeMap<(String, &str), (Reason, Vec<SessionName>)> = BTreeMap::new();
        for DeniedSource { source, reason, ids } in denied {
            let together = (source.facts.counted_as(widget, &policy).to_owned(), reason.as_str());
            let (_, names) = by_embedder.entry(together).or_insert_with(|| (reason, Vec::new()));
            names.extend(ids.into_iter().map(|id| SessionName { source: Arc::clone(&source), id }));
        }
        let (at, mut told) = (Timestamp::now(), Vec::new());
        for (place, ((embedder, _), (reason, names))) in by_embedder.iter().enumerate() {
            self.metrics.count(RememberedOutcome::Revoked, names.len());
            if place < LINES {
                let (reason, sessions) = (reason.as_str(), names.len());
                tracing::info!(
                    widget,
                    embedder,
                    reason,
                    sessions,
                    "sessions that have left the edge are denied now"
                );
            }
            told.extend(names.chunks(MOST_TOLD).map(|names| {
                let notice = Notice::SessionRevoked {
                    widget: widget.to_owned(),
                    embedder: embedder.clone(),
                    reason: *reason,
                    sessions: names.iter().map(|name| name.id.to_string()).collect(),
                    at,
                };
                self.change(vec![notice], RowChanges { forgotten: names.to_vec(), ..RowChanges::default() })
            }));
        }
        if let Some(more) = by_embedder.len().checked_sub(LINES).filter(|more| *more > 0) {
            tracing::info!(widget, more, "sessions of more embedders that have left the edge are denied now");
        }
        told
    }

    /// Forgets sessions whose time is over.
    fn forget(self: &Arc<Self>) {
        let now = Timestamp::now();
        let mut state = self.state.lock();
        state.memory.end_stays(now);
        let oldest = now.saturating_sub(state.kept_for).unwrap_or(Timestamp::MIN);
        let forgotten = state.memory.forget_until(oldest);
        if forgotten.is_empty() {
            return;
        }
        self.metrics.count(RememberedOutcome::Expired, forgotten.len());
        self.metrics.remembered(state.memory.len());
        drop(self.change(Vec::new(), RowChanges { forgotten, ..RowChanges::default() }));
    }
}
