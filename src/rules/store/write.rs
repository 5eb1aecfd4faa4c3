//! One transaction: written, then committed, then, where the disk fails in between, settled.

use redb::{Database, Table, WriteTransaction};

use super::fault::failed;
use super::row;
use super::tables::{DELETED, DOCUMENTS, Deletion, Meta, RULES, write_generation};
use super::{Store, Use};
use crate::policy::widget::WidgetId;
use crate::rules::book::Fingerprint;
use crate::rules::error::RulesError;
use crate::rules::storage::{Commit, Pending, Previous, State, Write};

/// Makes a database an empty store.
pub(super) fn clear(database: &Database, meta: &Meta) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    transaction.delete_table(DOCUMENTS)?;
    transaction.delete_table(RULES)?;
    transaction.delete_table(DELETED)?;
    {
        let _tables = Tables::open(&transaction)?;
    }
    meta.write(&transaction)?;
    Ok(transaction.commit()?)
}

struct Tables<'t> {
    documents: Table<'t, &'static str, (u64, &'static [u8])>,
    rules: Table<'t, &'static str, &'static [u8]>,
    deleted: Table<'t, &'static str, Deletion>,
    /// Room for one row.
    row: Vec<u8>,
}

impl<'t> Tables<'t> {
    fn open(transaction: &'t WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Self {
            documents: transaction.open_table(DOCUMENTS)?,
            rules: transaction.open_table(RULES)?,
            deleted: transaction.open_table(DELETED)?,
            row: Vec::new(),
        })
    }

    fn write(&mut self, Write { id, state }: &Write) -> Result<Before, redb::Error> {
        let key = id.as_str();
        let (document, rules, deletion) = match state {
            State::Put { revision, json, record } => {
                row::write(key, record, &mut self.row);
                let document = self.documents.insert(key, (*revision, &**json))?.map(document);
                let rules = self.rules.insert(key, self.row.as_slice())?.map(|row| row.value().into());
                (document, rules, self.deleted.remove(key)?.map(|row| row.value()))
            }
            State::Deleted(tombstone) => {
                let deletion = (
                    tombstone.revision,
                    tombstone.was_restricted,
                    tombstone.withdrawn.map(|Fingerprint(print)| print),
                );
                let document = self.documents.remove(key)?.map(document);
                let rules = self.rules.remove(key)?.map(|row| row.value().into());
                (document, rules, self.deleted.insert(key, deletion)?.map(|row| row.value()))
            }
        };
        Ok(Before { id: id.clone(), document, rules, deletion })
    }

    fn restore(&mut self, before: &Before) -> Result<(), redb::Error> {
        let key = before.id.as_str();
        match &before.document {
            Some((revision, json)) => drop(self.documents.insert(key, (*revision, &**json))?),
            None => drop(self.documents.remove(key)?),
        }
        match &before.rules {
            Some(row) => drop(self.rules.insert(key, &**row)?),
            None => drop(self.rules.remove(key)?),
        }
        match before.deletion {
            Some(deletion) => drop(self.deleted.insert(key, deletion)?),
            None => drop(self.deleted.remove(key)?),
        }
        Ok(())
    }
}

fn document(row: redb::AccessGuard<'_, (u64, &'static [u8])>) -> (u64, Box<[u8]>) {
    let (revision, json) = row.value();
    (revision, json.into())
}

/// What a write found.
struct Before {
    id: WidgetId,
    document: Option<(u64, Box<[u8]>)>,
    rules: Option<Box<[u8]>>,
    deletion: Option<Deletion>,
}

/// A transaction with everything in it.
pub(super) struct Written<'a> {
    store: &'a Store,
    transaction: WriteTransaction,
    generation: u64,
    before: Vec<Before>,
}

impl<'a> Written<'a> {
    pub(super) fn write(store: &'a Store, database: &Database, commit: &Commit) -> Result<Self, redb::Error> {
        let mut transaction = database.begin_write()?;
        // For a second sync of the disk an edge that is killed starts as quickly as one that was stopped.
        transaction.set_quick_repair(store.purpose == Use::Edge);
        // In the order of the pages; changes to one widget stay in theirs.
        let mut order: Vec<(usize, &Write)> = commit.writes.iter().enumerate().collect();
        order.sort_by(|(_, a), (_, b)| a.id.cmp(&b.id));
        let mut before: Vec<(usize, Before)> = Vec::with_capacity(order.len());
        {
            let mut tables = Tables::open(&transaction)?;
            for (place, write) in order {
                before.push((place, tables.write(write)?));
            }
        }
        write_generation(&transaction, commit.generation)?;
        before.sort_unstable_by_key(|(place, _)| *place);
        let before = before.into_iter().map(|(_, before)| before).collect();
        Ok(Self { store, transaction, generation: commit.generation, before })
    }
}

#[cfg(test)]
impl Written<'_> {
    pub(super) fn into_doubt_after_commit(self) -> Doubt {
        let Self { transaction, generation, before, .. } = self;
        transaction.commit().unwrap();
        Doubt { generation, before }
    }
}

impl Pending for Written<'_> {
    fn previous(&self) -> Vec<Option<Previous>> {
        let previous =
            |(revision, json): &(u64, Box<[u8]>)| Previous { revision: *revision, json: (**json).into() };
        self.before.iter().map(|before| before.document.as_ref().map(previous)).collect()
    }

    fn commit(self: Box<Self>) -> Result<(), RulesError> {
        let Self { store, transaction, generation, before } = *self;
        let Err(error) = transaction.commit() else { return Ok(()) };
        store.settle(Doubt { generation, before }, failed(error.into()))
    }
}

/// A commit that failed, which leaves open whether it is on the disk.
pub(super) struct Doubt {
    generation: u64,
    before: Vec<Before>,
}

impl Store {
    /// Looks whether a commit that failed has happened all the same. Where that can't be told now, the caller is
    /// told that it has not, and the next one who opens the file takes care that this is so.
    fn settle(&self, doubt: Doubt, error: RulesError) -> Result<(), RulesError> {
        let mut handle = self.lock();
        handle.database = None;
        let found = handle.reopen(self.purpose).and_then(|database| {
            let meta = Meta::read(&database).map_err(failed)?;
            Ok((database, meta))
        });
        match found {
            Ok((database, Some(meta))) => {
                handle.database = Some(database.into());
                if meta.generation == doubt.generation { Ok(()) } else { Err(error) }
            }
            Ok((_, None)) | Err(_) => {
                handle.doubt = Some(doubt);
                Err(error)
            }
        }
    }
}

impl Doubt {
    /// Takes the commit back, if it has happened.
    pub(super) fn undo(&self, database: &Database) -> Result<(), RulesError> {
        self.take_back(database).map_err(failed)
    }

    fn take_back(&self, database: &Database) -> Result<(), redb::Error> {
        if Meta::read(database)?.is_none_or(|meta| meta.generation != self.generation) {
            return Ok(());
        }
        let transaction = database.begin_write()?;
        {
            let mut tables = Tables::open(&transaction)?;
            for before in self.before.iter().rev() {
                tables.restore(before)?;
            }
        }
        write_generation(&transaction, self.generation.saturating_sub(1))?;
        Ok(transaction.commit()?)
    }
}
