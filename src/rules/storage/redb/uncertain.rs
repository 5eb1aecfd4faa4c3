//! Commits that failed, which leaves open whether they are on the disk.

use redb::Database;

use super::fault::failed;
use super::rows::{OpenTables, PreviousRows};
use super::shared::{self, PreviousShare};
use super::tables::{Meta, write_generation};
use crate::rules::error::StoreError;

/// Commit that was answered as failed and may be on the disk all the same.
pub(super) struct UncertainCommit {
    pub(super) generation: u64,
    /// The generation that it replaced.
    pub(super) previous: u64,
    /// What it replaced.
    pub(super) before: Vec<PreviousRows>,
    /// What it replaced of what is kept of a bucket.
    pub(super) share: Option<PreviousShare>,
}

impl UncertainCommit {
    /// Takes the commit back, if it has happened.
    pub(super) fn undo(&self, database: &Database) -> Result<(), StoreError> {
        self.take_back(database).map_err(failed)
    }

    fn take_back(&self, database: &Database) -> Result<(), redb::Error> {
        if Meta::read(database)?.is_none_or(|meta| meta.generation != self.generation) {
            return Ok(());
        }
        let transaction = database.begin_write()?;
        {
            let mut tables = OpenTables::open(&transaction)?;
            for before in self.before.iter().rev() {
                tables.restore(before)?;
            }
        }
        if let Some(share) = &self.share {
            shared::restore(&transaction, share)?;
        }
        write_generation(&transaction, self.previous)?;
        Ok(transaction.commit()?)
    }
}
