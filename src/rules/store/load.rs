//! From the file to a book.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata};

use super::fault::damaged;
use super::row;
use super::tables::{DELETED, DOCUMENTS, Meta, RULES};
use crate::policy::suffix::PublicSuffixes;
use crate::policy::widget::WidgetId;
use crate::rules::book::{Fingerprint, Intake, RuleBook, Stored, Tombstone};
use crate::rules::documents::restore;
use crate::rules::error::RulesError;
use crate::rules::parallel::on_threads;

/// How far a reader goes before it looks where the other one is.
const STRIDE: usize = 1024;

pub(super) fn book(path: &Path, database: &Database, meta: &Meta) -> Result<RuleBook, RulesError> {
    let transaction = database.begin_read().map_err(|error| damaged(path, error))?;
    let documents = transaction.open_table(DOCUMENTS).and_then(|table| Ok(table.len()?));
    let documents = documents.map_err(|error| damaged(path, error))?;
    let mut intakes = rules(path, &transaction)?;
    if let Some(intake) = intakes.first_mut() {
        deletions(&transaction, intake).map_err(|error| damaged(path, error))?;
    }
    let book = RuleBook::restore(meta.key, meta.generation, intakes);
    if book.len() as u64 != documents {
        return Err(damaged(path, format!("it has {documents} documents and {} rules", book.len())));
    }
    Ok(book)
}

/// Two readers start at the two ends and meet wherever they meet: the work is halved whatever the ids look like.
fn rules(path: &Path, transaction: &ReadTransaction) -> Result<Vec<Intake>, RulesError> {
    let meeting = Meeting::default();
    let [front, back]: [Intake; 2] =
        Intake::of(2).try_into().map_err(|_| damaged(path, "nobody could read it"))?;
    let readers = vec![(End::Front, front), (End::Back, back)];
    on_threads(readers, |(end, intake)| read(path, transaction, &meeting, end, intake)).into_iter().collect()
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
    mut intake: Intake,
) -> Result<Intake, RulesError> {
    let table = transaction.open_table(RULES).map_err(|error| damaged(path, error))?;
    let mut rows = table.iter().map_err(|error| damaged(path, error))?;
    let mut stride = Stride::default();
    loop {
        let row = if end == End::Front { rows.next() } else { rows.next_back() };
        let at_end = row.is_none();
        if let Some(row) = row {
            let (id, row) = row.map_err(|error| damaged(path, error))?;
            let (id, row) = (id.value(), row.value());
            let record = row::read(id, row).ok_or_else(|| foreign(path, id))?;
            stride.push(id, record);
        }
        let Some(last) = stride.last().filter(|_| at_end || stride.len() == STRIDE) else {
            if at_end {
                return Ok(intake);
            }
            continue;
        };
        let met = meeting.claim(end, last);
        for (id, record) in stride.rows() {
            let is_taken = met.as_deref().is_some_and(|met| match end {
                End::Front => id >= met,
                End::Back => id <= met,
            });
            if !is_taken && !intake.widget(id, record) {
                return Err(foreign(path, id));
            }
        }
        if at_end || met.is_some() {
            return Ok(intake);
        }
        stride.clear();
    }
}

fn foreign(path: &Path, id: &str) -> RulesError {
    damaged(path, format!("the rules of {id:?} are not what was written"))
}

/// Rows that were read and not yet claimed.
#[derive(Default)]
struct Stride {
    ids: String,
    records: Vec<u8>,
    /// Where each ends, in both.
    ends: Vec<(usize, usize)>,
}

impl Stride {
    fn push(&mut self, id: &str, record: &[u8]) {
        self.ids.push_str(id);
        self.records.extend(record);
        self.ends.push((self.ids.len(), self.records.len()));
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
        starts.zip(&self.ends).filter_map(|(start, end)| {
            Some((self.ids.get(start.0..end.0)?, self.records.get(start.1..end.1)?))
        })
    }

    fn clear(&mut self) {
        self.ids.clear();
        self.records.clear();
        self.ends.clear();
    }
}

fn deletions(transaction: &ReadTransaction, intake: &mut Intake) -> Result<(), redb::Error> {
    let table = transaction.open_table(DELETED)?;
    for row in table.iter()? {
        let (id, row) = row?;
        if !WidgetId::is_valid(id.value()) {
            return Err(redb::Error::Corrupted(format!("{:?} is no widget's id", id.value())));
        }
        let (revision, was_restricted, withdrawn) = row.value();
        intake.deleted(
            id.value(),
            Tombstone { revision, was_restricted, withdrawn: withdrawn.map(Fingerprint) },
        );
    }
    Ok(())
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
