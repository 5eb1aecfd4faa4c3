//! Ledger of sessions that have left the edge: rows in the file of the outbox, changed together with its notices.

use std::pin::Pin;
use std::sync::Arc;

use jiff::Timestamp;
use redb::WriteTransaction;
use tokio::task::JoinHandle;

use super::memory::{SessionMemory, SessionName, Stay};
use super::row::{self, RowChanges, SessionRow};
use super::{MOST_SESSIONS, Occupies, RememberedPhase, RememberedSessions, Seat, TakenSeat};
use crate::database::{DatabaseError, DatabaseFault};
use crate::notifications::notice::Notice;
use crate::notifications::outbox::Outbox;
use crate::telemetry::metrics::RememberedOutcome;

/// Change of the file, made in one transaction.
pub type LedgerChange = Box<dyn FnOnce(&WriteTransaction) -> Result<(), DatabaseFault> + Send>;

/// Resolves once a change survives a loss of power, or has failed.
pub type LedgerCommit = Pin<Box<dyn Future<Output = Result<(), DatabaseError>> + Send>>;

/// File of notices and of sessions that have left the edge.
pub trait Ledger: Send + Sync {
    /// Takes these notices and makes this change, in one transaction, after everything that was asked for before. That goes
    /// on if nobody waits for it. Where it fails, the change is not made, and the notices are told all the same, unless
    /// another process has the file.
    fn commit(&self, notices: Vec<Notice>, change: LedgerChange) -> LedgerCommit;
}

impl Ledger for Outbox {
    fn commit(&self, notices: Vec<Notice>, change: LedgerChange) -> LedgerCommit {
        Box::pin(Self::commit(self, notices, change))
    }
}

/// Ledger that keeps nothing, and counter that counts nothing.
#[derive(Clone, Copy, Debug)]
pub struct KeepsNothing;

impl Ledger for KeepsNothing {
    fn commit(&self, _notices: Vec<Notice>, _change: LedgerChange) -> LedgerCommit {
        Box::pin(std::future::ready(Ok(())))
    }
}

impl Occupies for KeepsNothing {
    fn occupy(&self, _seat: &Seat<'_>) -> TakenSeat {
        Box::new(())
    }
}

impl RememberedSessions {
    /// Lines up notices and a change of rows. The lock of the memory is held, so that both change in the same order. Over
    /// once the change is made, or was noted as missing.
    pub(super) fn change(self: &Arc<Self>, notices: Vec<Notice>, changes: RowChanges) -> JoinHandle<()> {
        let (kept, read_meanwhile) = (changes.kept.len(), Arc::clone(self));
        let commit = self.ledger.commit(
            notices,
            Box::new(move |transaction| {
                for (widget, id) in &changes.ended {
                    read_meanwhile.state.lock().memory.end_read(widget, id);
                }
                changes.make(transaction)
            }),
        );
        let sessions = Arc::clone(self);
        // A task of its own: a request may be cut off, and what has failed must be noted all the same.
        tokio::spawn(async move {
            if let Err(error) = commit.await {
                sessions.note_not_kept(kept, &error);
            }
        })
    }

    /// Notes that a change of rows was not made.
    pub(super) fn note_not_kept(&self, sessions: usize, error: &DatabaseError) {
        self.metrics.count(RememberedOutcome::NotKept, sessions);
        let mut state = self.state.lock();
        match state.phase {
            // What was to be forgotten, the process that reads the file finds.
            RememberedPhase::Relieved if sessions > 0 => tracing::warn!(
                sessions,
                "sessions that leave the edge were named to this process after another one had taken over, and are lost"
            ),
            RememberedPhase::Unread | RememberedPhase::Whole if !state.is_behind => {
                state.is_behind = true;
                tracing::warn!(
                    "{error}; until then, sessions that leave the edge are in memory alone; it is tried again each second"
                );
            }
            RememberedPhase::Unread | RememberedPhase::Whole | RememberedPhase::Relieved => {}
        }
    }

    /// Reads the file, unless that was done. Returns whether all sessions are in memory.
    pub(super) async fn read(self: &Arc<Self>) -> bool {
        match self.state.lock().phase {
            RememberedPhase::Whole => return true,
            RememberedPhase::Relieved => return false,
            RememberedPhase::Unread => {}
        }
        let sessions = Arc::clone(self);
        let read = self.ledger.commit(
            Vec::new(),
            Box::new(move |transaction| {
                let forgotten = sessions.read_rows(row::all(transaction)?);
                RowChanges { forgotten, ..RowChanges::default() }.make(transaction)
            }),
        );
        match read.await {
            // Where nothing is kept, there was nothing to read.
            Ok(()) => {
                let mut state = self.state.lock();
                state.phase =
                    if state.phase == RememberedPhase::Unread { RememberedPhase::Whole } else { state.phase };
                state.phase == RememberedPhase::Whole
            }
            Err(error) => {
                tracing::debug!("sessions that have left the edge can't be read yet: {error}");
                false
            }
        }
    }

    /// Adds rows to the memory. Returns those whose time is over, or for which there is no room.
    fn read_rows(&self, rows: Vec<SessionRow>) -> Vec<SessionName> {
        let (book, now) = (self.rules.load(), Timestamp::now());
        let mut state = self.state.lock();
        if state.phase != RememberedPhase::Unread {
            return Vec::new();
        }
        let oldest = now.saturating_sub(state.kept_for).unwrap_or(Timestamp::MIN);
        // The newest are kept.
        let surplus = rows.len().saturating_sub(MOST_SESSIONS);
        let mut forgotten = Vec::new();
        for (place, SessionRow { name, since, until }) in rows.into_iter().enumerate() {
            let rules = book.get(&name.source.widget);
            let stay = until.filter(|until| *until > now).map(|until| {
                let place = rules.and_then(|rules| self.occupy(&name.source, rules, None));
                Stay { until, address: None, place }
            });
            let is_kept =
                place >= surplus && since > oldest && state.memory.keep_read(name.clone(), since, stay);
            if !is_kept {
                forgotten.push(name);
            }
        }
        state.phase = RememberedPhase::Whole;
        self.metrics.remembered(state.memory.len());
        drop(state);
        self.judge_all();
        forgotten
    }

    /// Writes all rows anew, where some could not be written.
    pub(super) async fn catch_up(self: &Arc<Self>) {
        let commit = {
            let state = self.state.lock();
            if !state.is_behind || state.phase != RememberedPhase::Whole {
                return;
            }
            let rows = rows(&state.memory);
            self.ledger.commit(Vec::new(), Box::new(move |transaction| row::replace(transaction, rows)))
        };
        if commit.await.is_ok() {
            self.state.lock().is_behind = false;
            tracing::info!("sessions that leave the edge are kept again");
        }
    }
}

fn rows(memory: &SessionMemory) -> Vec<SessionRow> {
    let row = |(name, since, until): (&SessionName, _, _)| SessionRow { name: name.clone(), since, until };
    memory.iter().map(row).collect()
}
