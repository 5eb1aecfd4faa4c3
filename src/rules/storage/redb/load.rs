//! Parallel load of a book from the store's file.

use std::path::Path;

use parking_lot::Mutex;
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata};

use super::beside::DocumentsBeside;
use super::fault::{damaged, guarded};
use super::tables::{DELETED, DOCUMENTS, Meta, RULES};
use super::{Reading, row, signed};
use crate::rules::book::{BookLoader, BookSizes, Census, RuleBook, WidgetRecord};
use crate::rules::documents::restore;
use crate::rules::error::StoreError;
use crate::rules::fingerprint::{Fingerprint, FingerprintKey};
use crate::rules::parallel::on_threads;
use crate::rules::tombstone::Tombstone;
use embedgate_policy::suffix::PublicSuffixes;
use embedgate_policy::widget::WidgetId;

/// Rows that a scan reads before it looks how far the other one is.
const BATCH_ROWS: usize = 1024;

/// Loads the book that the file holds.
pub(super) fn book(
    path: &Path,
    database: &Database,
    meta: &Meta,
    reading: Reading,
) -> Result<RuleBook, StoreError> {
    let transaction = database.begin_read().map_err(|error| damaged(path, error))?;
    let documents = transaction.open_table(DOCUMENTS).and_then(|table| Ok(table.len()?));
    let documents = documents.map_err(|error| damaged(path, error))?;
    let deleted = deletions(&transaction).map_err(|error| damaged(path, error))?;
    let measured = scan_from_both_ends(path, &transaction, None, BookSizes::of(2), |sizes, id, row| {
        sizes.add(id, row::record_length(row));
        true
    })?;
    let loader = BookLoader::new(measured);
    let censuses = vec![Census::default(); 2];
    let key = (reading == Reading::Whole).then_some(meta.key);
    let counted = scan_from_both_ends(path, &transaction, key, censuses, |census, id, row| {
        row::read(id, row).is_some_and(|record| loader.load(id, record, census))
    })?;
    let book = RuleBook::restore(meta.key, meta.generation, loader, &counted, &deleted);
    if book.len() as u64 != documents {
        return Err(damaged(path, format!("it has {documents} documents and {} rules", book.len())));
    }
    Ok(book)
}

/// Two scans of the rules start at the two ends of the table and go on until they meet: the work is halved whatever
/// the ids look like. Each has a sink of its own; `take` says whether a row is what was written. With the key of the
/// fingerprints, the documents are read beside their rules.
fn scan_from_both_ends<T: Send>(
    path: &Path,
    transaction: &ReadTransaction,
    documents: Option<FingerprintKey>,
    sinks: Vec<T>,
    take: impl Fn(&mut T, &str, &[u8]) -> bool + Sync,
) -> Result<Vec<T>, StoreError> {
    let progress = ScanProgress::default();
    let scans = [ScanFrom::Front, ScanFrom::Back].into_iter().zip(sinks).collect();
    let run = |(from, mut sink)| {
        guarded(path, || {
            let documents = documents.map(|key| DocumentsBeside::open(path, transaction, key)).transpose()?;
            scan(path, transaction, &progress, from, documents, |id, row| take(&mut sink, id, row))
        })?;
        Ok(sink)
    };
    on_threads(scans, run).into_iter().collect()
}

/// End of the table that a scan starts from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ScanFrom {
    Front,
    Back,
}

/// Progress of both scans: the last row that each has claimed.
#[derive(Default)]
struct ScanProgress(Mutex<[Option<String>; 2]>);

impl ScanProgress {
    /// Claims the rows up to `last`. Where the other scan has been there already, gives the last id that it has
    /// claimed: the rows short of that id are this scan's, and there is nothing more to read.
    fn claim(&self, from: ScanFrom, last: &str) -> Option<String> {
        let mut reached = self.0.lock();
        let [front, back] = &mut *reached;
        let (own, other) = if from == ScanFrom::Front { (front, back) } else { (back, front) };
        let met = other.as_deref().is_some_and(|other| match from {
            ScanFrom::Front => last >= other,
            ScanFrom::Back => last <= other,
        });
        if met {
            own.clone_from(other);
            return other.clone();
        }
        *own = Some(last.to_owned());
        None
    }
}

/// Scans the rows from one end until it meets the other scan.
fn scan(
    path: &Path,
    transaction: &ReadTransaction,
    progress: &ScanProgress,
    from: ScanFrom,
    mut documents: Option<DocumentsBeside>,
    mut take: impl FnMut(&str, &[u8]) -> bool,
) -> Result<(), StoreError> {
    let table = transaction.open_table(RULES).map_err(|error| damaged(path, error))?;
    let mut rows = table.iter().map_err(|error| damaged(path, error))?;
    let mut batch = RowBatch::default();
    loop {
        let row = if from == ScanFrom::Front { rows.next() } else { rows.next_back() };
        let at_end = row.is_none();
        if let Some(row) = row {
            let (id, row) = row.map_err(|error| damaged(path, error))?;
            if let Some(documents) = &mut documents {
                documents.check(from, id.value(), row.value())?;
            }
            batch.push(id.value(), row.value());
        }
        let Some(last) = batch.last().filter(|_| at_end || batch.len() == BATCH_ROWS) else {
            if at_end {
                return Ok(());
            }
            continue;
        };
        let met = progress.claim(from, last);
        for (id, row) in batch.rows() {
            let is_taken = met.as_deref().is_some_and(|met| match from {
                ScanFrom::Front => id >= met,
                ScanFrom::Back => id <= met,
            });
            if !is_taken && !take(id, row) {
                return Err(damaged(path, format!("the rules of {id:?} are not what was written")));
            }
        }
        if at_end || met.is_some() {
            return Ok(());
        }
        batch.clear();
    }
}

/// Batch of rows that were read and not yet claimed.
#[derive(Default)]
struct RowBatch {
    ids: String,
    rows: Vec<u8>,
    /// Where each ends, in both.
    ends: Vec<(usize, usize)>,
}

impl RowBatch {
    fn push(&mut self, id: &str, row: &[u8]) {
        self.ids.push_str(id);
        self.rows.extend(row);
        self.ends.push((self.ids.len(), self.rows.len()));
    }

    fn len(&self) -> usize {
        self.ends.len()
    }

    fn last(&self) -> Option<&str> {
        let before = self.ends.len().checked_sub(2).and_then(|before| self.ends.get(before));
        self.ends.last()?;
        self.ids.get(before.map_or(0, |(id, _)| *id)..)
    }

    fn rows(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let starts = std::iter::once(&(0, 0)).chain(&self.ends);
        starts
            .zip(&self.ends)
            .filter_map(|(start, end)| Some((self.ids.get(start.0..end.0)?, self.rows.get(start.1..end.1)?)))
    }

    fn clear(&mut self) {
        self.ids.clear();
        self.rows.clear();
        self.ends.clear();
    }
}

fn deletions(transaction: &ReadTransaction) -> Result<Vec<(String, Tombstone)>, redb::Error> {
    let table = transaction.open_table(DELETED)?;
    let mut deleted = Vec::new();
    for row in table.iter()? {
        let (id, row) = row?;
        if !WidgetId::is_valid(id.value()) {
            return Err(redb::Error::Corrupted(format!("{:?} is no widget's id", id.value())));
        }
        let (revision, was_restricted, withdrawn) = row.value();
        let tombstone = Tombstone { revision, was_restricted, withdrawn: withdrawn.map(Fingerprint) };
        deleted.push((id.value().to_owned(), tombstone));
    }
    Ok(deleted)
}

/// Compiles the rules anew from the documents, after their format has changed.
pub(super) fn derive(
    path: &Path,
    database: &Database,
    meta: &mut Meta,
    suffixes: &PublicSuffixes,
) -> Result<(), StoreError> {
    let failed = |error: redb::Error| super::fault::failed(error);
    let transaction = database.begin_write().map_err(|error| failed(error.into()))?;
    transaction.delete_table(RULES).map_err(|error| failed(error.into()))?;
    {
        let documents = transaction.open_table(DOCUMENTS).map_err(|error| damaged(path, error))?;
        let mut rules = transaction.open_table(RULES).map_err(|error| failed(error.into()))?;
        let mut row = Vec::new();
        for document in documents.iter().map_err(|error| damaged(path, error))? {
            let (id, document) = document.map_err(|error| damaged(path, error))?;
            let (revision, json) = document.value();
            let json = signed::read(json).json;
            let widget = restore(json, revision, suffixes).map_err(|error| damaged(path, error))?.compile();
            let stored = WidgetRecord { rules: widget.as_rules(), fingerprint: meta.key.fingerprint(json) };
            row::write(id.value(), &stored.write(), &mut row);
            rules.insert(id.value(), row.as_slice()).map_err(|error| failed(error.into()))?;
        }
    }
    meta.row_format = row::ROW_FORMAT;
    meta.write(&transaction).map_err(failed)?;
    transaction.commit().map_err(|error| failed(error.into()))
}
