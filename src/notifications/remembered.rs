//! Sessions that leave the edge: an upstream has named them, and their media goes elsewhere. They are remembered with their
//! embedder, so that the media server can be told once the rules deny it.
//!
//! | part | does |
//! |---|---|
//! | `named` | reads what an answer names |
//! | `memory` | has all of them, by widget and by age |
//! | `learning` | takes in what an answer names, and what another process passes on |
//! | `ledger` | keeps them in the outbox's file: a session is there before its answer passes, and gone once its notice is |
//! | `fleet` | tells other edges of a fleet what is over, and hears it from them |
//! | `judging` | judges them again when the rules change, and forgets them in time |
//! | `row` | their rows in the file |
//!
//! Whatever changes sessions holds the lock of the memory until the change of the file has its turn, so both change in the
//! same order. A session is judged by the rules in force under that lock, so a change of the rules either finds it, or it
//! was judged by them.
//!
//! # Memory
//!
//! [`MOST_SESSIONS`] at most: the oldest is forgotten. Sessions of one page share what they rest on, so each takes some 200
//! bytes and its id; where each has a page of its own, up to 1 KiB.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use tokio::sync::Notify as Wake;
use tokio::time::Instant;

use crate::database::Lendable;
use crate::rules::error::RulesError;
use crate::rules::live::LiveRules;
use crate::rules::publisher::{Observer, Swap};
use crate::rules::sessions::{SessionFacts, is_listed};
use crate::rules::source::SourceKind;
use crate::telemetry::metrics::{Metrics, RememberedMetrics};
use crate::telemetry::tally::Tally;
use embedgate_policy::compiled::WidgetRules;
use embedgate_policy::decision::EdgePolicy;
use embedgate_policy::limits::Limits;

mod fleet;
mod judging;
mod learning;
mod ledger;
mod memory;
mod named;
mod row;

pub use ledger::{KeepsNothing, Ledger, LedgerChange, LedgerCommit};
pub use named::{MOST_NAMED, NamedSession, NamedSessions};

use fleet::JoinedFleet;
use memory::{JudgingPlace, SessionMemory, SessionSource};
pub use row::PassedSessions;

/// Most sessions that are remembered.
pub const MOST_SESSIONS: usize = 100_000;

/// Sessions that are read, judged or listed at once, while nobody else gets at them.
const AT_ONCE: usize = 1_000;

/// Place among the open sessions of a widget, given back when it is dropped.
pub type TakenSeat = Box<dyn Send + Sync>;

/// Counter of open sessions.
pub trait Occupies: Send + Sync {
    /// Takes a place among the open sessions of a widget, whatever its limits say.
    fn occupy(&self, seat: &Seat<'_>) -> TakenSeat;
}

/// Place to be taken.
#[derive(Clone, Copy, Debug)]
pub struct Seat<'a> {
    /// The widget's id.
    pub widget: &'a str,
    /// The widget's limits.
    pub limits: &'a Limits,
    /// The embedder with which the session is counted.
    pub embedder: &'a str,
    /// Whether an entry of the widget names the embedder exactly.
    pub is_listed: bool,
    /// The address of the session's client, where it is known.
    pub address: Option<IpAddr>,
}

/// Reader of the sessions that have left the edge.
pub trait RememberedReader: Send + Sync {
    /// How many there are, of all widgets.
    fn count(&self) -> usize;

    /// What those of one widget rest on, and how many rest on each.
    fn of_widget(&self, id: &str) -> Vec<(SessionFacts, usize)>;
}

/// Request whose answer names sessions.
#[derive(Debug)]
pub struct NamingRequest<'a> {
    /// The widget's id.
    pub widget: &'a str,
    /// What the request was allowed on.
    pub facts: SessionFacts,
    /// The address of its client, where it is known.
    pub address: Option<IpAddr>,
    /// The name of its upstream.
    pub upstream: &'a str,
}

/// Sessions that have left the edge.
pub struct RememberedSessions {
    rules: LiveRules,
    policy: Arc<ArcSwap<EdgePolicy>>,
    ledger: Arc<dyn Ledger>,
    places: Arc<dyn Occupies>,
    metrics: RememberedMetrics,
    malformed: Tally,
    /// Answers that pass before their sessions are kept.
    late: Tally,
    /// Answers whose sessions the process that has taken over is not told of.
    not_passed: Tally,
    fleet: OnceLock<JoinedFleet>,
    state: Mutex<RememberedState>,
    /// All sessions have to be judged again.
    all_changed: AtomicBool,
    /// There is something to do.
    wake: Wake,
}

/// State of the sessions, under its lock.
struct RememberedState {
    memory: SessionMemory,
    /// Time for which they are remembered.
    kept_for: SignedDuration,
    phase: RememberedPhase,
    /// Widgets whose sessions have to be judged again.
    changed: HashSet<Arc<str>>,
    /// Widgets with denied sessions that there was no room to tell of, and from where to go on.
    held_back: HashMap<Arc<str>, JudgingPlace>,
    /// Named to this process after another one has taken over, which has to learn of them.
    passed_on: PassedSessions,
    /// The file lacks something that is remembered, or has something that is not.
    is_behind: bool,
    /// The log has said so.
    is_failing: bool,
    /// All rows are being written anew.
    is_catching_up: bool,
    /// When that may be tried again.
    catches_up_at: Option<Instant>,
    /// How often the file was begun anew, as far as is known here.
    begun_anew: u64,
}

/// Phase in the life of the sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RememberedPhase {
    /// The file was not read yet.
    Unread,
    /// All of them are in memory.
    Whole,
    /// Another process has the file, and judges them.
    Relieved,
}

impl RememberedSessions {
    /// The sessions that this file has, once it is [read](Self::run). `kept_for`: the time for which they are remembered.
    pub fn new(
        rules: LiveRules,
        policy: Arc<ArcSwap<EdgePolicy>>,
        ledger: Arc<dyn Ledger>,
        places: Arc<dyn Occupies>,
        metrics: RememberedMetrics,
        kept_for: Duration,
    ) -> Arc<Self> {
        let state = RememberedState {
            memory: SessionMemory::new(MOST_SESSIONS),
            kept_for: SignedDuration::try_from(kept_for).unwrap_or(SignedDuration::MAX),
            phase: RememberedPhase::Unread,
            changed: HashSet::new(),
            passed_on: PassedSessions::default(),
            held_back: HashMap::new(),
            is_behind: false,
            is_failing: false,
            is_catching_up: false,
            catches_up_at: None,
            begun_anew: 0,
        };
        Arc::new(Self {
            rules,
            policy,
            ledger,
            places,
            metrics,
            malformed: Tally::new(|times, upstream| {
                tracing::warn!(times, upstream, "an upstream named sessions in a way that can't be read");
            }),
            late: Tally::new(|times, upstream| {
                tracing::warn!(
                    times,
                    upstream,
                    "notify.path: sessions that leave the edge are not kept in time; the answers pass"
                );
            }),
            not_passed: Tally::new(|times, _| {
                tracing::warn!(
                    times,
                    "sessions that leave the edge are lost: the process that has taken over is not told of them"
                );
            }),
            fleet: OnceLock::new(),
            state: Mutex::new(state),
            all_changed: AtomicBool::new(false),
            wake: Wake::new(),
        })
    }

    /// Sessions that are in memory alone, and count for no limit: for an edge that is only looked at.
    pub fn unkept(rules: LiveRules, policy: Arc<ArcSwap<EdgePolicy>>, metrics: &Metrics) -> Arc<Self> {
        let nothing = Arc::new(KeepsNothing);
        let kept_for = Duration::from_secs(12 * 60 * 60);
        Self::new(rules, policy, Arc::clone(&nothing) as _, nothing, metrics.remembered.clone(), kept_for)
    }

    /// Has sessions be remembered for this time.
    pub fn set_kept_for(&self, time: Duration) {
        self.state.lock().kept_for = SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
    }

    /// Judges all sessions again, after the policy for all widgets has changed.
    pub fn judge_all(&self) {
        self.all_changed.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// Takes a place for a session that counts, if its widget has limits.
    fn occupy(
        &self,
        SessionSource { widget, facts, .. }: &SessionSource,
        rules: WidgetRules<'_>,
        address: Option<IpAddr>,
    ) -> Option<TakenSeat> {
        let (limits, policy) = (rules.limits?.read(), self.policy.load());
        let decision = facts.judge(Some(rules), &policy, Timestamp::now());
        let of_request = facts.facts(widget);
        let is_counted = decision.is_allowed() && of_request.is_limited(decision.reason, &policy);
        is_counted.then(|| {
            self.places.occupy(&Seat {
                widget,
                limits: &limits,
                embedder: facts.counted_as(widget, &policy),
                is_listed: is_listed(&of_request, &decision, &rules, &policy),
                address,
            })
        })
    }
}

impl Observer for RememberedSessions {
    /// Only notes what has changed: the change is answered before its sessions are judged.
    fn swapped(&self, swap: &Swap<'_>) {
        // It is held by whoever judges, too, for as long as that takes.
        let Some(mut state) = self.state.try_lock() else { return self.judge_all() };
        let RememberedState { memory, changed, .. } = &mut *state;
        if swap.changed.len() <= memory.widgets().len() {
            let ids = swap.changed.iter().map(|changed| changed.id.as_str());
            changed.extend(ids.filter(|id| memory.has_widget(id)).map(Arc::from));
        } else {
            let is_changed =
                |id: &&Arc<str>| swap.changed.binary_search_by(|changed| changed.id.as_str().cmp(id)).is_ok();
            changed.extend(memory.widgets().filter(is_changed).cloned());
        }
        if !changed.is_empty() {
            self.wake.notify_one();
        }
    }

    fn rejected(&self, _source: SourceKind, _error: &RulesError) {}
}

impl Lendable for RememberedSessions {
    fn let_go(&self) {
        let mut state = self.state.lock();
        state.phase = RememberedPhase::Relieved;
        // Their places, too: the process that reads the file takes them.
        state.memory = SessionMemory::new(MOST_SESSIONS);
        state.held_back.clear();
        self.metrics.remembered(0);
    }

    fn take_back(&self) {
        self.state.lock().phase = RememberedPhase::Unread;
        self.wake.notify_one();
    }
}

impl RememberedReader for RememberedSessions {
    fn count(&self) -> usize {
        self.state.lock().memory.len()
    }

    fn of_widget(&self, id: &str) -> Vec<(SessionFacts, usize)> {
        let state = self.state.lock();
        state.memory.of_widget(id).map(|(source, sessions)| (source.facts.clone(), sessions)).collect()
    }
}

impl std::fmt::Debug for RememberedSessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RememberedSessions").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
