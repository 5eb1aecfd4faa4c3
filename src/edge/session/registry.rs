//! Registry of open sessions: the facts each was admitted on, and its cancellation handle.
//!
//! A session is judged again and registered under the lock that a swap takes to judge the widget's sessions.
//! So a change of the rules either finds the session here, or the session is judged by it; none can slip
//! through. Sessions are indexed by widget, so a swap costs only as much as the sessions of the changed
//! widgets.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::activity::recorder::ActivityRecorder;
use crate::activity::sighting::Sighting;
use crate::limits::limiter::Limiter;
use crate::rules::book::RuleBook;
use crate::rules::error::RulesError;
use crate::rules::live::LiveRules;
use crate::rules::publisher::{Observer, Swap};
use crate::rules::sessions::{OpenSession, OpenSessions, SessionFacts};
use crate::rules::source::SourceKind;
use crate::telemetry::events::EventFeed;
use crate::telemetry::metrics::Metrics;
use embedgate_policy::compiled::WidgetRules;
use embedgate_policy::decision::EdgePolicy;
use embedgate_policy::limits::Limits;
use embedgate_policy::verdict::Reason;

pub use crate::edge::session::guard::SessionGuard;
pub use crate::edge::session::revocation::Revocation;

use crate::edge::admission::decision_id::DecisionId;
use crate::edge::session::ended::{DeniedSession, EndReport, Occasion};
use crate::edge::session::entry::{NewSession, SessionEntry, WidgetSessions};
use crate::edge::session::expiry::Expiries;
use crate::edge::session::staleness;

/// Number of locks, so that sessions of different widgets rarely share one.
const SHARDS: usize = 64;

/// Registry of all open sessions of this edge.
pub struct SessionRegistry {
    rules: LiveRules,
    policy: Arc<ArcSwap<EdgePolicy>>,
    metrics: Arc<Metrics>,
    activity: Arc<ActivityRecorder>,
    events: Arc<EventFeed>,
    limiter: Arc<Limiter>,
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    /// Number of widgets with open sessions.
    widgets: AtomicUsize,
    open: AtomicUsize,
    next: AtomicU64,
    expiries: Expiries,
}

type Shard = HashMap<Arc<str>, WidgetSessions, RandomState>;
type DeniedSessions = Vec<DeniedSession>;

impl SessionRegistry {
    /// An empty registry of sessions under these rules and this policy. `activity`: where sessions that are denied leave
    /// their sightings. `events`: where the ends are told that the rules bring about. `limiter`: the counter of sessions.
    pub fn new(
        rules: LiveRules,
        policy: Arc<ArcSwap<EdgePolicy>>,
        metrics: Arc<Metrics>,
        activity: Arc<ActivityRecorder>,
        events: Arc<EventFeed>,
        limiter: Arc<Limiter>,
    ) -> Arc<Self> {
        Arc::new(Self {
            rules,
            policy,
            metrics,
            activity,
            events,
            limiter,
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::default(),
            widgets: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            next: AtomicU64::new(0),
            expiries: Expiries::default(),
        })
    }

    /// Opens a session that this decision has allowed a moment ago. `None`: the rules in force now deny it, and what it has
    /// taken of its widget's limits is given back.
    pub fn open(
        self: &Arc<Self>,
        widget: &str,
        session: NewSession,
        decision_id: DecisionId,
    ) -> Option<SessionGuard> {
        let mut shard = self.shard(widget);
        // A book that comes into force from here on has to wait for the lock, and then finds the session.
        let book = self.rules.load();
        let rules = book.get(widget);
        let (policy, now) = (self.policy.load(), Timestamp::now());
        let decision = session.facts.judge(rules, &policy, now);
        if !decision.is_allowed() {
            // What is given back has locks of its own.
            drop(shard);
            return None;
        }
        let has_same_rules = session.generation == book.generation();
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let revocation = Arc::new(Revocation::default());
        if !shard.contains_key(widget) {
            let widget: Arc<str> = widget.into();
            let mut of_widget = WidgetSessions::new(Arc::clone(&widget));
            self.expect_expiry(&mut of_widget, rules, now);
            shard.insert(widget, of_widget);
            self.widgets.fetch_add(1, Ordering::Relaxed);
        }
        let of_widget = shard.get_mut(widget)?;
        let widget = Arc::clone(&of_widget.widget);
        let mut entry = SessionEntry::new(session, decision_id, now, Arc::clone(&revocation));
        if let Some((rules, limits)) = limited(rules).filter(|_| !has_same_rules) {
            entry.count_for((rules, &limits), (&decision, &policy), &self.limiter);
        }
        of_widget.sessions.insert(id, entry);
        drop(shard);
        self.open.fetch_add(1, Ordering::Relaxed);
        self.metrics.sessions_open.inc();
        Some(SessionGuard::new(Arc::clone(self), widget, id, revocation))
    }

    /// Judges all sessions again, after the policy for all widgets has changed.
    pub fn judge_all(&self) {
        self.judge_on(Occasion::Policy(self.rules.load().generation()));
    }

    /// Judges all sessions again at the instant from which the rules are too old, as it moves. `forget`: has the age of the
    /// rules be unknown. Runs for ever.
    pub async fn watch_staleness(&self, stale_at: watch::Receiver<Option<Timestamp>>, forget: impl Fn()) {
        let judge = || self.judge_on(Occasion::Stale(self.rules.load().generation()));
        staleness::watch(stale_at, Timestamp::now, judge, forget).await;
    }

    fn judge_on(&self, occasion: Occasion<'_>) {
        let at = Instant::now();
        let mut report = EndReport::new(&self.events, occasion);
        for shard in &self.shards {
            let mut denied = DeniedSessions::default();
            {
                let mut shard = shard.lock();
                // Loaded under the lock, so that no session is judged by a book older than the one it was
                // opened by.
                let book = self.rules.load();
                shard.values_mut().for_each(|of_widget| self.judge(of_widget, &book, &mut denied));
            }
            self.call_back(denied, at, &mut report);
        }
        report.tell();
    }

    /// Judges sessions again when an entry that may have admitted them expires. Runs for ever.
    pub async fn watch_expiries(&self) {
        loop {
            let due = self.expiries.due().await;
            let mut report = EndReport::new(&self.events, Occasion::Expiry(self.rules.load().generation()));
            for widget in due {
                let at = Instant::now();
                // Loaded under the lock, so that no older book is used after a newer one.
                self.judge_widget(&widget, at, &mut report, |judge| judge(&self.rules.load()));
            }
            report.tell();
        }
    }

    fn judge_widget(
        &self,
        id: &str,
        at: Instant,
        report: &mut EndReport<'_>,
        with_book: impl FnOnce(&mut dyn FnMut(&RuleBook)),
    ) {
        let mut denied = DeniedSessions::default();
        if let Some(of_widget) = self.shard(id).get_mut(id) {
            with_book(&mut |book| self.judge(of_widget, book, &mut denied));
        }
        self.call_back(denied, at, report);
    }

    /// Judges the sessions of one widget by this book, and collects those that it denies. The others count for its limits.
    fn judge(&self, of_widget: &mut WidgetSessions, book: &RuleBook, denied: &mut DeniedSessions) {
        let widget = Arc::clone(&of_widget.widget);
        let rules = book.get(&widget);
        let limited = limited(rules);
        let policy = self.policy.load();
        let now = Timestamp::now();
        for entry in of_widget.sessions.values_mut() {
            let decision = entry.facts.judge(rules, &policy, now);
            if !decision.is_allowed() {
                // Only collected here: a revoked session takes this very lock when it ends.
                denied.push(DeniedSession {
                    widget: Arc::clone(&of_widget.widget),
                    decision_id: entry.decision_id,
                    facts: entry.facts.clone(),
                    since: entry.since,
                    decision,
                    revocation: Arc::clone(&entry.revocation),
                });
            } else if let Some((rules, limits)) = &limited {
                entry.count_for((*rules, limits), (&decision, &policy), &self.limiter);
            }
        }
        self.expect_expiry(of_widget, rules, now);
    }

    /// Revokes sessions, outside the lock that each of them takes when it ends. `at`: when the rules that
    /// deny them came into force.
    fn call_back(&self, mut denied: DeniedSessions, at: Instant, report: &mut EndReport<'_>) {
        denied.retain(|session| session.revocation.revoke(at, session.decision.reason));
        self.metrics.sessions_revoked.inc_by(denied.len() as u64);
        let (policy, now) = (self.policy.load(), Timestamp::now());
        // Thousands of sessions of one page would fill the recorder's queue.
        let mut seen: HashSet<(&str, &str, Reason), RandomState> = HashSet::default();
        for DeniedSession { widget, facts, decision, .. } in &denied {
            let facts = facts.facts(widget);
            let embedder = facts.counted_embedder(&policy);
            if let Some(sighting) = Sighting::of_verdict(&facts, embedder, decision, None, now)
                && seen.insert((widget, sighting.embedder, decision.reason))
            {
                self.activity.record(&sighting);
            }
        }
        report.take(denied);
    }

    fn expect_expiry(&self, of_widget: &mut WidgetSessions, rules: Option<WidgetRules<'_>>, now: Timestamp) {
        let next = rules.and_then(|rules| rules.allowlist.next_expiry(now));
        self.expiries.replace(&of_widget.widget, of_widget.expires_at, next);
        of_widget.expires_at = next;
    }

    /// What a session rests on; `None`: it has ended.
    pub(super) fn facts(&self, widget: &str, id: u64) -> Option<SessionFacts> {
        let shard = self.shard(widget);
        Some(shard.get(widget)?.sessions.get(&id)?.facts.clone())
    }

    /// Counts a session for its widget's limits from now on, whatever they say: its answer proves to be a stream. `address`:
    /// the client's.
    pub(super) fn streams(&self, widget: &str, id: u64, address: Option<IpAddr>) {
        let mut shard = self.shard(widget);
        let sessions = shard.get_mut(widget).map(|of_widget| &mut of_widget.sessions);
        let Some(entry) = sessions.and_then(|sessions| sessions.get_mut(&id)) else { return };
        entry.streams(address);
        let book = self.rules.load();
        if let Some((rules, limits)) = limited(book.get(widget)) {
            let policy = self.policy.load();
            let decision = entry.facts.judge(Some(rules), &policy, Timestamp::now());
            entry.count_for((rules, &limits), (&decision, &policy), &self.limiter);
        }
    }

    /// Ends a session.
    pub(super) fn close(&self, widget: &Arc<str>, id: u64) {
        let mut shard = self.shard(widget);
        let Some(of_widget) = shard.get_mut(widget) else { return };
        let Some(ended) = of_widget.sessions.remove(&id) else { return };
        if of_widget.sessions.is_empty() {
            self.expiries.replace(widget, of_widget.expires_at, None);
            self.widgets.fetch_sub(1, Ordering::Relaxed);
            shard.remove(widget);
        }
        // What it gives back has locks of its own.
        drop(shard);
        drop(ended);
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.metrics.sessions_open.dec();
    }

    fn shard(&self, widget: &str) -> MutexGuard<'_, Shard> {
        // The remainder is always an index of the array.
        self.shards[self.hasher.hash_one(widget) as usize % SHARDS].lock()
    }
}

/// The rules of a widget with limits.
fn limited(rules: Option<WidgetRules<'_>>) -> Option<(WidgetRules<'_>, Limits)> {
    rules.and_then(|rules| Some((rules, rules.limits?.read())))
}

impl Observer for SessionRegistry {
    fn swapped(&self, swap: &Swap<'_>) {
        let at = Instant::now();
        let mut report = EndReport::new(&self.events, Occasion::Swap(swap));
        if swap.changed.len() <= self.widgets.load(Ordering::Relaxed) {
            for changed in swap.changed {
                self.judge_widget(changed.id.as_str(), at, &mut report, |judge| judge(swap.book));
            }
            report.tell();
            return;
        }
        // More changes than widgets with sessions, as after an import: then it is faster to search each such
        // widget among the changes.
        let changed = |of_widget: &WidgetSessions| {
            swap.changed.binary_search_by(|changed| changed.id.as_str().cmp(&of_widget.widget)).is_ok()
        };
        for shard in &self.shards {
            let mut denied = DeniedSessions::default();
            let mut shard = shard.lock();
            shard
                .values_mut()
                .filter(|of_widget| changed(of_widget))
                .for_each(|of_widget| self.judge(of_widget, swap.book, &mut denied));
            drop(shard);
            self.call_back(denied, at, &mut report);
        }
        report.tell();
    }

    fn rejected(&self, _source: SourceKind, _error: &RulesError) {}
}

impl OpenSessions for SessionRegistry {
    fn of_widget(&self, id: &str) -> Vec<OpenSession> {
        let shard = self.shard(id);
        let entries = shard.get(id).into_iter().flat_map(|of_widget| of_widget.sessions.values());
        entries.map(SessionEntry::shown).collect()
    }

    fn count_of_widget(&self, id: &str) -> usize {
        self.shard(id).get(id).map_or(0, |of_widget| of_widget.sessions.len())
    }

    fn count(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

impl std::fmt::Debug for SessionRegistry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionRegistry").field("open", &self.open).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
