//! From the file to a book.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata};

use super::fault::damaged;
use super::row;
use super::tables::{DELETED, DOCUMENTS, Meta, RULES};
use crate::policy::suffix::PublicSuffixes;
use crate::policy::widget::WidgetId;
use crate::rules::book::{Census, Fingerprint, Intake, Measure, RuleBook, Stored, Tombstone};
use crate::rules::documents::restore;
use crate::rules::error::RulesError;
use crate::rules::parallel::on_threads;

/// How far a reader goes before it looks where the other one is.
const STRIDE: usize = 1024;

pub(super) fn book(path: &Path, database: &Database, meta: &Meta) -> Result<RuleBook, RulesError> {
    let transaction = database.begin_read().map_err(|error| damaged(path, error))?;
    let documents = transaction.open_table(DOCUMENTS).and_then(|table| Ok(table.len()?));
    let documents = documents.map_err(|error| damaged(path, error))?;
    let deleted = deletions(&transaction).map_err(|error| damaged(path, error))?;
    let measured = on_both_ends(path, &transaction, Measure::of(2), |measure, id, row| {
        measure.widget(id, row::record_length(row));
        true
    })?;
    let intake = Intake::new(measured);
    let counted = on_both_ends(path, &transaction, vec![Census::default(); 2], |census, id, row| {
        row::read(id, row).is_some_and(|record| intake.widget(id, record, census))
    })?;
    let book = RuleBook::restore(meta.key, meta.generation, intake, &counted, &deleted);
    if book.len() as u64 != documents {
        return Err(damaged(path, format!("it has {documents} documents and {} rules", book.len())));
    }
    Ok(book)
}

/// Two readers start at the two ends and meet wherever they meet: the work is halved whatever the ids look like. Each
/// has a hand of its own; `take` says whether a row is what was written.
fn on_both_ends<T: Send>(
    path: &Path,
    transaction: &ReadTransaction,
    hands: Vec<T>,
    take: impl Fn(&mut T, &str, &[u8]) -> bool + Sync,
) -> Result<Vec<T>, RulesError> {
    let meeting = Meeting::default();
    let readers = [End::Front, End::Back].into_iter().zip(hands).collect();
    let read = |(end, mut hand)| {
        read(path, transaction, &meeting, end, |id, row| take(&mut hand, id, row))?;
        Ok(hand)
    };
    on_threads(readers, read).into_iter().collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Front,
    Back,
}

/// Up to where the readers have taken rows in.
#[derive(Default)]
struct Meeting(Mutex<[Option<String>; 2]>);

impl Meeting {
    /// Claims the rows up to `last`. Where the other reader has been there already: up to where it came, exclusive,
    /// the rows are this reader's, and there is nothing more to read.
    fn claim(&self, end: End, last: &str) -> Option<String> {
        let mut reached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let [front, back] = &mut *reached;
        let (own, other) = if end == End::Front { (front, back) } else { (back, front) };
        let met = other.as_deref().is_some_and(|other| match end {
            End::Front => last >= other,
            End::Back => last <= other,
        });
        if met {
            own.clone_from(other);
            return other.clone();
        }
        *own = Some(last.to_owned());
        None
    }
}

fn read(
    path: &Path,
    transaction: &ReadTransaction,
    meeting: &Meeting,
    end: End,
    mut take: impl FnMut(&str, &[u8]) -> bool,
) -> Result<(), RulesError> {
    let table = transaction.open_table(RULES).map_err(|error| damaged(path, error))?;
    let mut rows = table.iter().map_err(|error| damaged(path, error))?;
    let mut stride = Stride::default();
    loop {
        let row = if end == End::Front { rows.next() } else { rows.next_back() };
        let at_end = row.is_none();
        if let Some(row) = row {
            let (id, row) = row.map_err(|error| damaged(path, error))?;
            stride.push(id.value(), row.value());
        }
        let Some(last) = stride.last().filter(|_| at_end || stride.len() == STRIDE) else {
            if at_end {
                return Ok(());
            }
            continue;
        };
        let met = meeting.claim(end, last);
        for (id, row) in stride.rows() {
            let is_taken = met.as_deref().is_some_and(|met| match end {
                End::Front => id >= met,
                End::Back => id <= met,
            });
            if !is_taken && !take(id, row) {
                return Err(damaged(path, format!("the rules of {id:?} are not what was written")));
            }
        }
        if at_end || met.is_some() {
            return Ok(());
        }
        stride.clear();
    }
}

/// Rows that were read and not yet claimed.
#[derive(Default)]
struct Stride {
    ids: String,
    rows: Vec<u8>,
    /// Where each ends, in both.
    ends: Vec<(usize, usize)>,
}

impl Stride {
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

/// Makes the compiled rules again from the documents, after their format has changed.
pub(super) fn derive(
    path: &Path,
    database: &Database,
    meta: &mut Meta,
    suffixes: &PublicSuffixes,
) -> Result<(), RulesError> {
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
            let widget = restore(json, revision, suffixes).map_err(|error| damaged(path, error))?.compile();
            let stored = Stored { rules: widget.as_rules(), fingerprint: meta.key.fingerprint(json) };
            row::write(id.value(), &stored.write(), &mut row);
            rules.insert(id.value(), row.as_slice()).map_err(|error| failed(error.into()))?;
        }
    }
    meta.row_format = row::ROW_FORMAT;
    meta.write(&transaction).map_err(failed)?;
    transaction.commit().map_err(|error| failed(error.into()))
}
