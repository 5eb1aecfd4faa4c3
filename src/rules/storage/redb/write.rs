//! Write transaction of one commit: written, then committed, then, where the disk fails in between, settled.

use redb::{Database, WriteTransaction};

use super::fault::{caught, damaged_part, failed};
use super::handle::{Handle, StoreUse};
use super::rows::{OpenTables, PreviousRows};
use super::shared::{self, PreviousShare};
use super::tables::write_generation;
use super::uncertain::UncertainCommit;
use crate::rules::error::StoreError;
use crate::rules::storage::{Commit, Pending, SignedWrite, StoredDocument};

/// Transaction that holds a whole commit and is not committed yet.
pub(super) struct PendingCommit<'a> {
    handle: &'a Handle,
    transaction: WriteTransaction,
    generation: u64,
    /// The generation that it replaces.
    previous: u64,
    before: Vec<PreviousRows>,
    share: Option<PreviousShare>,
}

impl<'a> PendingCommit<'a> {
    pub(super) fn write(
        handle: &'a Handle,
        database: &Database,
        commit: &Commit,
    ) -> Result<Self, redb::Error> {
        let kept = commit.share.as_ref().map(|_| shared::kept(database)).transpose()?;
        let mut transaction = database.begin_write()?;
        // For a second sync of the disk an edge that is killed starts as quickly as one that was stopped. Where a fleet shares
        // the rules, others wait for each of these.
        transaction.set_quick_repair(handle.purpose() == StoreUse::Edge && commit.share.is_none());
        // In the order of the pages; changes to one widget stay in theirs.
        let mut order: Vec<(usize, &SignedWrite)> = commit.writes.iter().enumerate().collect();
        order.sort_by(|(_, a), (_, b)| a.write.id.cmp(&b.write.id));
        let mut before: Vec<(usize, PreviousRows)> = Vec::with_capacity(order.len());
        {
            let mut tables = OpenTables::open(&transaction)?;
            for (place, write) in order {
                before.push((place, tables.write(write)?));
            }
        }
        let share = match commit.share.as_ref().zip(kept) {
            Some((share, kept)) => Some(shared::write(&transaction, share, kept)?),
            None => None,
        };
        let previous = write_generation(&transaction, commit.generation)?;
        before.sort_unstable_by_key(|(place, _)| *place);
        let before = before.into_iter().map(|(_, before)| before).collect();
        Ok(Self { handle, transaction, generation: commit.generation, previous, before, share })
    }
}

#[cfg(test)]
impl PendingCommit<'_> {
    pub(super) fn into_uncertain_after_commit(self) -> UncertainCommit {
        let Self { transaction, generation, previous, before, share, .. } = self;
        transaction.commit().unwrap();
        UncertainCommit { generation, previous, before, share }
    }
}

impl Pending for PendingCommit<'_> {
    fn previous(&self) -> Vec<Option<StoredDocument>> {
        let previous = |(revision, json): (u64, &[u8])| StoredDocument { revision, json: json.into() };
        self.before.iter().map(|before| before.document().map(previous)).collect()
    }

    fn commit(self: Box<Self>) -> Result<(), StoreError> {
        let Self { handle, transaction, generation, previous, before, share } = *self;
        let uncertain = UncertainCommit { generation, previous, before, share };
        match caught(|| transaction.commit()) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => handle.settle(uncertain, failed(error.into())),
            Err(panic) => {
                handle.look_for(&uncertain, damaged_part("what the database notes for itself", panic))
            }
        }
    }
}
