//! Ledger of all budgets that this edge shares with others, and of its lease. Nothing in it waits or sends.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use embedgate_policy::limits::LimitKind;

use super::budget::{BudgetStanding, PlannedWrite, ShareErrand, SharedBudget};
use super::document::{BudgetId, BudgetName, ShareDocument};
use super::leases::LeaseTable;
use super::table::{BudgetTable, PARTS};
use super::{Budget, SucceededHolder};
use crate::rules::fleet::{FleetNote, NoteFault};

/// Time in which the first lease may be had: requests wait for it.
const FIRST_LEASE: Duration = Duration::from_secs(3);

/// Ledger of the shares of this edge.
#[derive(Debug)]
pub(super) struct ShareLedger {
    leases: LeaseTable,
    budgets: BudgetTable,
    /// Those that are to be looked at next.
    due: VecDeque<BudgetId>,
    is_due: HashSet<BudgetId>,
    edges: u32,
    /// When the place of the notes was made.
    made_at: Option<u64>,
    /// When somebody first wanted a share.
    needed: Option<Instant>,
    began: Instant,
    /// How often there was no room for a newcomer.
    turned_away: u64,
}

/// Time of a call: on the clock that never goes back, and the day, counted from 1970.
#[derive(Clone, Copy, Debug)]
pub(super) struct ShareTime {
    pub(super) now: Instant,
    pub(super) today: i64,
}

impl ShareTime {
    /// Now, on this day.
    pub(super) fn on(day: u32) -> Self {
        Self { now: Instant::now(), today: day.into() }
    }
}

/// Budget that is to be looked at, by its names, with the number of those that were let through until now.
#[derive(Clone, Debug)]
pub(super) struct DueBudget {
    pub(super) id: BudgetId,
    pub(super) name: BudgetName,
    admitted: u64,
    number: u64,
}

/// What has come of an errand.
#[derive(Clone, Debug)]
pub(super) enum ErrandResult {
    Read(Result<Option<FleetNote>, NoteFault>),
    Written(PlannedWrite, Result<u64, NoteFault>),
    /// A lease was not the last one of its edge, so nothing was written.
    Unconfirmed,
}

impl ShareLedger {
    /// A ledger of nothing. `succeeded`: the process in whose place this one goes on, with its counts.
    pub(super) fn new(edge: &str, process: &str, succeeded: Option<SucceededHolder>, now: Instant) -> Self {
        Self {
            leases: LeaseTable::new(edge, process, succeeded, now),
            budgets: BudgetTable::new(),
            due: VecDeque::new(),
            is_due: HashSet::new(),
            edges: 1,
            made_at: None,
            needed: None,
            began: now,
            turned_away: 0,
        }
    }

    /// Does something with a budget; one that is not there is made, if there is room for it.
    fn with<T>(
        &mut self,
        (id, budget): (BudgetId, &Budget<'_>),
        at: ShareTime,
        act: impl FnOnce(&mut SharedBudget, &BudgetStanding<'_>) -> T,
    ) -> Option<T> {
        let Some(shared) = self.budgets.entry(id, budget, at.now) else {
            self.turned_away += 1;
            return None;
        };
        let standing =
            BudgetStanding { leases: &self.leases, now: at.now, today: at.today, edges: self.edges };
        let done = act(shared, &standing);
        if shared.is_due(&standing) {
            Self::note_due(&mut self.due, &mut self.is_due, id);
        }
        Some(done)
    }

    fn note_due(due: &mut VecDeque<BudgetId>, is_due: &mut HashSet<BudgetId>, id: BudgetId) {
        if is_due.insert(id) {
            due.push_back(id);
        }
    }

    /// What this edge may use of a limit, where so much was used before somebody counted one more.
    pub(super) fn share(
        &mut self,
        (id, budget): (BudgetId, &Budget<'_>),
        limit: u32,
        used: u32,
        at: ShareTime,
    ) -> u32 {
        self.needed.get_or_insert(at.now);
        let one = u32::from(self.leases.has_one(budget.kind, at.now));
        self.with((id, budget), at, |shared, standing| shared.share(limit, used, standing)).unwrap_or(one)
    }

    /// Asks for more. What is returned is told of a change; `None`: nothing comes soon.
    pub(super) fn more(
        &mut self,
        budget: (BudgetId, &Budget<'_>),
        limit: u32,
        used: u32,
        at: ShareTime,
    ) -> Option<watch::Receiver<()>> {
        let needed = *self.needed.get_or_insert(at.now);
        let is_first = !self.leases.was_acquired() && at.now - needed.max(self.began) < FIRST_LEASE;
        if !self.leases.is_valid(at.now) && !is_first {
            return None;
        }
        self.with(budget, at, |shared, standing| shared.more(limit, used, standing)).flatten()
    }

    /// The process that holds the shares of this one, for one that goes on in its place.
    pub(super) fn holder(&self, now: Instant) -> Option<SucceededHolder> {
        self.leases.holder(now)
    }

    /// Whether somebody wanted a share.
    pub(super) fn is_needed(&self) -> bool {
        self.needed.is_some()
    }

    /// Whether something is to be looked at.
    pub(super) fn has_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Notes the number of edges.
    pub(super) fn note_edges(&mut self, edges: usize) {
        self.edges = u32::try_from(edges).unwrap_or(u32::MAX).max(1);
    }

    /// Looks for what is due because time has passed, in each part by itself: between two of them, requests get the lock.
    pub(super) fn parts() -> impl Iterator<Item = usize> {
        0..PARTS
    }

    /// Looks through one part.
    pub(super) fn tick(&mut self, part: usize, at: ShareTime) {
        let standing =
            BudgetStanding { leases: &self.leases, now: at.now, today: at.today, edges: self.edges };
        let is_crowded = self.budgets.is_crowded();
        self.budgets.retain(part, |id, shared| {
            if shared.is_due(&standing) {
                Self::note_due(&mut self.due, &mut self.is_due, id);
                return true;
            }
            !(is_crowded && shared.is_newcomer && shared.can_be_read_again(&standing))
        });
    }

    /// How often there was no room for a newcomer since this was last asked.
    pub(super) fn take_turned_away(&mut self) -> u64 {
        std::mem::take(&mut self.turned_away)
    }

    /// Whether this edge may use one open a minute, whatever it holds.
    pub(super) fn has_one_a_minute(&self, now: Instant) -> bool {
        self.leases.has_one(LimitKind::OpensPerMinute, now)
    }

    /// The next budget that is to be looked at.
    pub(super) fn next_due(&mut self) -> Option<DueBudget> {
        loop {
            let id = self.due.pop_front()?;
            self.is_due.remove(&id);
            if let Some(shared) = self.budgets.get_mut(id) {
                let SharedBudget { name, admitted, number, .. } = shared;
                return Some(DueBudget { id, name: name.clone(), admitted: *admitted, number: *number });
            }
        }
    }

    /// What is to be done about a budget. `used`: how much of it was used after it was given as due.
    pub(super) fn errand(
        &mut self,
        due: &DueBudget,
        used: Option<u32>,
        at: ShareTime,
        is_over: impl Fn(&str) -> bool,
    ) -> Option<ShareErrand> {
        let shared = self.budgets.get_mut(due.id).filter(|shared| shared.number == due.number)?;
        let standing =
            BudgetStanding { leases: &self.leases, now: at.now, today: at.today, edges: self.edges };
        let errand = shared.plan(used.map(|used| (due.admitted, used)), &standing, is_over);
        if errand.is_none() && shared.is_idle(&standing) {
            self.budgets.remove(due.id);
        }
        errand
    }

    /// Takes what has come of an errand.
    pub(super) fn done(&mut self, id: BudgetId, result: ErrandResult, at: ShareTime) {
        let Some(shared) = self.budgets.get_mut(id) else { return };
        let standing =
            BudgetStanding { leases: &self.leases, now: at.now, today: at.today, edges: self.edges };
        shared.is_busy = false;
        match result {
            ErrandResult::Read(Ok(note)) => {
                let (revision, document) = match note {
                    Some(note) => (note.revision, document_of(&shared.name, &note)),
                    None => (0, Some(ShareDocument::new(shared.name.clone()))),
                };
                shared.was_read();
                shared.take(revision, document, &standing);
            }
            ErrandResult::Read(Err(_)) => shared.pause(at.now),
            ErrandResult::Written(write, Ok(revision)) => {
                shared.take(revision, Some(write.document), &standing);
            }
            ErrandResult::Written(_, Err(NoteFault::Outdated)) => {
                shared.was_not_written();
                shared.was_outdated();
            }
            ErrandResult::Written(_, Err(NoteFault::NotDone(_))) => {
                shared.was_not_written();
                shared.pause(at.now);
            }
            // The lease that was read is known by now.
            ErrandResult::Unconfirmed => shared.was_not_written(),
            ErrandResult::Written(_, Err(NoteFault::Unknown(_))) => {
                shared.may_be_written();
                shared.pause(at.now);
            }
        }
        if shared.is_due(&standing) {
            Self::note_due(&mut self.due, &mut self.is_due, id);
        }
    }

    /// Takes a note that somebody has written.
    pub(super) fn arrives(&mut self, note: &FleetNote, at: ShareTime) {
        let Some(id) = BudgetId::of_key(&note.key) else {
            self.leases.see(note, at.now);
            return;
        };
        let Some(shared) = self.budgets.get_mut(id) else { return };
        let standing =
            BudgetStanding { leases: &self.leases, now: at.now, today: at.today, edges: self.edges };
        shared.take(note.revision, document_of(&shared.name, note), &standing);
        if shared.is_due(&standing) {
            Self::note_due(&mut self.due, &mut self.is_due, id);
        }
    }

    /// Begins with notes whose place was made then. What was under way before has been given up.
    pub(super) fn begins(&mut self, made_at: u64, now: Instant) {
        let is_another = self.made_at.replace(made_at).is_some_and(|before| before != made_at);
        if is_another {
            self.leases.begin_anew();
        }
        self.leases.follow_from(now);
        for shared in self.budgets.values_mut() {
            shared.resume();
            if std::mem::take(&mut shared.is_busy) {
                shared.may_be_written();
            }
            if is_another {
                shared.begin_anew();
            }
        }
    }

    /// The key of this edge's lease.
    pub(super) fn lease_key(&self) -> String {
        self.leases.key()
    }

    /// Takes over from whoever had this edge's lease before.
    pub(super) fn acquires(&mut self, before: Option<&FleetNote>, now: Instant) {
        self.leases.acquire(before, now);
    }

    /// What is written to renew the lease: the key, the revision that is expected, and what it says.
    pub(super) fn renewal(&self) -> (String, u64, Vec<u8>) {
        self.leases.renewal()
    }

    /// The lease was renewed by what was sent then.
    pub(super) fn renewed(&mut self, revision: u64, sent: Instant, now: Instant) {
        self.leases.renewed(revision, sent, now);
    }

    /// From now on, what is not used is given back: this edge is about to stop.
    pub(super) fn leaves_soon(&mut self, now: Instant) {
        self.leases.leave_soon(now);
    }

    /// Whether something is still to be written.
    pub(super) fn is_at_work(&mut self, at: ShareTime) -> bool {
        let standing =
            BudgetStanding { leases: &self.leases, now: at.now, today: at.today, edges: self.edges };
        self.budgets.values_mut().any(|shared| shared.is_busy || shared.is_due(&standing))
    }

    /// Gives the lease up.
    pub(super) fn leaves(&mut self, now: Instant) {
        self.leases.give_up(now);
    }
}

/// What a note says of this budget; `None` where it can't be read.
fn document_of(name: &BudgetName, note: &FleetNote) -> Option<ShareDocument> {
    if note.body.is_empty() {
        return Some(ShareDocument::new(name.clone()));
    }
    let read = serde_json::from_slice(&note.body);
    if read.is_err() {
        tracing::warn!(
            key = note.key,
            "a share of a limit can't be read: each edge lets through one, until it is replaced after a while"
        );
    }
    read.ok()
}
