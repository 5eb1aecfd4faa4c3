//! Embedded store: documents and compiled rules in one file, on redb.
//!
//! A write is one transaction and one sync of the disk, whatever the size of its batch. A crash at any instant
//! leaves the last whole write. A new store is built under another name and takes its own with its first write, so
//! a file of that name always is a whole store: one that can't be read is never taken for an empty one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Database, ReadTransaction, ReadableDatabase, TableError};

pub(in crate::rules) use self::beginning::unfinished;
pub(crate) use self::fault::caught;
use self::fault::{damaged, damaged_part, failed, guarded, is_damage, some_behind, unopened, unreadable};
use self::handle::Handle;
pub(in crate::rules) use self::handle::StoreUse;
use self::history::HistoryRows;
pub(in crate::rules) use self::lock::StoreLock;
use self::tables::{DELETED, DOCUMENTS, FORMAT, HISTORY, Meta, RULES};
use self::write::PendingCommit;
use super::share::{KeptContact, KeptShare, SharedKey};
use super::{Commit, Pending, Storage, StoredDocument, Write, behind};
use crate::rules::book::RuleBook;
use crate::rules::documents::{Documents, HistoryEntry, restore};
use crate::rules::error::StoreError;
use crate::rules::fingerprint::FingerprintKey;
use crate::rules::shared::SharedEntry;
use embedgate_policy::suffix::PublicSuffixes;
use embedgate_policy::widget::{Widget, WidgetId};

mod backup;
mod beginning;
mod beside;
mod fault;
mod handle;
mod history;
mod load;
mod lock;
mod loss;
mod preflight;
mod row;
mod rows;
mod salvage;
mod shared;
mod signed;
mod tables;
mod uncertain;
mod write;

/// How much of a store is read when it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::rules) enum Reading {
    /// All of it: every page by its checksum, and every document beside its rules.
    Whole,
    /// The rules alone. Another process has had it open until now, and saves wait.
    RulesAlone,
}

/// Embedded store, open: no other process has it open meanwhile.
pub(in crate::rules) struct RuleStore {
    path: PathBuf,
    suffixes: Arc<PublicSuffixes>,
    /// The key of its fingerprints.
    key: FingerprintKey,
    /// What it kept of a bucket when it was opened.
    share: KeptShare,
    handle: Handle,
}

impl RuleStore {
    /// Opens the store at `path` and reads the book that it holds, or begins a new one where there is none:
    /// [`RuleStore::is_new`] until [`Storage::establish`].
    pub(in crate::rules) fn open(
        path: &Path,
        suffixes: Arc<PublicSuffixes>,
        purpose: StoreUse,
        reading: Reading,
    ) -> Result<(Self, RuleBook), StoreError> {
        match fs::symlink_metadata(path) {
            Ok(_) => {
                let opened = Self::open_existing(path, suffixes, purpose, reading)?;
                // Otherwise it would tell of a first start that was cut off, should the store be lost one day.
                let _ = fs::remove_file(unfinished(path));
                Ok(opened)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::create(path, suffixes, purpose),
            Err(error) => Err(unreadable(path, error)),
        }
    }

    /// Opens the store at `path`, which must be there, and reads the book that it holds. Where it is damaged, the error
    /// tells what is lost.
    pub(in crate::rules) fn open_existing(
        path: &Path,
        suffixes: Arc<PublicSuffixes>,
        purpose: StoreUse,
        reading: Reading,
    ) -> Result<(Self, RuleBook), StoreError> {
        let opened = guarded(path, || {
            let (database, mut meta) = open(path, purpose, reading)?;
            if meta.row_format != row::ROW_FORMAT {
                tracing::info!("{}: compiling the rules anew for this version", path.display());
                load::derive(path, &database, &mut meta, &suffixes)?;
            }
            let book = load::book(path, &database, &meta, reading)?;
            let share = shared::kept(&database).map_err(|error| damaged(path, error))?;
            Ok((database, meta, share, book))
        });
        let (database, meta, share, book) = opened.map_err(loss::told)?;
        let store = Self::over(path, suffixes, meta.key, Handle::new(path, database, purpose));
        Ok((Self { share, ..store }, book))
    }

    /// The generation of the store at `path`.
    pub(in crate::rules) fn generation_of(path: &Path) -> Result<u64, StoreError> {
        guarded(path, || open(path, StoreUse::Edge, Reading::RulesAlone).map(|(_, meta)| meta.generation))
    }

    fn over(path: &Path, suffixes: Arc<PublicSuffixes>, key: FingerprintKey, handle: Handle) -> Self {
        Self { path: path.into(), suffixes, key, share: KeptShare::default(), handle }
    }

    /// Reads while the store is in use. `what`: what it reads, for errors.
    fn read<T>(
        &self,
        what: impl FnOnce() -> String,
        read: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let database = self.handle.database()?;
        match caught(|| read(&database)) {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) if is_damage(&error) => Err(self.damaged_part(&what(), error.to_string())),
            Ok(Err(error)) => {
                self.handle.give_up();
                Err(failed(error))
            }
            Err(panic) => Err(self.damaged_part(&what(), panic)),
        }
    }

    /// An error where what is kept of one of these widgets can't be read.
    fn preflight<'w>(&self, widgets: impl Iterator<Item = &'w WidgetId>) -> Result<(), StoreError> {
        let what = || "one of the widgets".to_owned();
        match self.read(what, |database| preflight::unreadable(database, widgets))? {
            Some((id, found)) => Err(self.damaged_part(&format!("'{id}'"), found)),
            None => Ok(()),
        }
    }

    /// A damaged part. The file stays open: what is whole goes on, and it could not be opened again.
    fn damaged_part(&self, what: &str, found: String) -> StoreError {
        self.handle.found_damaged();
        damaged_part(what, found)
    }
}

fn open(path: &Path, purpose: StoreUse, reading: Reading) -> Result<(Database, Meta), StoreError> {
    let mut builder = purpose.builder();
    builder.set_check_integrity_on_open(reading == Reading::Whole);
    let database = builder.open(path).map_err(|error| unopened(path, error))?;
    let meta = Meta::read(&database).map_err(|error| damaged(path, error))?;
    let meta = meta.ok_or_else(|| damaged(path, "it is a database, but no store of rules"))?;
    if meta.format > FORMAT {
        return Err(StoreError::Newer { path: path.into(), found: meta.format, known: FORMAT });
    }
    Ok((database, meta))
}

/// Row of a document, off the page that it lies on.
type DocumentRow = (u64, Box<[u8]>);

fn document(reading: &ReadTransaction, id: &str) -> Result<Option<DocumentRow>, redb::Error> {
    let found = reading.open_table(DOCUMENTS)?.get(id)?;
    Ok(found.map(|found| (found.value().0, found.value().1.into())))
}

fn history(reading: &ReadTransaction, id: &str) -> Result<HistoryRows, redb::Error> {
    let deletion = reading.open_table(DELETED)?.get(id)?.map(|row| row.value());
    let mut rows = HistoryRows { document: document(reading, id)?, deletion, earlier: Vec::new() };
    let table = match reading.open_table(HISTORY) {
        Ok(table) => table,
        // A store of format 1 has none.
        Err(TableError::TableDoesNotExist(_)) => return Ok(rows),
        Err(error) => return Err(error.into()),
    };
    for row in table.range((id, 0)..=(id, u64::MAX))? {
        rows.earlier.push(row?.1.value().into());
    }
    Ok(rows)
}

impl RuleStore {
    /// A widget's document, as its rules were made from it.
    fn document(&self, reading: &ReadTransaction, id: &str) -> Result<Option<DocumentRow>, redb::Error> {
        let found = document(reading, id)?;
        match &found {
            Some((revision, row)) if beside::contradicts(reading, self.key, id, *revision, row) => {
                Err(redb::Error::Corrupted("it is not the one that the rules were made from".into()))
            }
            _ => Ok(found),
        }
    }

    fn restore(&self, (revision, row): &DocumentRow) -> Result<Widget, StoreError> {
        restore(signed::read(row).json, *revision, &self.suffixes)
    }
}

impl Documents for RuleStore {
    fn get(&self, id: &str) -> Result<Option<Widget>, StoreError> {
        let what = || format!("the document of '{id}'");
        let row = self.read(what, |database| self.document(&database.begin_read()?, id))?;
        let restored = row.map(|row| self.restore(&row)).transpose();
        restored.map_err(|error| self.damaged_part(&what(), error.to_string()))
    }

    fn page(&self, after: Option<&str>, limit: usize) -> Result<Vec<Widget>, StoreError> {
        let what = || some_behind(after, "some document");
        let found = self.read(what, |database| {
            let table = database.begin_read()?.open_table(DOCUMENTS)?;
            let mut found: Vec<DocumentRow> = Vec::new();
            for row in table.range::<&str>(behind(after))?.take(limit) {
                let (_, row) = row?;
                found.push((row.value().0, row.value().1.into()));
            }
            Ok(found)
        })?;
        let restored = found.iter().map(|row| self.restore(row)).collect::<Result<_, _>>();
        restored.map_err(|error| self.damaged_part(&what(), error.to_string()))
    }

    /// Read from the rules, whose rows are smaller than documents.
    fn ids(&self, after: Option<&str>, limit: usize) -> Result<Vec<WidgetId>, StoreError> {
        let what = || some_behind(after, "the rules of some widget");
        self.read(what, |database| {
            let table = database.begin_read()?.open_table(RULES)?;
            let rows = table.range::<&str>(behind(after))?.take(limit);
            rows.map(|row| shared::widget(row?.0.value())).collect()
        })
    }

    fn history(&self, id: &str) -> Result<Vec<HistoryEntry>, StoreError> {
        let what = || format!("the history of '{id}'");
        let rows = self.read(what, |database| history(&database.begin_read()?, id))?;
        rows.entries(&self.suffixes).map_err(|error| self.damaged_part(&what(), error.to_string()))
    }
}

impl Storage for RuleStore {
    fn documents(&self) -> &dyn Documents {
        self
    }

    fn stored(&self, id: &str) -> Result<Option<StoredDocument>, StoreError> {
        let what = || format!("the document of '{id}'");
        let found = self.read(what, |database| self.document(&database.begin_read()?, id))?;
        Ok(found.map(|(revision, row)| StoredDocument { revision, json: signed::read(&row).json.into() }))
    }

    fn suffixes(&self) -> &PublicSuffixes {
        &self.suffixes
    }

    fn lend(&self) -> Result<(), StoreError> {
        self.handle.lend()
    }

    fn take_back(&self, generation: u64) -> Result<(), StoreError> {
        // Whatever is wrong with it, it stays with whoever has changed it.
        let database = self.handle.reopen()?;
        let meta = Meta::read(&database).map_err(failed)?;
        let mut meta = meta.ok_or_else(|| damaged(&self.path, "it is a database, but no store of rules"))?;
        if meta.format > FORMAT {
            return Err(StoreError::Newer { path: self.path.clone(), found: meta.format, known: FORMAT });
        }
        if meta.row_format != row::ROW_FORMAT {
            load::derive(&self.path, &database, &mut meta, &self.suffixes)?;
        }
        if meta.generation != generation {
            let changed = format!("it is at generation {}, but {generation} is in force", meta.generation);
            return Err(StoreError::Failed { source: Arc::from(Box::from(changed)) });
        }
        self.handle.put_back(database);
        Ok(())
    }

    fn establish(&self) -> Result<(), StoreError> {
        self.take_name()
    }

    fn discard(&self) {
        self.forget();
    }

    fn backup(&self, to: &Path) -> Result<(), StoreError> {
        self.read(|| "some widget".to_owned(), |database| backup::write(database, to))?
    }

    fn may_write(&self, writes: &[Write]) -> Result<(), StoreError> {
        self.preflight(writes.iter().map(|write| &write.id))
    }

    fn share(&self) -> KeptShare {
        let read = self.read(|| "the position in the bucket".to_owned(), shared::kept);
        read.unwrap_or(self.share)
    }

    fn shared_keys(&self, ids: &[&str]) -> Result<Vec<Option<SharedKey>>, StoreError> {
        self.read(|| "one of the widgets".to_owned(), |database| shared::keys(database, ids))
    }

    fn entries(&self, after: Option<&str>, limit: usize) -> Result<Vec<SharedEntry>, StoreError> {
        self.read(|| "some widget".to_owned(), |database| shared::entries(database, after, limit))
    }

    fn keep_contact(&self, contact: KeptContact) -> Result<(), StoreError> {
        self.write_aside("the age of the rules", |database| shared::write_contact(database, contact))
    }

    fn edges(&self) -> Result<Vec<u8>, StoreError> {
        self.read(|| "the edges of the fleet".to_owned(), shared::edges)
    }

    fn keep_edges(&self, edges: &[u8]) -> Result<(), StoreError> {
        self.write_aside("the edges of the fleet", |database| shared::write_edges(database, edges))
    }

    fn prepare<'a>(&'a self, commit: &'a Commit) -> Result<Box<dyn Pending + 'a>, StoreError> {
        let database = self.handle.database()?;
        if self.handle.purpose() == StoreUse::Edge {
            self.preflight(commit.writes.iter().map(|signed| &signed.write.id))?;
        }
        match caught(|| PendingCommit::write(&self.handle, &database, commit)) {
            Ok(Ok(pending)) => Ok(Box::new(pending)),
            Ok(Err(error)) if is_damage(&error) => {
                Err(self.damaged_part(&preflight::named(commit), error.to_string()))
            }
            Ok(Err(error)) => {
                drop(database);
                self.handle.give_up();
                Err(failed(error))
            }
            Err(panic) => Err(self.damaged_part(&preflight::named(commit), panic)),
        }
    }
}

#[cfg(test)]
mod tests;
