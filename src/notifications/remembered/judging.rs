//! Judging of sessions that have left the edge: again whenever their verdict may be another one. Those that are denied are
//! told, and forgotten in the same transaction.

use std::collections::{BTreeMap, HashMap};
use std::mem;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, sleep};

use super::memory::{
    DeniedSource, GivesPlace, JudgingBounds, JudgingPlace, LeftToJudge, SessionName, SessionSource,
};
use super::named::LONGEST_ID;
use super::row::RowChanges;
use super::{AT_ONCE, RememberedPhase, RememberedSessions, RememberedState};
use crate::notifications::notice::Notice;
use crate::telemetry::metrics::RememberedOutcome;
use embedgate_policy::verdict::Reason;

/// Most lines of the log about the embedders that lose sessions by one change; others are summed up.
pub(super) const LINES: usize = 20;

/// Most sessions in one notice.
const MOST_TOLD: usize = 1_000;

/// Most bytes of what is told at once.
const TOLD_BYTES: usize = AT_ONCE * (LONGEST_ID + size_of::<String>());

/// Maximum time between two looks at the wall clock, by which entries expire and which can be changed, and between two tries
/// to write what could not be written.
const CLOCK: Duration = Duration::from_secs(1);

/// Time between two tries to tell of what there was no room for.
const ROOM_AGAIN: Duration = Duration::from_millis(100);

/// Time after a start in which the process before this one may still have the file, and in which sessions don't end because
/// the rules are too old: their source has to be found first.
const AT_START: Duration = Duration::from_secs(10);

/// Time between two tries to read the file, which the process before this one may still have.
const READ_AGAIN: Duration = Duration::from_millis(50);

impl RememberedSessions {
    /// Reads the sessions from their file once it is there, judges them again when that is due, and forgets them in time.
    /// Runs for ever.
    pub async fn run(self: Arc<Self>) {
        let (started, mut is_known, mut was_stale) = (Instant::now(), false, false);
        loop {
            let is_whole = self.read().await;
            self.take_back_passed();
            let is_stale = self.policy.load().is_stale(Timestamp::now());
            if is_stale && !was_stale {
                self.judge_all();
            }
            was_stale = is_stale;
            let is_new = started.elapsed() < AT_START;
            is_known = is_known || self.is_in_touch();
            // By rules that are not there yet, all would be denied. Those from before the start may be wrong, until they are
            // so old that nobody is let in by them.
            if self.rules.load().generation() > 0 && (is_known || is_stale && !is_new) {
                self.judge_changed().await;
            }
            self.forget();
            self.catch_up();
            let waits = !is_whole || !is_known;
            let wait = if waits && is_new { READ_AGAIN } else { self.next_look() };
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
        let (due, holds_back) = {
            let state = self.state.lock();
            (state.memory.next_due(), !state.held_back.is_empty())
        };
        let most = if holds_back { ROOM_AGAIN } else { CLOCK };
        let wait = due.into_iter().chain(stale_at).min().map(|due| due.duration_since(now));
        wait.map_or(most, |wait| Duration::try_from(wait).unwrap_or_default().min(most))
    }

    /// Judges the sessions of the widgets that have changed, or of which an entry has expired, and of those that could not be
    /// told for want of room.
    async fn judge_changed(self: &Arc<Self>) {
        let has_room = self.ledger.room(TOLD_BYTES) > 0;
        let widgets: HashMap<Arc<str>, JudgingPlace> = {
            let mut state = self.state.lock();
            let RememberedState { memory, changed, held_back, .. } = &mut *state;
            let mut widgets = if has_room { mem::take(held_back) } else { HashMap::new() };
            let mut changed = mem::take(changed);
            changed.extend(memory.take_expired(Timestamp::now()));
            if self.all_changed.swap(false, Ordering::Acquire) {
                changed.extend(memory.widgets().cloned());
            }
            widgets.extend(changed.into_iter().map(|widget| (widget, JudgingPlace::default())));
            widgets
        };
        for (widget, mut place) in widgets {
            let mut lines = LINES;
            // Some at a time, so that no request waits for all of them.
            while let Some(next) = self.judge(&widget, place, &mut lines) {
                place = next;
                yield_now().await;
            }
        }
    }

    /// Judges some sessions of a widget. Returns where to go on.
    fn judge(
        self: &Arc<Self>,
        widget: &Arc<str>,
        from: JudgingPlace,
        lines: &mut usize,
    ) -> Option<JudgingPlace> {
        let mut state = self.state.lock();
        if state.phase == RememberedPhase::Relieved {
            return None;
        }
        // Loaded under the lock, so that no session is judged by a book older than the one that it was named under.
        let (book, policy, now) = (self.rules.load(), self.policy.load(), Timestamp::now());
        let rules = book.get(widget);
        let verdict = |source: &SessionSource| {
            let decision = source.facts.judge(rules, &policy, now);
            (!decision.is_allowed()).then_some(decision.reason)
        };
        let limited = rules.filter(|rules| rules.limits.is_some());
        let occupy = limited.map(|rules| {
            move |source: &SessionSource, address: Option<IpAddr>| self.occupy(source, rules, address)
        });
        let gives_place = occupy.as_ref().map(|occupy| occupy as GivesPlace<'_>);
        let bounds = JudgingBounds { at_once: AT_ONCE, room: self.ledger.room(TOLD_BYTES) };
        let (denied, left) = state.memory.judge(widget, from, bounds, verdict, gives_place);
        state.memory.expect_expiry(widget, rules.and_then(|rules| rules.allowlist.next_expiry(now)));
        drop(self.tell(widget, denied, lines));
        self.metrics.remembered(state.memory.len());
        match left {
            LeftToJudge::Nothing => None,
            LeftToJudge::From(place) => Some(place),
            LeftToJudge::WithoutRoom(place) => {
                state.held_back.insert(Arc::clone(widget), place);
                None
            }
        }
    }

    /// Tells of sessions of a widget that are denied now, and has their rows be forgotten with that. The lock of the memory is
    /// held. `lines`: how many the log may have about them.
    pub(super) fn tell(
        self: &Arc<Self>,
        widget: &str,
        denied: Vec<DeniedSource>,
        lines: &mut usize,
    ) -> Option<JoinHandle<()>> {
        let policy = self.policy.load();
        // An iframe and its page rest on different facts, but the embedder is the same.
        let mut by_embedder: BTreeMap<(String, &str), (Reason, Vec<SessionName>)> = BTreeMap::new();
        for DeniedSource { source, reason, ids } in denied {
            let together = (source.facts.counted_as(widget, &policy).to_owned(), reason.as_str());
            let (_, names) = by_embedder.entry(together).or_insert_with(|| (reason, Vec::new()));
            names.extend(ids.into_iter().map(|id| SessionName { source: Arc::clone(&source), id }));
        }
        let (at, mut notices, mut forgotten) = (Timestamp::now(), Vec::new(), Vec::new());
        let mut more = 0_usize;
        for ((embedder, _), (reason, names)) in by_embedder {
            self.metrics.count(RememberedOutcome::Revoked, names.len());
            match lines.checked_sub(1) {
                Some(left) => {
                    *lines = left;
                    let (reason, sessions) = (reason.as_str(), names.len());
                    tracing::info!(
                        widget,
                        embedder,
                        reason,
                        sessions,
                        "sessions that have left the edge are denied now"
                    );
                }
                None => more += 1,
            }
            notices.extend(names.chunks(MOST_TOLD).map(|names| Notice::SessionRevoked {
                widget: widget.to_owned(),
                embedder: embedder.clone(),
                reason,
                sessions: names.iter().map(|name| name.id.to_string()).collect(),
                at,
            }));
            forgotten.extend(names);
        }
        if more > 0 {
            tracing::info!(widget, more, "sessions of more embedders that have left the edge are denied now");
        }
        let changes = RowChanges { forgotten, ..RowChanges::default() };
        (!notices.is_empty()).then(|| self.change(notices, changes))
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
