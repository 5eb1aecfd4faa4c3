//! History of a widget: what its writes have replaced, and its deletions. The document in force is where it always is.
//!
//! ```text
//! row = kind:u8 varint(revision) signed      (signed: see the documents' rows; that of a deletion has no document)
//! ```
//! Rows are numbered in the order in which they were written. Revisions are not: the counting may begin again.

use redb::{ReadableTable, Table};

use super::signed::{self, SignedRow};
use super::tables::{DeletionRow, HistoryKey};
use crate::rules::documents::{HistoryEntry, HistoryState, restore};
use crate::rules::error::StoreError;
use crate::rules::storage::Author;
use embedgate_policy::suffix::PublicSuffixes;
use embedgate_policy::varint;

/// Most entries of one widget, the one in force among them.
pub(super) const MOST_ENTRIES: usize = 20;
/// Most bytes of one widget's entries, the one in force among them.
pub(super) const MOST_BYTES: usize = 1 << 20;

const DOCUMENT: u8 = 0;
const DELETION: u8 = 1;

/// Row of the history, read.
#[derive(Clone, Copy, Debug)]
struct HistoryRow<'r> {
    is_deletion: bool,
    revision: u64,
    signed: SignedRow<'r>,
}

impl<'r> HistoryRow<'r> {
    fn read(row: &'r [u8]) -> Option<Self> {
        let (&kind, rest) = row.split_first()?;
        let (revision, rest) = varint::read(rest)?;
        Some(Self { is_deletion: kind == DELETION, revision, signed: signed::read(rest) })
    }

    fn entry(&self, suffixes: &PublicSuffixes) -> Result<HistoryEntry, StoreError> {
        let SignedRow { at, actor, json } = self.signed;
        let state = match self.is_deletion {
            true => HistoryState::Deleted,
            false => HistoryState::Document(restore(json, self.revision, suffixes)?),
        };
        Ok(HistoryEntry { revision: self.revision, at, actor: actor.map(Box::from), state })
    }
}

fn document_row(revision: u64, signed: &[u8]) -> Vec<u8> {
    let mut row = vec![DOCUMENT];
    varint::write(&mut row, revision);
    row.extend(signed);
    row
}

fn deletion_row(revision: u64, author: Option<&Author>) -> Vec<u8> {
    let mut row = vec![DELETION];
    varint::write(&mut row, revision);
    if let Some(author) = author {
        signed::write(author, b"", &mut row);
    }
    row
}

/// What a write does, as far as history is about it.
pub(super) struct HistoryStep<'s> {
    /// The document that it replaces.
    pub(super) document: Option<&'s (u64, Box<[u8]>)>,
    /// The deletion that it replaces.
    pub(super) deletion: Option<DeletionRow>,
    /// The bytes of the document that it writes.
    pub(super) writes: Option<usize>,
    /// The revision of the deletion that it writes.
    pub(super) deletes: Option<u64>,
    pub(super) author: &'s Author,
}

/// Rows that a write has added to a widget's history and has dropped from it.
#[derive(Default)]
pub(super) struct HistoryChange {
    added: Vec<u64>,
    dropped: Vec<(u64, Box<[u8]>)>,
}

/// Table of the history, open in a write transaction.
pub(super) type HistoryTable<'t> = Table<'t, HistoryKey, &'static [u8]>;

/// Writes what a step adds to the history, and drops what is too much.
pub(super) fn follow(
    table: &mut HistoryTable<'_>,
    id: &str,
    step: &HistoryStep<'_>,
) -> Result<HistoryChange, redb::Error> {
    let mut change = HistoryChange::default();
    if step.document.is_none() && step.deletion.is_none() && step.deletes.is_none() {
        return Ok(change);
    }
    // Number and length of each.
    let mut rows: Vec<(u64, usize)> = Vec::new();
    let mut last_deletion = None;
    for row in table.range((id, 0)..=(id, u64::MAX))? {
        let (key, row) = row?;
        rows.push((key.value().1, row.value().len()));
        last_deletion = HistoryRow::read(row.value()).filter(|row| row.is_deletion).map(|row| row.revision);
    }
    let replaced = step.document.map(|(revision, signed)| document_row(*revision, signed));
    // One of format 1 left no row.
    let forgotten =
        step.deletion.map(|(revision, ..)| revision).filter(|revision| last_deletion != Some(*revision));
    let forgotten = forgotten.map(|revision| deletion_row(revision, None));
    let deletes = step.deletes.map(|revision| deletion_row(revision, Some(step.author)));
    for row in [replaced, forgotten, deletes].into_iter().flatten() {
        let number = rows.last().map_or(0, |(number, _)| number.saturating_add(1));
        table.insert((id, number), row.as_slice())?;
        rows.push((number, row.len()));
        change.added.push(number);
    }
    let most = MOST_ENTRIES - usize::from(step.writes.is_some());
    let mut bytes = step.writes.unwrap_or(0) + rows.iter().map(|(_, length)| length).sum::<usize>();
    let mut kept = rows.len();
    for (number, length) in rows {
        // What was just replaced stays, or a slip with a large document could not be taken back.
        if kept <= most && (bytes <= MOST_BYTES || change.added.contains(&number)) {
            break;
        }
        let row = table.remove((id, number))?.map(|row| Box::from(row.value()));
        change.dropped.extend(row.map(|row| (number, row)));
        kept -= 1;
        bytes -= length;
    }
    Ok(change)
}

/// Takes a change back.
pub(super) fn restore_rows(
    table: &mut HistoryTable<'_>,
    id: &str,
    change: &HistoryChange,
) -> Result<(), redb::Error> {
    for number in &change.added {
        table.remove((id, *number))?;
    }
    for (number, row) in &change.dropped {
        table.insert((id, *number), &**row)?;
    }
    Ok(())
}

/// Rows of one widget that tell its history.
#[derive(Default)]
pub(super) struct HistoryRows {
    /// The document in force.
    pub(super) document: Option<(u64, Box<[u8]>)>,
    /// Its deletion.
    pub(super) deletion: Option<DeletionRow>,
    /// The rows of the history, the oldest first.
    pub(super) earlier: Vec<Box<[u8]>>,
}

impl HistoryRows {
    /// The entries, the newest first.
    pub(super) fn entries(&self, suffixes: &PublicSuffixes) -> Result<Vec<HistoryEntry>, StoreError> {
        let mut entries = Vec::with_capacity(1 + self.earlier.len());
        if let Some((revision, row)) = &self.document {
            let row = HistoryRow { is_deletion: false, revision: *revision, signed: signed::read(row) };
            entries.push(row.entry(suffixes)?);
        }
        let mut earlier = self.earlier.iter().rev().filter_map(|row| HistoryRow::read(row)).peekable();
        if let Some((revision, ..)) = self.deletion
            && earlier.peek().is_none_or(|row| !row.is_deletion || row.revision != revision)
        {
            entries.push(HistoryEntry { revision, at: None, actor: None, state: HistoryState::Deleted });
        }
        for row in earlier {
            entries.push(row.entry(suffixes)?);
        }
        Ok(entries)
    }
}

#[cfg(test)]
mod tests;
