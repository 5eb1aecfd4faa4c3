//! Batch of changes, written in one transaction.

use jiff::Timestamp;
use redb::{Database, ReadableDatabase, ReadableTable, Table, TableError};

use super::row::{self, ABOUT, About, WIDGETS};
use crate::activity::kept::KeptWidget;
use crate::database::DatabaseFault;

/// Batch of changes under way.
pub(in crate::activity) struct ActivityBatch<'t> {
    widgets: Table<'t, &'static str, &'static [u8]>,
    /// What the file will say of itself.
    pub(in crate::activity) about: About,
}

impl ActivityBatch<'_> {
    /// The record of a widget; `None` for one that can't be read, so that a new one takes its place.
    pub(in crate::activity) fn widget(&self, id: &str) -> Result<Option<KeptWidget>, DatabaseFault> {
        let Some(row) = self.widgets.get(id)? else { return Ok(None) };
        Ok(row::record(id, row.value()))
    }

    /// Keeps the record of a widget.
    pub(in crate::activity) fn keep(&mut self, id: &str, record: &KeptWidget) -> Result<(), DatabaseFault> {
        let row = row::write(record)?;
        let before = self.widgets.insert(id, &*row)?.map_or(0, |row| taken(id, row.value()));
        self.about.bytes = self.about.bytes.saturating_sub(before).saturating_add(taken(id, &row));
        Ok(())
    }

    /// Takes the record of a widget away.
    pub(in crate::activity) fn forget(&mut self, id: &str) -> Result<(), DatabaseFault> {
        let before = self.widgets.remove(id)?.map_or(0, |row| taken(id, row.value()));
        self.about.bytes = self.about.bytes.saturating_sub(before);
        Ok(())
    }
}

/// Bytes of a record and its key.
fn taken(id: &str, row: &[u8]) -> u64 {
    (id.len() + row.len()) as u64
}

/// Commits what `change` does, and returns what the file says of itself then.
pub(super) fn commit(
    database: &Database,
    about: About,
    change: impl FnOnce(&mut ActivityBatch<'_>) -> Result<(), DatabaseFault>,
) -> Result<About, DatabaseFault> {
    let transaction = database.begin_write()?;
    let about = {
        let mut batch = ActivityBatch { widgets: transaction.open_table(WIDGETS)?, about };
        change(&mut batch)?;
        transaction.open_table(ABOUT)?.insert((), &*row::write(&batch.about)?)?;
        batch.about
    };
    transaction.commit()?;
    Ok(about)
}

/// What the file says of itself. One with nothing in it is begun.
pub(super) fn about(database: &Database, now: Timestamp) -> Result<About, DatabaseFault> {
    let reading = database.begin_read()?;
    match reading.open_table(ABOUT) {
        Ok(table) => {
            let row = table.get(())?;
            let row = row.ok_or_else(|| DatabaseFault::Damaged("it does not say what it is".to_owned()))?;
            About::read(row.value())
        }
        Err(TableError::TableDoesNotExist(_)) if reading.list_tables()?.next().is_none() => {
            commit(database, About::new(now), |_| Ok(()))
        }
        Err(TableError::TableDoesNotExist(_)) => {
            Err(DatabaseFault::Damaged("it is a database, but not of activity".to_owned()))
        }
        Err(error) => Err(error.into()),
    }
}
