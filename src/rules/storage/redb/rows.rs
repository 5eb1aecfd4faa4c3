//! Rows of a widget in the store's tables: written, and put back.

use redb::{Database, Table, WriteTransaction};

use super::history::{self, HistoryChange, HistoryStep, HistoryTable};
use super::tables::{DELETED, DOCUMENTS, DeletionRow, HISTORY, Meta, RULES};
use super::{row, shared, signed};
use crate::rules::fingerprint::Fingerprint;
use crate::rules::storage::{SignedWrite, WidgetState, Write};
use embedgate_policy::widget::WidgetId;

/// Makes a database an empty store.
pub(super) fn clear(database: &Database, meta: &Meta) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    transaction.delete_table(DOCUMENTS)?;
    transaction.delete_table(RULES)?;
    transaction.delete_table(DELETED)?;
    transaction.delete_table(HISTORY)?;
    shared::clear(&transaction)?;
    {
        let _tables = OpenTables::open(&transaction)?;
    }
    meta.write(&transaction)?;
    Ok(transaction.commit()?)
}

/// Tables of the store, open in one write transaction.
pub(super) struct OpenTables<'t> {
    documents: Table<'t, &'static str, (u64, &'static [u8])>,
    rules: Table<'t, &'static str, &'static [u8]>,
    deleted: Table<'t, &'static str, DeletionRow>,
    history: HistoryTable<'t>,
    /// Room for one row of rules and one of a document.
    row: Vec<u8>,
    signed: Vec<u8>,
}

impl<'t> OpenTables<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Self {
            documents: transaction.open_table(DOCUMENTS)?,
            rules: transaction.open_table(RULES)?,
            deleted: transaction.open_table(DELETED)?,
            history: transaction.open_table(HISTORY)?,
            row: Vec::new(),
            signed: Vec::new(),
        })
    }

    /// Writes a widget, and tells what was there.
    pub(super) fn write(
        &mut self,
        SignedWrite { write: Write { id, state }, author }: &SignedWrite,
    ) -> Result<PreviousRows, redb::Error> {
        let key = id.as_str();
        let (mut writes, mut deletes) = (None, None);
        let (document, rules, deletion) = match state {
            WidgetState::Put { revision, json, record } => {
                row::write(key, record, &mut self.row);
                self.signed.clear();
                signed::write(author, json, &mut self.signed);
                writes = Some(self.signed.len());
                let document = self.documents.insert(key, (*revision, self.signed.as_slice()))?.map(document);
                let rules = self.rules.insert(key, self.row.as_slice())?.map(|row| row.value().into());
                (document, rules, self.deleted.remove(key)?.map(|row| row.value()))
            }
            WidgetState::Deleted(tombstone) => {
                let deletion = (
                    tombstone.revision,
                    tombstone.was_restricted,
                    tombstone.withdrawn.map(|Fingerprint(print)| print),
                );
                deletes = Some(tombstone.revision);
                let document = self.documents.remove(key)?.map(document);
                let rules = self.rules.remove(key)?.map(|row| row.value().into());
                (document, rules, self.deleted.insert(key, deletion)?.map(|row| row.value()))
            }
        };
        let step = HistoryStep { document: document.as_ref(), deletion, writes, deletes, author };
        let history = history::follow(&mut self.history, key, &step)?;
        Ok(PreviousRows { id: id.clone(), document, rules, deletion, history })
    }

    /// Puts back what was there.
    pub(super) fn restore(&mut self, before: &PreviousRows) -> Result<(), redb::Error> {
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
        history::restore_rows(&mut self.history, key, &before.history)
    }
}

fn document(row: redb::AccessGuard<'_, (u64, &'static [u8])>) -> (u64, Box<[u8]>) {
    let (revision, json) = row.value();
    (revision, json.into())
}

/// Rows of a widget that a write replaced.
pub(super) struct PreviousRows {
    id: WidgetId,
    document: Option<(u64, Box<[u8]>)>,
    rules: Option<Box<[u8]>>,
    deletion: Option<DeletionRow>,
    history: HistoryChange,
}

impl PreviousRows {
    /// The revision and the JSON of the document.
    pub(super) fn document(&self) -> Option<(u64, &[u8])> {
        self.document.as_ref().map(|(revision, row)| (*revision, signed::read(row).json))
    }
}
