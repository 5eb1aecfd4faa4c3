//! Keeper of this edge's shares: does what the ledger says, for as long as the process runs.

use std::convert::Infallible;
use std::future::pending;
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::{JoinSet, yield_now};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::budget::{PlannedWrite, ShareErrand, WAIT};
use super::document::BudgetId;
use super::ledger::{DueBudget, ErrandResult, ShareLedger, ShareTime};
use super::{Budget, BudgetUse, ShareWait, Shares, SucceededHolder};
use crate::rules::fleet::{FleetNotes, NoteFault};

/// Time between two renewals of the lease.
const RENEWED: Duration = Duration::from_secs(5);

/// Time between two looks for what is due because time has passed.
const TICK: Duration = Duration::from_millis(500);

/// Errands that are under way at once.
const AT_ONCE: usize = 32;

/// Budgets that are looked at without a pause. The same task renews the lease.
const A_ROUND: usize = 64;

/// Pause before it is tried again.
const PAUSE: Duration = Duration::from_millis(300);

/// Time after which it is looked whether another edge has made the place of the notes.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// Time in which an edge that is about to stop gives back what it holds, and between two looks whether it has.
const GIVEN_BACK: Duration = Duration::from_secs(1);
const LOOK_IF_GIVEN: Duration = Duration::from_millis(20);

/// The same failure is logged again after this time.
const SAID_AGAIN: Duration = Duration::from_secs(30);

/// It is told again after this time that there is no room for newcomers.
const NO_ROOM_AGAIN: Duration = Duration::from_secs(600);

/// Shares of this edge in a fleet.
pub struct FleetShares {
    ledger: Mutex<ShareLedger>,
    notes: Arc<dyn FleetNotes>,
    counts: Weak<dyn BudgetUse>,
    has_due: Notify,
    is_needed: Notify,
}

#[async_trait]
impl Shares for FleetShares {
    fn share(&self, budget: &Budget<'_>, limit: u32, used: u32, day: u32) -> u32 {
        let (id, at) = (BudgetId::of(budget), ShareTime::on(day));
        let mut ledger = self.ledger.lock();
        if !ledger.is_needed() {
            self.is_needed.notify_one();
        }
        let share = ledger.share((id, budget), limit, used, at);
        if ledger.has_due() {
            self.has_due.notify_one();
        }
        share
    }

    fn more(&self, budget: &Budget<'_>, limit: u32, used: u32, day: u32) -> Option<ShareWait> {
        let (id, at) = (BudgetId::of(budget), ShareTime::on(day));
        let mut ledger = self.ledger.lock();
        let changed = ledger.more((id, budget), limit, used, at);
        if ledger.has_due() {
            self.has_due.notify_one();
        }
        drop(ledger);
        let mut changed = changed?;
        Some(ShareWait(Box::pin(async move {
            // Whoever has waited asks again, whatever has come.
            let _ = timeout(WAIT, changed.changed()).await;
        })))
    }

    async fn give_back(&self) {
        self.ledger.lock().leaves_soon(Instant::now());
        let all = async {
            self.look_through().await;
            while self.ledger.lock().is_at_work(self.time()) {
                sleep(LOOK_IF_GIVEN).await;
            }
        };
        // What has come to nothing by then counts as if this edge were killed.
        let _ = timeout(GIVEN_BACK, all).await;
    }

    fn holder(&self) -> Option<SucceededHolder> {
        self.ledger.lock().holder(Instant::now())
    }
}

impl FleetShares {
    /// Shares of an edge that holds nothing yet. `counts`: who tells how much is used; `succeeded`: the holder in whose place this
    /// process goes on, with its counts.
    pub fn new(
        notes: Arc<dyn FleetNotes>,
        counts: Weak<dyn BudgetUse>,
        succeeded: Option<SucceededHolder>,
    ) -> Arc<Self> {
        let ledger = ShareLedger::new(notes.edge(), notes.process(), succeeded, Instant::now());
        Arc::new(Self {
            ledger: Mutex::new(ledger),
            notes,
            counts,
            has_due: Notify::new(),
            is_needed: Notify::new(),
        })
    }

    /// Keeps the shares until this process ends or is relieved.
    pub async fn run(self: Arc<Self>) {
        let mut last: Option<(String, Instant)> = None;
        while self.notes.is_connected().await {
            let Err(fault) = self.session().await;
            let told = fault.to_string();
            if !self.ledger.lock().is_needed() {
                // Who limits nothing needs no place for shares, and may not have the right to look for one.
                tracing::debug!("shares of limits are not looked for yet: {told}");
                let _ = timeout(LOOK_AGAIN, self.is_needed.notified()).await;
                continue;
            }
            let is_news = last.as_ref().is_none_or(|(said, at)| *said != told || at.elapsed() >= SAID_AGAIN);
            if is_news {
                let has_one = self.ledger.lock().has_one_a_minute(Instant::now());
                let a_minute = if has_one { "one" } else { "none" };
                tracing::warn!(
                    "the shares of limits are not kept, and are tried again: {told}. What this edge holds is good for 30 s at most. \
                     Then each limit lets through one session or open of a day here, and of opens a minute {a_minute}"
                );
                last = Some((told, Instant::now()));
            }
            sleep(PAUSE.mul_f64(0.5 + rand::random::<f64>())).await;
        }
        self.ledger.lock().leaves(Instant::now());
    }

    /// Keeps the shares for as long as that goes well.
    async fn session(self: &Arc<Self>) -> Result<Infallible, NoteFault> {
        let made_at = self.made_at().await?;
        self.ledger.lock().begins(made_at, Instant::now());
        let key = self.ledger.lock().lease_key();
        let before = self.notes.read(&key).await?;
        self.ledger.lock().acquires(before.as_ref(), Instant::now());
        let mut take = |note| {
            let mut ledger = self.ledger.lock();
            ledger.arrives(&note, self.time());
            if ledger.has_due() {
                self.has_due.notify_one();
            }
        };
        tokio::select! {
            fault = self.notes.follow(&mut take) => Err(fault),
            fault = self.renew() => fault,
            () = self.work() => pending().await,
        }
    }

    /// When the place of the notes was made. Nobody makes it before it is needed.
    async fn made_at(&self) -> Result<u64, NoteFault> {
        loop {
            if let Some(made_at) = self.notes.made_at().await? {
                return Ok(made_at);
            }
            if self.ledger.lock().is_needed() {
                self.notes.make().await?;
            } else {
                // After a while somebody else may need it, and whatever has happened is looked at anew.
                let _ = timeout(LOOK_AGAIN, self.is_needed.notified()).await;
            }
        }
    }

    /// Renews the lease, again and again.
    async fn renew(&self) -> Result<Infallible, NoteFault> {
        loop {
            let (key, expected, body) = self.ledger.lock().renewal();
            let sent = Instant::now();
            let revision = self.notes.write(&key, expected, body).await?;
            self.ledger.lock().renewed(revision, sent, Instant::now());
            self.look_through().await;
            sleep(RENEWED).await;
        }
    }

    /// Does what is due, for ever.
    async fn work(self: &Arc<Self>) {
        let mut errands = JoinSet::new();
        let (mut turned_away, mut told) = (0, None::<Instant>);
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let mut planned = 0;
            while errands.len() < AT_ONCE && planned < A_ROUND {
                let due = self.ledger.lock().next_due();
                let Some(due) = due else { break };
                planned += 1;
                if let Some(errand) = self.errand(&due) {
                    errands.spawn(Arc::clone(self).go(due.id, errand));
                }
            }
            if planned == A_ROUND {
                self.has_due.notify_one();
                yield_now().await;
            }
            tokio::select! {
                Some(_) = errands.join_next() => {}
                () = self.has_due.notified(), if errands.len() < AT_ONCE => {}
                _ = tick.tick() => {
                    self.look_through().await;
                    turned_away += self.ledger.lock().take_turned_away();
                    if turned_away > 0 && told.is_none_or(|told| told.elapsed() >= NO_ROOM_AGAIN) {
                        tracing::warn!(
                            opens = turned_away,
                            "there is no room for the shares of more embedders that no entry names exactly: \
                             each of their limits lets through one here"
                        );
                        (turned_away, told) = (0, Some(Instant::now()));
                    }
                }
            }
        }
    }

    /// Looks for what is due because time has passed.
    async fn look_through(&self) {
        let edges = self.notes.edges();
        self.ledger.lock().note_edges(edges);
        for part in ShareLedger::parts() {
            self.ledger.lock().tick(part, self.time());
            yield_now().await;
        }
        self.has_due.notify_one();
    }

    fn errand(&self, due: &DueBudget) -> Option<ShareErrand> {
        // Before the lock, for which requests wait. What is let through meanwhile is added: `due` says how many were before.
        let used = self.counts.upgrade().map(|counts| counts.used(&due.name.budget()));
        let is_over = |edge: &str| self.notes.is_over(edge);
        self.ledger.lock().errand(due, used, self.time(), is_over)
    }

    /// The time on both clocks. Where nobody counts any more, it is a day before all others, about which nothing is written.
    fn time(&self) -> ShareTime {
        ShareTime::on(self.counts.upgrade().map_or(0, |counts| counts.today()))
    }

    async fn go(self: Arc<Self>, id: BudgetId, errand: ShareErrand) {
        let result = match errand {
            ShareErrand::Read => ErrandResult::Read(self.notes.read(&id.key()).await),
            ShareErrand::Write(write) => self.write(id, write).await,
        };
        let mut ledger = self.ledger.lock();
        ledger.done(id, result, self.time());
        if ledger.has_due() {
            self.has_due.notify_one();
        }
    }

    async fn write(&self, id: BudgetId, write: PlannedWrite) -> ErrandResult {
        for lease in &write.confirm {
            let last = match self.notes.read(&lease.key).await {
                Ok(last) => last,
                // Nothing was sent that could be written yet.
                Err(fault) => {
                    return ErrandResult::Written(write, Err(NoteFault::NotDone(fault.to_string())));
                }
            };
            if last.as_ref().map_or(0, |note| note.revision) != lease.revision {
                if let Some(note) = last {
                    self.ledger.lock().arrives(&note, self.time());
                }
                return ErrandResult::Unconfirmed;
            }
        }
        let written = self.notes.write(&id.key(), write.expected, write.document.written()).await;
        ErrandResult::Written(write, written)
    }
}
