//! The registry of open sessions: who is in, on whose word, and how to call each back.
//!
//! A session is registered first and judged again after, both under the lock that a swap takes to look at the
//! widget's sessions. So a change of the rules either finds the session here or is the one it is judged by: none
//! slips between. Sessions are kept by widget, so a swap costs what the sessions of the changed widgets cost.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use jiff::Timestamp;

use crate::policy::decision::{EdgePolicy, WidgetRules};
use crate::rules::book::RuleBook;
use crate::rules::error::RulesError;
use crate::rules::live::LiveRules;
use crate::rules::publisher::{Observer, Swap};
use crate::rules::sessions::{OpenSession, OpenSessions, SessionFacts};
use crate::rules::source::SourceKind;
use crate::telemetry::metrics::Metrics;

mod expiry;
mod revocation;

pub use revocation::Revocation;

use expiry::Expiries;

/// Sessions of different widgets rarely meet at one lock.
const SHARDS: usize = 64;

/// All open sessions of this edge.
pub struct Sessions {
    rules: LiveRules,
    policy: Arc<ArcSwap<EdgePolicy>>,
    metrics: Arc<Metrics>,
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    /// How many widgets have open sessions.
    widgets: AtomicUsize,
    open: AtomicUsize,
    next: AtomicU64,
    expiries: Expiries,
}

type Shard = HashMap<Arc<str>, Room, RandomState>;
type Denied = Vec<Arc<Revocation>>;

/// The open sessions of one widget; at least one.
struct Room {
    widget: Arc<str>,
    sessions: HashMap<u64, Seat, RandomState>,
    /// When an entry of the widget's list expires next; on the agenda for as long as there are sessions.
    expires_at: Option<Timestamp>,
}

impl Room {
    fn new(widget: Arc<str>) -> Self {
        Self { widget, sessions: HashMap::default(), expires_at: None }
    }
}

struct Seat {
    facts: SessionFacts,
    since: Timestamp,
    revocation: Arc<Revocation>,
}

impl Sessions {
    /// An empty registry of sessions that rest on these rules and this policy.
    pub fn new(rules: LiveRules, policy: Arc<ArcSwap<EdgePolicy>>, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            rules,
            policy,
            metrics,
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::default(),
            widgets: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            next: AtomicU64::new(0),
            expiries: Expiries::default(),
        })
    }

    /// Opens a session that was allowed a moment ago. `None`: by the rules in force now it is not.
    pub fn open(self: &Arc<Self>, widget: &str, facts: SessionFacts) -> Option<SessionGuard> {
        let mut shard = self.shard(widget);
        // What comes into force from here on waits for the lock, and then finds the session.
        let book = self.rules.load();
        let rules = book.get(widget);
        let now = Timestamp::now();
        if !facts.judge(rules, &self.policy.load(), now).is_allowed() {
            return None;
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let revocation = Arc::new(Revocation::default());
        if !shard.contains_key(widget) {
            let widget: Arc<str> = widget.into();
            let mut room = Room::new(Arc::clone(&widget));
            self.expect_expiry(&mut room, rules, now);
            shard.insert(widget, room);
            self.widgets.fetch_add(1, Ordering::Relaxed);
        }
        let room = shard.get_mut(widget)?;
        let widget = Arc::clone(&room.widget);
        room.sessions.insert(id, Seat { facts, since: now, revocation: Arc::clone(&revocation) });
        drop(shard);
        self.open.fetch_add(1, Ordering::Relaxed);
        self.metrics.sessions_open.inc();
        Some(SessionGuard { sessions: Arc::clone(self), widget, id, revocation })
    }

    /// Judges all sessions again, by a policy that holds for all widgets and is in force already.
    pub fn judge_all(&self) {
        let at = Instant::now();
        for shard in &self.shards {
            let mut denied = Denied::default();
            {
                let mut shard = lock(shard);
                let book = self.rules.load();
                shard.values_mut().for_each(|room| self.judge(room, &book, &mut denied));
            }
            self.call_back(denied, at);
        }
    }

    /// Judges sessions again at the instant at which an entry they may rest on expires. Runs for ever.
    pub async fn watch_expiries(&self) {
        loop {
            for widget in self.expiries.due().await {
                let at = Instant::now();
                // Under the lock, so that no older book comes after a newer one.
                self.judge_widget(&widget, at, |judge| judge(&self.rules.load()));
            }
        }
    }

    fn judge_widget(&self, id: &str, at: Instant, with_book: impl FnOnce(&mut dyn FnMut(&RuleBook))) {
        let mut denied = Denied::default();
        if let Some(room) = self.shard(id).get_mut(id) {
            with_book(&mut |book| self.judge(room, book, &mut denied));
        }
        self.call_back(denied, at);
    }

    /// Judges the sessions of one widget by this book, and adds those that it denies.
    fn judge(&self, room: &mut Room, book: &RuleBook, denied: &mut Denied) {
        let rules = book.get(&room.widget);
        let policy = self.policy.load();
        let now = Timestamp::now();
        let seats = room.sessions.values();
        let lost = seats.filter(|seat| !seat.facts.judge(rules, &policy, now).is_allowed());
        denied.extend(lost.map(|seat| Arc::clone(&seat.revocation)));
        self.expect_expiry(room, rules, now);
    }

    /// Calls sessions back, outside of the lock that each takes when it ends. `at`: when the rules that deny them
    /// came into force.
    fn call_back(&self, denied: Denied, at: Instant) {
        let called = denied.iter().filter(|revocation| revocation.revoke(at)).count();
        self.metrics.sessions_revoked.inc_by(called as u64);
    }

    fn expect_expiry(&self, room: &mut Room, rules: Option<WidgetRules<'_>>, now: Timestamp) {
        let next = rules.and_then(|rules| rules.allowlist.next_expiry(now));
        self.expiries.replace(&room.widget, room.expires_at, next);
        room.expires_at = next;
    }

    fn close(&self, widget: &Arc<str>, id: u64) {
        let mut shard = self.shard(widget);
        if let Some(room) = shard.get_mut(widget)
            && room.sessions.remove(&id).is_some()
        {
            self.open.fetch_sub(1, Ordering::Relaxed);
            self.metrics.sessions_open.dec();
            if room.sessions.is_empty() {
                self.expiries.replace(widget, room.expires_at, None);
                self.widgets.fetch_sub(1, Ordering::Relaxed);
                shard.remove(widget);
            }
        }
    }

    fn shard(&self, widget: &str) -> MutexGuard<'_, Shard> {
        // The remainder is a place in the array.
        lock(&self.shards[self.hasher.hash_one(widget) as usize % SHARDS])
    }
}

impl Observer for Sessions {
    fn swapped(&self, swap: &Swap<'_>) {
        let at = Instant::now();
        if swap.changed.len() <= self.widgets.load(Ordering::Relaxed) {
            for changed in swap.changed {
                self.judge_widget(changed.id.as_str(), at, |judge| judge(swap.book));
            }
            return;
        }
        // More changes than widgets in use, as by an import: the few are looked for among the many.
        let changed = |room: &Room| {
            swap.changed.binary_search_by(|changed| changed.id.as_str().cmp(&room.widget)).is_ok()
        };
        for shard in &self.shards {
            let mut denied = Denied::default();
            let mut shard = lock(shard);
            shard
                .values_mut()
                .filter(|room| changed(room))
                .for_each(|room| self.judge(room, swap.book, &mut denied));
            drop(shard);
            self.call_back(denied, at);
        }
    }

    fn rejected(&self, _source: SourceKind, _error: &RulesError) {}
}

impl OpenSessions for Sessions {
    fn of_widget(&self, id: &str) -> Vec<OpenSession> {
        let shard = self.shard(id);
        let seats = shard.get(id).into_iter().flat_map(|room| room.sessions.values());
        seats.map(|seat| OpenSession { facts: seat.facts.clone(), since: seat.since }).collect()
    }

    fn count(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions").field("open", &self.open).finish_non_exhaustive()
    }
}

/// One open session. It is over when this is dropped.
#[derive(Debug)]
pub struct SessionGuard {
    sessions: Arc<Sessions>,
    widget: Arc<str>,
    id: u64,
    revocation: Arc<Revocation>,
}

impl SessionGuard {
    /// How the session is called back.
    pub fn revocation(&self) -> &Arc<Revocation> {
        &self.revocation
    }

    /// The counters that the session is counted by.
    pub fn metrics(&self) -> &Metrics {
        &self.sessions.metrics
    }
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        self.sessions.close(&self.widget, self.id);
    }
}

/// No holder leaves half-made data behind, so a lock that saw a panic is as good as before.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
