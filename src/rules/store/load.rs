//! From the file to a book.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata};

use super::fault::damaged;
use super::row;
use super::tables::{DELETED, DOCUMENTS, Meta, RULES};
use crate::policy::suffix::PublicSuffixes;
use crate::policy::widget::WidgetId;
use crate::rules::book::{Fingerprint, RuleBook, Stored, Tombstone};
use crate::rules::documents::restore;
use crate::rules::error::RulesError;
use std::path::Path;

/// How far a reader goes before it looks where the other one is.
const STRIDE: usize = 4096;

pub(super) fn book(path: &Path, database: &Database, meta: &Meta) -> Result<RuleBook, RulesError> {
    let transaction = database.begin_read().map_err(|error| damaged(path, error))?;
    let documents = transaction.open_table(DOCUMENTS).and_then(|table| Ok(table.len()?));
    let documents = documents.map_err(|error| damaged(path, error))?;
    let widgets = rules(path, &transaction)?;
    if widgets.len() as u64 != documents {
        return Err(damaged(path, format!("it has {documents} documents and {} rules", widgets.len())));
    }
    let deleted = deletions(&transaction).map_err(|error| damaged(path, error))?;
    Ok(RuleBook::restore(meta.key, meta.generation, widgets, deleted))
}

/// Two readers start at the two ends and meet wherever they meet: the work is halved whatever the ids look like.
fn rules(path: &Path, transaction: &ReadTransaction) -> Result<Vec<Arc<Stored>>, RulesError> {
    let reached = Reached::default();
    thread::scope(|scope| {
        let front = scope.spawn(|| read(path, transaction, &reached, End::Front));
        let back = read(path, transaction, &reached, End::Back);
        let mut widgets = front.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let met_at = widgets.last().map(|stored| stored.rules.id.clone());
        // What both have read.
        let is_news = |stored: &Arc<Stored>| met_at.as_ref().is_none_or(|met_at| stored.rules.id > *met_at);
        widgets.extend(back?.into_iter().filter(is_news));
        Ok(widgets)
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Front,
    Back,
}

/// Up to where the readers have read.
#[derive(Default)]
struct Reached(Mutex<[Option<WidgetId>; 2]>);

impl Reached {
    /// Whether the readers have met.
    fn tell(&self, end: End, id: &WidgetId) -> bool {
        let mut reached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let [front, back] = &mut *reached;
        match end {
            End::Front => *front = Some(id.clone()),
            End::Back => *back = Some(id.clone()),
        }
        front.as_ref().zip(back.as_ref()).is_some_and(|(front, back)| front >= back)
    }
}

fn read(
    path: &Path,
    transaction: &ReadTransaction,
    reached: &Reached,
    end: End,
) -> Result<Vec<Arc<Stored>>, RulesError> {
    let table = transaction.open_table(RULES).map_err(|error| damaged(path, error))?;
    let mut rows = table.iter().map_err(|error| damaged(path, error))?;
    let mut widgets: Vec<Arc<Stored>> = Vec::new();
    loop {
        let row = if end == End::Front { rows.next() } else { rows.next_back() };
        let Some(row) = row else { return Ok(widgets) };
        let (id, row) = row.map_err(|error| damaged(path, error))?;
        let stored = row::read(id.value(), row.value()).ok_or_else(|| {
            damaged(path, format!("the rules of {:?} are not what was written", id.value()))
        })?;
        widgets.push(stored);
        if widgets.len().is_multiple_of(STRIDE)
            && let Some(last) = widgets.last()
            && reached.tell(end, &last.rules.id)
        {
            return Ok(widgets);
        }
    }
}

fn deletions(transaction: &ReadTransaction) -> Result<Vec<(WidgetId, Tombstone)>, redb::Error> {
    let table = transaction.open_table(DELETED)?;
    let mut deleted = Vec::new();
    for row in table.iter()? {
        let (id, row) = row?;
        let (revision, was_restricted, withdrawn) = row.value();
        let id = WidgetId::parse(id.value()).map_err(|error| redb::Error::Corrupted(error.to_string()))?;
        deleted.push((id, Tombstone { revision, was_restricted, withdrawn: withdrawn.map(Fingerprint) }));
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
        for document in documents.iter().map_err(|error| damaged(path, error))? {
            let (id, document) = document.map_err(|error| damaged(path, error))?;
            let (revision, json) = document.value();
            let widget = restore(json, revision, suffixes).map_err(|error| damaged(path, error))?;
            let stored = Stored { rules: widget.compile(), fingerprint: meta.key.fingerprint(json) };
            rules.insert(id.value(), row::write(&stored).as_slice()).map_err(|error| failed(error.into()))?;
        }
    }
    meta.row_format = row::ROW_FORMAT;
    meta.write(&transaction).map_err(failed)?;
    transaction.commit().map_err(|error| failed(error.into()))
}
