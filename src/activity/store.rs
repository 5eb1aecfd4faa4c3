//! Store of what was seen: one file, on redb, with a record for each widget.
//!
//! What is in it can be lost without harm to anybody's visitors, so nothing that is wrong with it keeps an edge from
//! serving. A file that can't be read is moved aside, and a new one begun. A record that can't be read is replaced.

use std::ops::Bound;
use std::path::Path;

use jiff::Timestamp;
use redb::ReadableDatabase;

use self::batch::ActivityBatch;
use self::row::{About, WIDGETS};
use super::kept::KeptWidget;
use super::reader::ActivityError;
use crate::database::{DatabaseError, DatabaseFault, DatabaseFile, DatabaseKind};

pub(super) mod batch;
pub(super) mod row;

/// Store of what was seen.
#[derive(Debug)]
pub(super) struct ActivityStore(DatabaseFile<About>);

impl ActivityStore {
    /// A store in this file, which is opened when it is first used. `cache`: most memory for its pages, in bytes.
    pub(super) fn new(path: &Path, cache: u64) -> Self {
        let begin = |database: &_| batch::about(database, Timestamp::now());
        Self(DatabaseFile::new(path, cache, DatabaseKind { content: "what was seen", begin }))
    }

    /// What the file says of itself.
    pub(super) fn about<T>(&self, read: impl FnOnce(&About) -> T) -> Result<T, ActivityError> {
        Ok(self.0.about(read)?)
    }

    /// The record of a widget; `None` for one that can't be read.
    pub(super) fn widget(&self, id: &str) -> Result<Option<KeptWidget>, ActivityError> {
        self.with(|database| {
            let Some(row) = database.begin_read()?.open_table(WIDGETS)?.get(id)? else { return Ok(None) };
            Ok(row::record(id, row.value()))
        })
    }

    /// Records in the order of ids, after this one.
    pub(super) fn page(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(Box<str>, KeptWidget)>, ActivityError> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.with(|database| {
            let table = database.begin_read()?.open_table(WIDGETS)?;
            let rows = table.range::<&str>((from, Bound::Unbounded))?.take(limit);
            rows.map(|row| {
                let (id, row) = row?;
                let record = row::record(id.value(), row.value()).unwrap_or_default();
                Ok((id.value().into(), record))
            })
            .collect()
        })
    }

    /// Ids in their order, after this one.
    pub(super) fn ids(&self, after: Option<&str>, limit: usize) -> Result<Vec<Box<str>>, ActivityError> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.with(|database| {
            let table = database.begin_read()?.open_table(WIDGETS)?;
            let rows = table.range::<&str>((from, Bound::Unbounded))?.take(limit);
            rows.map(|row| Ok(row?.0.value().into())).collect()
        })
    }

    /// Writes, whole or not at all. Once it is done, it survives a loss of power.
    pub(super) fn write(
        &self,
        change: impl FnOnce(&mut ActivityBatch<'_>) -> Result<(), DatabaseFault>,
    ) -> Result<(), ActivityError> {
        let about = self.about(About::clone)?;
        let about = self.with(|database| batch::commit(database, about, change))?;
        self.0.says(about);
        Ok(())
    }

    /// Memory that pages of the file take now, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.0.bytes()
    }

    /// Closes the file, so that another process can open it.
    pub(super) fn let_go(&self) {
        self.0.let_go();
    }

    /// Goes on with the file after it was let go of.
    pub(super) fn take_back(&self) {
        self.0.take_back();
    }

    /// Whether another process may have it now.
    pub(super) fn is_lent(&self) -> bool {
        self.0.is_lent()
    }

    fn with<T>(
        &self,
        work: impl FnOnce(&redb::Database) -> Result<T, DatabaseFault>,
    ) -> Result<T, ActivityError> {
        Ok(self.0.with(work)?)
    }
}

impl From<DatabaseError> for ActivityError {
    fn from(DatabaseError { detail }: DatabaseError) -> Self {
        Self { detail }
    }
}

#[cfg(test)]
mod tests;
