//! Ledger of sessions that have left the edge: rows in the file of the outbox, changed together with its notices.

use std::collections::HashSet;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::MutexGuard;
use redb::WriteTransaction;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::Instant;

use super::memory::{SessionName, Stay};
use super::row::{self, RowChanges, SessionRow};
use super::{AT_ONCE, MOST_SESSIONS, Occupies, RememberedPhase, RememberedSessions, Seat, TakenSeat};
use crate::database::{DatabaseError, DatabaseFault};
use crate::notifications::notice::Notice;
use crate::notifications::outbox::Outbox;
use crate::telemetry::metrics::RememberedOutcome;

/// Time between two tries to write all rows anew.
const CATCH_UP: Duration = Duration::from_secs(1);

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

    /// How many more notices it takes for sure, if all of them together have this many bytes at most.
    fn room(&self, bytes: usize) -> usize;

    /// How often the file was begun anew in place of a damaged one.
    fn times_begun_anew(&self) -> u64;
}

impl Ledger for Outbox {
    fn commit(&self, notices: Vec<Notice>, change: LedgerChange) -> LedgerCommit {
        Box::pin(Self::commit(self, notices, change))
    }

    fn room(&self, bytes: usize) -> usize {
        self.room_for_revocations(bytes)
    }

    fn times_begun_anew(&self) -> u64 {
        Self::times_begun_anew(self)
    }
}

/// Ledger that keeps nothing, and counter that counts nothing.
#[derive(Clone, Copy, Debug)]
pub struct KeepsNothing;

impl Ledger for KeepsNothing {
    fn commit(&self, _notices: Vec<Notice>, _change: LedgerChange) -> LedgerCommit {
        Box::pin(std::future::ready(Ok(())))
    }

    fn room(&self, _bytes: usize) -> usize {
        usize::MAX
    }

    fn times_begun_anew(&self) -> u64 {
        0
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
            RememberedPhase::Unread | RememberedPhase::Whole => {
                state.is_behind = true;
                if mem::replace(&mut state.is_failing, true) {
                    return;
                }
                tracing::warn!(
                    "{error}; until then, sessions that leave the edge are in memory alone; it is tried again each second"
                );
            }
            RememberedPhase::Relieved => {}
        }
    }

    /// Reads the file, unless that was done. Returns whether all sessions are in memory.
    pub(super) async fn read(self: &Arc<Self>) -> bool {
        match self.state.lock().phase {
            RememberedPhase::Whole => return true,
            RememberedPhase::Relieved => return false,
            RememberedPhase::Unread => {}
        }
        let begun_anew = self.ledger.times_begun_anew();
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
                state.begun_anew = begun_anew;
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

    /// Adds rows to the memory, some at a time, so that no request waits for all of them. Returns those whose time is over,
    /// or for which there is no room.
    fn read_rows(&self, rows: Vec<SessionRow>) -> Vec<SessionName> {
        // The newest are kept.
        let surplus = rows.len().saturating_sub(MOST_SESSIONS);
        let (mut rows, mut forgotten) = (rows.into_iter().enumerate(), Vec::new());
        loop {
            let (book, now) = (self.rules.load(), Timestamp::now());
            let mut state = self.state.lock();
            if state.phase != RememberedPhase::Unread {
                return Vec::new();
            }
            let oldest = now.saturating_sub(state.kept_for).unwrap_or(Timestamp::MIN);
            for (place, SessionRow { name, since, until }) in rows.by_ref().take(AT_ONCE) {
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
            if rows.len() == 0 {
                state.phase = RememberedPhase::Whole;
                self.metrics.remembered(state.memory.len());
                break;
            }
            MutexGuard::unlock_fair(state);
        }
        self.judge_all();
        forgotten
    }

    /// Has all rows be written anew, where some could not be written, or the file was begun anew. At most once a second, and
    /// nobody waits for it.
    pub(super) fn catch_up(self: &Arc<Self>) {
        let mut state = self.state.lock();
        if state.phase != RememberedPhase::Whole || state.is_catching_up {
            return;
        }
        let begun_anew = self.ledger.times_begun_anew();
        state.is_behind |= begun_anew != mem::replace(&mut state.begun_anew, begun_anew);
        let now = Instant::now();
        if !state.is_behind || state.catches_up_at.is_some_and(|at| now < at) {
            return;
        }
        state.catches_up_at = Some(now + CATCH_UP);
        state.is_catching_up = true;
        state.memory.begin_list();
        drop(state);
        let sessions = Arc::clone(self);
        tokio::spawn(async move {
            let is_kept = sessions.write_anew().await;
            let mut state = sessions.state.lock();
            state.is_catching_up = false;
            state.is_behind |= !is_kept;
            if is_kept && mem::replace(&mut state.is_failing, false) {
                tracing::info!("sessions that leave the edge are kept again");
            }
        });
    }

    /// Writes all rows anew. Returns whether that was done.
    async fn write_anew(&self) -> bool {
        let (mut rows, mut from) = (Vec::new(), 0);
        let commit = loop {
            if let Some(commit) = self.list_rows(&mut rows, &mut from) {
                break commit;
            }
            yield_now().await;
        };
        match commit {
            Some(commit) => commit.await.is_ok(),
            None => false,
        }
    }

    /// Lists some more rows. Once all are listed, lines up that they are written, unless another process has the file.
    fn list_rows(&self, rows: &mut Vec<(u64, SessionRow)>, from: &mut u64) -> Option<Option<LedgerCommit>> {
        let mut state = self.state.lock();
        if state.phase != RememberedPhase::Whole {
            return Some(None);
        }
        let before = rows.len();
        let row = |(number, name, since, until): (u64, &SessionName, _, _)| {
            (number, SessionRow { name: name.clone(), since, until })
        };
        rows.extend(state.memory.list(*from).take(AT_ONCE).map(row));
        if let (Some((last, _)), true) = (rows.last(), rows.len() - before == AT_ONCE) {
            *from = last + 1;
            return None;
        }
        let taken: HashSet<u64> = state.memory.end_list().into_iter().collect();
        let rows = mem::take(rows);
        // What fails after this is noted again.
        state.is_behind = false;
        Some(Some(self.ledger.commit(
            Vec::new(),
            Box::new(move |transaction| {
                let left = rows.into_iter().filter(|(number, _)| !taken.contains(number));
                row::replace(transaction, left.map(|(_, row)| row).collect())
            }),
        )))
    }
}
