//! What the store keeps of a bucket that a fleet shares. A store whose rules are not shared has none of it.

use std::time::Duration;

use jiff::Timestamp;
use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTableMetadata, TableDefinition, TableError,
    WriteTransaction,
};

use super::fault::{caught, failed, is_damage};
use super::tables::{DELETED, DOCUMENTS, META};
use super::{RuleStore, signed};
use crate::rules::error::StoreError;
use crate::rules::shared::{BucketPosition, SharedEntry};
use crate::rules::storage::behind;
use crate::rules::storage::share::{KeptContact, KeptShare, ShareCommit, SharedKey};
use embedgate_policy::widget::WidgetId;

/// The last message about each widget, by id: its sequence, and what the widget's state adds to the digest.
const SHARED: TableDefinition<'static, &str, (u64, u128)> = TableDefinition::new("shared");

/// The edges that this one knows of, in one row.
const EDGES: TableDefinition<'static, (), &[u8]> = TableDefinition::new("edges");

/// Names of the position's numbers.
const POSITION: [&str; 4] = ["bucket_created", "bucket_sequence", "bucket_written", "bucket_followed"];
/// Names of the halves of the digest.
const DIGEST: [&str; 2] = ["digest_0", "digest_1"];
/// Name of the last contact, in microseconds of Unix time.
const CONTACT: &str = "contact";
/// Name of the age from which the edge denies, in microseconds.
const LIMIT: &str = "contact_limit";

fn key((sequence, term): (u64, u128)) -> SharedKey {
    SharedKey { sequence, term }
}

/// Takes everything away.
pub(super) fn clear(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.delete_table(SHARED)?;
    transaction.delete_table(EDGES)?;
    transaction.delete_table(META)?;
    Ok(())
}

/// What is kept now.
pub(super) fn kept(database: &Database) -> Result<KeptShare, redb::Error> {
    read(&database.begin_read()?)
}

/// What is kept at one instant.
fn read(transaction: &ReadTransaction) -> Result<KeptShare, redb::Error> {
    let keys = match transaction.open_table(SHARED) {
        Ok(table) => table.len()?,
        Err(TableError::TableDoesNotExist(_)) => 0,
        Err(error) => return Err(error.into()),
    };
    let table = match transaction.open_table(META) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(KeptShare::default()),
        Err(error) => return Err(error.into()),
    };
    let number = |name: &str| Ok::<_, redb::Error>(table.get(name)?.map(|number| number.value()));
    let [created, sequence, written, followed] = POSITION.map(number);
    let position = match (created?, sequence?, written?, followed?) {
        (Some(created), Some(sequence), Some(written), Some(followed)) => {
            Some(BucketPosition { created, sequence, written, followed })
        }
        _ => None,
    };
    let [high, low] = DIGEST.map(number);
    let digest = u128::from(high?.unwrap_or_default()) << 64 | u128::from(low?.unwrap_or_default());
    let contact = number(CONTACT)?.and_then(|contact| i64::try_from(contact).ok());
    let limit = number(LIMIT)?.map(Duration::from_micros);
    let contact = contact.and_then(|contact| Timestamp::from_microsecond(contact).ok());
    let contact = contact.map(|at| KeptContact { at, limit });
    Ok(KeptShare { position, digest, keys, contact })
}

/// The last message of each of these widgets.
pub(super) fn keys(database: &Database, ids: &[&str]) -> Result<Vec<Option<SharedKey>>, redb::Error> {
    match database.begin_read()?.open_table(SHARED) {
        Ok(table) => ids.iter().map(|id| Ok(table.get(id)?.map(|row| key(row.value())))).collect(),
        Err(TableError::TableDoesNotExist(_)) => Ok(vec![None; ids.len()]),
        Err(error) => Err(error.into()),
    }
}

/// Reads a widget's row, to see whether that is possible.
pub(super) fn look_at(transaction: &ReadTransaction, id: &str) -> Result<(), redb::Error> {
    match transaction.open_table(SHARED) {
        Ok(table) => Ok(table.get(id).map(drop)?),
        Err(TableError::TableDoesNotExist(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// What a commit has replaced.
pub(super) struct PreviousShare {
    keys: Vec<(WidgetId, Option<SharedKey>)>,
    kept: KeptShare,
}

/// Writes what a commit says of the bucket. `kept`: what was kept before. Tells what was there.
pub(super) fn write(
    transaction: &WriteTransaction,
    commit: &ShareCommit,
    kept: KeptShare,
) -> Result<PreviousShare, redb::Error> {
    let mut now = KeptShare { position: commit.position.or(kept.position), ..kept };
    let mut before = Vec::with_capacity(commit.keys.len());
    {
        let mut table = transaction.open_table(SHARED)?;
        let mut order: Vec<&(WidgetId, Option<SharedKey>)> = commit.keys.iter().collect();
        order.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (id, new) in order {
            let old = match new {
                Some(SharedKey { sequence, term }) => table.insert(id.as_str(), (*sequence, *term))?,
                None => table.remove(id.as_str())?,
            };
            let old = old.map(|row| key(row.value()));
            now.turn(old, *new);
            before.push((id.clone(), old));
        }
    }
    write_marks(transaction, &now)?;
    Ok(PreviousShare { keys: before, kept })
}

/// Puts back what was there.
pub(super) fn restore(transaction: &WriteTransaction, before: &PreviousShare) -> Result<(), redb::Error> {
    {
        let mut table = transaction.open_table(SHARED)?;
        for (id, old) in &before.keys {
            match old {
                Some(SharedKey { sequence, term }) => drop(table.insert(id.as_str(), (*sequence, *term))?),
                None => drop(table.remove(id.as_str())?),
            }
        }
    }
    write_marks(transaction, &before.kept)
}

fn write_marks(transaction: &WriteTransaction, share: &KeptShare) -> Result<(), redb::Error> {
    let mut table = transaction.open_table(META)?;
    match share.position {
        Some(BucketPosition { created, sequence, written, followed }) => {
            for (name, number) in POSITION.into_iter().zip([created, sequence, written, followed]) {
                table.insert(name, number)?;
            }
        }
        None => {
            for name in POSITION {
                table.remove(name)?;
            }
        }
    }
    for (name, number) in DIGEST.into_iter().zip([(share.digest >> 64) as u64, share.digest as u64]) {
        table.insert(name, number)?;
    }
    Ok(())
}

/// Documents and deletions, by id.
pub(super) fn entries(
    database: &Database,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<SharedEntry>, redb::Error> {
    let transaction = database.begin_read()?;
    let mut entries = Vec::new();
    for row in transaction.open_table(DOCUMENTS)?.range::<&str>(behind(after))?.take(limit) {
        let (id, row) = row?;
        let (revision, signed) = row.value();
        let json = Some(signed::read(signed).json.into());
        entries.push(SharedEntry { id: widget(id.value())?, revision, json, was_restricted: false });
    }
    for row in transaction.open_table(DELETED)?.range::<&str>(behind(after))?.take(limit) {
        let (id, row) = row?;
        let (revision, was_restricted, _) = row.value();
        entries.push(SharedEntry { id: widget(id.value())?, revision, json: None, was_restricted });
    }
    entries.sort_by(|a, b| a.id.cmp(&b.id));
    entries.truncate(limit);
    Ok(entries)
}

pub(super) fn widget(id: &str) -> Result<WidgetId, redb::Error> {
    WidgetId::parse(id).map_err(|_| redb::Error::Corrupted(format!("{id:?} is no widget's id")))
}

impl RuleStore {
    /// Writes something beside the rules. `what`: what that is, for errors.
    pub(super) fn write_aside(
        &self,
        what: &str,
        write: impl FnOnce(&Database) -> Result<(), redb::Error>,
    ) -> Result<(), StoreError> {
        let database = self.handle.database()?;
        match caught(|| write(&database)) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) if is_damage(&error) => Err(self.damaged_part(what, error.to_string())),
            Ok(Err(error)) => {
                drop(database);
                self.handle.give_up();
                Err(failed(error))
            }
            Err(panic) => Err(self.damaged_part(what, panic)),
        }
    }
}

/// The edges that this one knew of.
pub(super) fn edges(database: &Database) -> Result<Vec<u8>, redb::Error> {
    match database.begin_read()?.open_table(EDGES) {
        Ok(table) => Ok(table.get(())?.map(|row| row.value().into()).unwrap_or_default()),
        Err(TableError::TableDoesNotExist(_)) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// Writes which edges this one knows of.
pub(super) fn write_edges(database: &Database, edges: &[u8]) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(EDGES)?.insert((), edges)?;
    Ok(transaction.commit()?)
}

/// Writes the last contact.
pub(super) fn write_contact(database: &Database, contact: KeptContact) -> Result<(), redb::Error> {
    let Ok(at) = u64::try_from(contact.at.as_microsecond()) else { return Ok(()) };
    let limit = contact.limit.map(|limit| u64::try_from(limit.as_micros()).unwrap_or(u64::MAX));
    let transaction = database.begin_write()?;
    {
        let mut table = transaction.open_table(META)?;
        table.insert(CONTACT, at)?;
        match limit {
            Some(limit) => table.insert(LIMIT, limit)?,
            None => table.remove(LIMIT)?,
        };
    }
    Ok(transaction.commit()?)
}
