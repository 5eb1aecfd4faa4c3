//! Look at the rows that a commit replaces, before it writes: where their pages are damaged, the library could break off
//! in the middle of a write, and worse.

use redb::{Database, ReadTransaction, ReadableDatabase, TableError};

use super::fault::{caught, is_damage};
use super::shared;
use super::tables::{DELETED, DOCUMENTS, HISTORY, RULES};
use crate::rules::storage::Commit;
use embedgate_policy::widget::WidgetId;

/// The first of these widgets whose rows can't be read, with the reason.
pub(super) fn unreadable<'w>(
    database: &Database,
    widgets: impl Iterator<Item = &'w WidgetId>,
) -> Result<Option<(WidgetId, String)>, redb::Error> {
    let transaction = database.begin_read()?;
    for id in widgets {
        let found = match caught(|| read(&transaction, id.as_str())) {
            Ok(Ok(())) => continue,
            Ok(Err(error)) if !is_damage(&error) => return Err(error),
            Ok(Err(error)) => error.to_string(),
            Err(panic) => panic,
        };
        return Ok(Some((id.clone(), found)));
    }
    Ok(None)
}

fn read(transaction: &ReadTransaction, id: &str) -> Result<(), redb::Error> {
    transaction.open_table(DOCUMENTS)?.get(id)?;
    transaction.open_table(RULES)?.get(id)?;
    transaction.open_table(DELETED)?.get(id)?;
    match transaction.open_table(HISTORY) {
        Ok(table) => table.range((id, 0)..=(id, u64::MAX))?.try_for_each(|row| row.map(drop))?,
        // A store of format 1 has none.
        Err(TableError::TableDoesNotExist(_)) => {}
        Err(error) => return Err(error.into()),
    }
    shared::look_at(transaction, id)
}

/// The first widget of a commit, and how many more there are.
pub(super) fn named(commit: &Commit) -> String {
    match commit.writes.as_slice() {
        [] => "the generation".to_owned(),
        [only] => format!("'{}'", only.write.id),
        [first, more @ ..] => format!("'{}' or one of {} more", first.write.id, more.len()),
    }
}
