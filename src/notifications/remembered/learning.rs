//! Learning of sessions that leave the edge: from the answers that name them, and from a process that passes on what was named
//! to it after this one had taken over.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::judging::LINES;
use super::memory::{DeniedSource, SessionName, SessionSource, Stay};
use super::named::{NamedSession, NamedSessions};
use super::row::{EndedSession, PassedSessions, RowChanges, SessionRow};
use super::{NamingRequest, RememberedPhase, RememberedSessions, RememberedState};
use crate::telemetry::metrics::RememberedOutcome;

/// Longest time for which an answer waits until the sessions that it names survive a loss of power. A disk that takes longer
/// is in trouble, which is not the visitor's.
pub(super) const KEPT_WITHIN: Duration = Duration::from_secs(1);

/// Most sessions, named or over, that wait to be passed on to the process that has taken over.
const MOST_PASSED: usize = 10_000;

impl RememberedSessions {
    /// Takes in what an answer names. Returns once that survives a loss of power, or can't be made to.
    pub async fn learn(self: &Arc<Self>, request: NamingRequest<'_>, named: NamedSessions) {
        let NamingRequest { widget, facts, address, upstream } = request;
        let NamedSessions { begun, ended, malformed } = named;
        if malformed > 0 {
            self.metrics
                .count(RememberedOutcome::Malformed, usize::try_from(malformed).unwrap_or(usize::MAX));
            self.malformed.count(upstream.to_owned());
        }
        let source = Arc::new(SessionSource { widget: widget.into(), facts, upstream: upstream.into() });
        let now = Timestamp::now();
        let row = |NamedSession { id, max_age }: NamedSession| SessionRow {
            name: SessionName { source: Arc::clone(&source), id },
            since: now,
            until: max_age.and_then(|max_age| now.checked_add(max_age).ok()),
        };
        let ended: Vec<EndedSession> = ended.into_iter().map(|id| (Arc::clone(&source.widget), id)).collect();
        self.tell_peers(&ended);
        let kept = self.take_in(ended, begun.into_iter().map(row).collect(), address);
        // What takes longer goes on, and is tried again where it fails.
        if timeout(KEPT_WITHIN, join_all(kept)).await.is_err() {
            self.late.count(upstream.to_owned());
        }
    }

    /// Takes over what was named to the process before this one.
    pub fn take_over(self: &Arc<Self>, passed: PassedSessions) {
        for (ended, begun) in passed.read() {
            drop(self.take_in(ended, begun, None));
        }
    }

    /// What was named to this process after another one has taken over, which has to learn of it.
    pub fn take_passed_on(&self) -> Option<PassedSessions> {
        let mut state = self.state.lock();
        let is_relieved = state.phase == RememberedPhase::Relieved && !state.passed_on.is_empty();
        is_relieved.then(|| std::mem::take(&mut state.passed_on))
    }

    /// Takes in again what was to be passed on to a process that has not taken over in the end.
    pub(super) fn take_back_passed(self: &Arc<Self>) {
        let passed = {
            let mut state = self.state.lock();
            if state.phase == RememberedPhase::Relieved || state.passed_on.is_empty() {
                return;
            }
            std::mem::take(&mut state.passed_on)
        };
        self.take_over(passed);
    }

    /// Forgets sessions that another edge says are over.
    pub(super) fn hear_ended(self: &Arc<Self>, ended: Vec<EndedSession>) {
        drop(self.take_in(ended, Vec::new(), None));
    }

    /// Changes the memory, and lines the changes of the file up. Sessions that the rules in force deny are told at once.
    fn take_in(
        self: &Arc<Self>,
        ended: Vec<EndedSession>,
        begun: Vec<SessionRow>,
        address: Option<IpAddr>,
    ) -> Vec<JoinHandle<()>> {
        let (mut changes, mut denied) = (RowChanges::default(), Vec::new());
        let mut state = self.state.lock();
        self.metrics.count(RememberedOutcome::Named, begun.len());
        if state.phase == RememberedPhase::Relieved {
            self.pass_on(&mut state, &RowChanges { kept: begun, ended, ..RowChanges::default() });
            return Vec::new();
        }
        for (widget, id) in ended {
            let over = state.memory.end(&widget, &id);
            self.metrics.count(RememberedOutcome::Ended, over.len());
            match state.phase {
                RememberedPhase::Unread => changes.ended.push((widget, id)),
                RememberedPhase::Whole | RememberedPhase::Relieved => changes.forgotten.extend(over),
            }
        }
        // Loaded under the lock, so that a book that comes into force from here on finds the sessions.
        let (book, policy, now) = (self.rules.load(), self.policy.load(), Timestamp::now());
        for row in begun {
            let SessionName { source, id } = row.name.clone();
            let rules = book.get(&source.widget);
            let decision = source.facts.judge(rules, &policy, now);
            if !decision.is_allowed() {
                denied.push(DeniedSource { source, reason: decision.reason, ids: vec![id] });
                continue;
            }
            let stay = row.until.filter(|until| *until > now).map(|until| {
                let place = rules.and_then(|rules| self.occupy(&source, rules, address));
                Stay { until, address, place }
            });
            if let Some(dropped) = state.memory.keep(row.name.clone(), row.since, stay) {
                self.metrics.count(RememberedOutcome::Dropped, 1);
                changes.forgotten.push(dropped);
            }
            let expiry = rules.and_then(|rules| rules.allowlist.next_expiry(now));
            state.memory.expect_expiry(&source.widget, expiry);
            changes.kept.push(row);
        }
        self.metrics.remembered(state.memory.len());
        let (mut kept, mut lines) = (Vec::new(), LINES);
        for denied in denied.chunk_by(|one, next| one.source.widget == next.source.widget) {
            let widget = denied.first().map(|first| Arc::clone(&first.source.widget)).unwrap_or_default();
            kept.extend(self.tell(&widget, denied.to_vec(), &mut lines));
        }
        if !changes.is_empty() {
            kept.push(self.change(Vec::new(), changes));
        }
        drop(state);
        // Its loop sleeps until what was due before.
        self.wake.notify_one();
        kept
    }

    fn pass_on(&self, state: &mut RememberedState, changes: &RowChanges) {
        if state.passed_on.len() + changes.kept.len() + changes.ended.len() > MOST_PASSED {
            self.metrics.count(RememberedOutcome::NotKept, changes.kept.len());
            return self.not_passed.count(String::new());
        }
        state.passed_on.add(changes);
    }
}
