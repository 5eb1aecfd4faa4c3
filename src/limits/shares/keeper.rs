//! Keeper of this edge's shares: does what the ledger says, for as long as the process runs.

use std::convert::Infallible;
use std::future::pending;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinSet;
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

/// Pause before it is tried again.
const PAUSE: Duration = Duration::from_millis(300);

/// Time after which it is looked whether another edge has made the place of the notes.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// The same failure is logged again after this time.
const SAID_AGAIN: Duration = Duration::from_secs(30);

const SECONDS_A_DAY: i64 = 24 * 60 * 60;

/// Shares of this edge in a fleet.
pub struct FleetShares {
    ledger: Mutex<ShareLedger>,
    notes: Arc<dyn FleetNotes>,
    counts: OnceLock<Weak<dyn BudgetUse>>,
    has_due: Notify,
    is_needed: Notify,
}

impl Shares for FleetShares {
    fn share(&self, budget: &Budget<'_>, limit: u32, used: u32) -> u32 {
        let mut ledger = self.ledger.lock();
        if !ledger.is_needed() {
            self.is_needed.notify_one();
        }
        let share = ledger.share(budget, limit, used, time());
        if ledger.has_due() {
            self.has_due.notify_one();
        }
        share
    }

    fn more(&self, budget: &Budget<'_>, limit: u32, used: u32) -> Option<ShareWait> {
        let mut ledger = self.ledger.lock();
        let changed = ledger.more(budget, limit, used, time());
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

    fn holder(&self) -> Option<SucceededHolder> {
        self.ledger.lock().holder(Instant::now())
    }
}

impl FleetShares {
    /// Shares of an edge that holds nothing yet. `succeeded`: the holder in whose place this process goes on, with its counts.
    pub fn new(notes: Arc<dyn FleetNotes>, succeeded: Option<SucceededHolder>) -> Arc<Self> {
        let ledger = ShareLedger::new(notes.edge(), notes.process(), succeeded, Instant::now());
        Arc::new(Self {
            ledger: Mutex::new(ledger),
            notes,
            counts: OnceLock::new(),
            has_due: Notify::new(),
            is_needed: Notify::new(),
        })
    }

    /// Has this tell how much is used.
    pub fn count_by(&self, counts: Weak<dyn BudgetUse>) {
        // The first is the only one: there is one limiter in a process.
        let _ = self.counts.set(counts);
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
                tracing::warn!("the shares of limits are not kept, and are tried again: {told}");
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
            ledger.arrives(&note, time());
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
            self.ledger.lock().renewed(revision, sent, time());
            self.has_due.notify_one();
            sleep(RENEWED).await;
        }
    }

    /// Does what is due, for ever.
    async fn work(self: &Arc<Self>) {
        let mut errands = JoinSet::new();
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            while errands.len() < AT_ONCE {
                let due = self.ledger.lock().next_due();
                let Some(due) = due else { break };
                if let Some(errand) = self.errand(&due) {
                    errands.spawn(Arc::clone(self).go(due.id, errand));
                }
            }
            tokio::select! {
                Some(_) = errands.join_next() => {}
                () = self.has_due.notified(), if errands.len() < AT_ONCE => {}
                _ = tick.tick() => {
                    let edges = self.notes.edges();
                    self.ledger.lock().tick(edges, time());
                }
            }
        }
    }

    fn errand(&self, due: &DueBudget) -> Option<ShareErrand> {
        // Outside of the lock: whoever counts asks for shares while it holds its own.
        let counts = self.counts.get().and_then(Weak::upgrade);
        let used = counts.map(|counts| counts.used(&due.name.budget()));
        let is_over = |edge: &str| self.notes.is_over(edge);
        self.ledger.lock().errand(due, used, time(), is_over)
    }

    async fn go(self: Arc<Self>, id: BudgetId, errand: ShareErrand) {
        let result = match errand {
            ShareErrand::Read => ErrandResult::Read(self.notes.read(&id.key()).await),
            ShareErrand::Write(write) => self.write(id, write).await,
        };
        let mut ledger = self.ledger.lock();
        ledger.done(id, result, time());
        if ledger.has_due() {
            self.has_due.notify_one();
        }
    }

    async fn write(&self, id: BudgetId, write: PlannedWrite) -> ErrandResult {
        for lease in &write.confirm {
            let Ok(last) = self.notes.read(&lease.key).await else { return ErrandResult::Unconfirmed };
            if last.as_ref().map_or(0, |note| note.revision) != lease.revision {
                if let Some(note) = last {
                    self.ledger.lock().arrives(&note, time());
                }
                return ErrandResult::Unconfirmed;
            }
        }
        let written = self.notes.write(&id.key(), write.expected, write.document.written()).await;
        ErrandResult::Written(write, written)
    }
}

/// The time on both clocks.
fn time() -> ShareTime {
    ShareTime { now: Instant::now(), today: Timestamp::now().as_second().div_euclid(SECONDS_A_DAY) }
}
