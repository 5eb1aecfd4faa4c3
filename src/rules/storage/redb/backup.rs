//! Copy of the store's file as it is at one instant, written while saves go on.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{
    Database, Key, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, TableError, Value,
    WriteTransaction,
};

use super::fault::{caught, uncopied};
use super::handle::StoreUse;
use super::tables::{DELETED, DOCUMENTS, HISTORY, Meta, RULES};
use crate::rules::error::StoreError;

/// A copy has what the store has, which not everybody may read.
const PRIVATE_MODE: u32 = 0o600;

/// Fault of a copy: of the store that is read, or of the file that is written.
enum CopyFault {
    Read(redb::Error),
    Write(StoreError),
}

impl CopyFault {
    fn read(error: impl Into<redb::Error>) -> Self {
        Self::Read(error.into())
    }
}

/// Writes a whole store to `to`, in place of what is there. Saves go on meanwhile, and are not in it. The outer error is
/// the store's, the inner one is the copy's.
pub(super) fn write(database: &Database, to: &Path) -> Result<Result<(), StoreError>, redb::Error> {
    let snapshot = database.begin_read()?;
    let part = part(to);
    // One that was left by a process that was killed.
    let _ = fs::remove_file(&part);
    // Whatever it is, a copy that broke off is gone.
    let written = caught(|| write_part(&snapshot, &part, to))
        .unwrap_or_else(|panic| Err(CopyFault::Read(redb::Error::Corrupted(panic))));
    let written = written.and_then(|()| {
        let named = fs::rename(&part, to).and_then(|()| sync_folder(to));
        named.map_err(|error| CopyFault::Write(uncopied(to, error)))
    });
    if written.is_err() {
        let _ = fs::remove_file(&part);
    }
    match written {
        Ok(()) => Ok(Ok(())),
        Err(CopyFault::Read(error)) => Err(error),
        Err(CopyFault::Write(error)) => Ok(Err(error)),
    }
}

/// `to`: the name that the copy is to have, for errors.
fn write_part(snapshot: &ReadTransaction, part: &Path, to: &Path) -> Result<(), CopyFault> {
    let system = |error: io::Error| CopyFault::Write(uncopied(to, error));
    let unwritten = |error: redb::Error| match error {
        redb::Error::Io(error) => system(error),
        other => CopyFault::Write(StoreError::Failed { source: Arc::new(other) }),
    };
    let meta = Meta::of(snapshot).map_err(CopyFault::Read)?;
    let meta = meta.ok_or_else(|| CopyFault::Read(redb::Error::Corrupted("it has no metadata".into())))?;
    OpenOptions::new().write(true).create_new(true).mode(PRIVATE_MODE).open(part).map_err(system)?;
    let copy = StoreUse::Bulk.builder().create(part).map_err(|error| unwritten(error.into()))?;
    let transaction = copy.begin_write().map_err(|error| unwritten(error.into()))?;
    copy_table(snapshot, &transaction, DOCUMENTS, unwritten)?;
    copy_table(snapshot, &transaction, RULES, unwritten)?;
    copy_table(snapshot, &transaction, DELETED, unwritten)?;
    copy_table(snapshot, &transaction, HISTORY, unwritten)?;
    meta.write(&transaction).map_err(unwritten)?;
    transaction.commit().map_err(|error| unwritten(error.into()))?;
    copy.close().map_err(|error| unwritten(error.into()))?;
    File::open(part).and_then(|file| file.sync_all()).map_err(system)
}

fn copy_table<K: Key + 'static, V: Value + 'static>(
    snapshot: &ReadTransaction,
    transaction: &WriteTransaction,
    definition: TableDefinition<'static, K, V>,
    unwritten: impl Fn(redb::Error) -> CopyFault,
) -> Result<(), CopyFault> {
    let mut copy = transaction.open_table(definition).map_err(|error| unwritten(error.into()))?;
    let rows = match snapshot.open_table(definition) {
        Ok(rows) => rows,
        // A store of format 1 has no history.
        Err(TableError::TableDoesNotExist(_)) => return Ok(()),
        Err(error) => return Err(CopyFault::read(error)),
    };
    for row in rows.iter().map_err(CopyFault::read)? {
        let (key, value) = row.map_err(CopyFault::read)?;
        copy.insert(key.value(), value.value()).map_err(|error| unwritten(error.into()))?;
    }
    Ok(())
}

fn part(to: &Path) -> PathBuf {
    let mut name = to.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

/// A new name has to survive a power cut, too.
fn sync_folder(of: &Path) -> io::Result<()> {
    let folder = of.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
