//! Search for what a damaged store has lost: every table is read from both ends as far as it goes, and then each widget
//! that any of them knows is asked for.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use redb::{
    Key, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    TableDefinition, TableError, Value,
};

use super::beside::is_source_of;
use super::fault::caught;
use super::load::ScanFrom;
use super::tables::{DELETED, DOCUMENTS, DeletionRow, HISTORY, Meta, RULES};
use super::{row, salvage, signed};
use crate::rules::book::WidgetRecord;
use crate::rules::error::{IDS_NAMED, StoreError, StoreLoss};
use crate::rules::fingerprint::FingerprintKey;
use embedgate_policy::widget::WidgetId;

/// The same error, and where it is a damaged store, what is lost.
pub(super) fn told(error: StoreError) -> StoreError {
    match error {
        StoreError::Damaged { path, source, loss: None } => {
            let loss = find(&path).map(Arc::new);
            StoreError::Damaged { path, source, loss }
        }
        error => error,
    }
}

/// What the damaged file at this path has lost. `None` where nothing in it is a store.
fn find(path: &Path) -> Option<StoreLoss> {
    let find = || {
        let database = salvage::open(path).ok()?;
        let meta = caught(|| Meta::read(&database)).ok().and_then(Result::ok).flatten();
        let transaction = database.begin_read().ok()?;
        Some(DamagedTables { transaction, key: meta.map(|meta| meta.key) }.loss())
    };
    caught(find).ok().flatten()
}

/// Tables of a damaged store.
struct DamagedTables {
    transaction: ReadTransaction,
    /// The key of its fingerprints, if it can be read.
    key: Option<FingerprintKey>,
}

impl DamagedTables {
    fn loss(&self) -> StoreLoss {
        let (documents, rules) = (self.table(DOCUMENTS), self.table(RULES));
        // Rows of other tables can be read, too, where a page of another table lies.
        let of_document = |id: &str, (_, row): (u64, &[u8])| {
            let begins = format!("{{\"id\":\"{id}\"");
            signed::read(row).json.starts_with(begins.as_bytes()).then(|| (id.to_owned(), 0))
        };
        let of_rules = |id: &str, row: &[u8]| row::read(id, row).map(|_| (id.to_owned(), 0));
        let [in_documents, in_rules] = [
            documents.as_ref().map(|table| readable_ids(table, of_document)).unwrap_or_default(),
            rules.as_ref().map(|table| readable_ids(table, of_rules)).unwrap_or_default(),
        ];
        let of_deleted = |id: &str, _: DeletionRow| Some((id.to_owned(), 0));
        let deletions = self.table(DELETED).is_some_and(|table| is_whole_table(&table, of_deleted));
        let of_earlier = |(id, number): (&str, u64), _: &[u8]| Some((id.to_owned(), number));
        let history = self.table(HISTORY).map(|table| is_whole_table(&table, of_earlier));
        // A store of format 1 has none.
        let history = history.unwrap_or_else(|| self.has_no_history());
        let known: BTreeSet<&str> =
            in_documents.ids.iter().chain(&in_rules.ids).map(String::as_str).collect();
        let (documents, rules) = (documents.as_ref(), rules.as_ref());
        let is_lost = |id: &&str| !self.is_whole(id, documents, rules);
        let lost: Vec<&str> = known.iter().copied().filter(is_lost).collect();
        let widgets = in_documents.rows.max(in_rules.rows).max(known.len() as u64);
        StoreLoss {
            widgets,
            lost: widgets - known.len() as u64 + lost.len() as u64,
            ids: lost.into_iter().take(IDS_NAMED).map(Into::into).collect(),
            deletions: !deletions,
            history: !history,
        }
    }

    /// Whether there is no table of earlier documents, rather than a damaged one.
    fn has_no_history(&self) -> bool {
        let opened = caught(|| self.transaction.open_table(HISTORY).map(drop));
        matches!(opened, Ok(Err(TableError::TableDoesNotExist(_))))
    }

    fn table<K: Key + 'static, V: Value + 'static>(
        &self,
        definition: TableDefinition<'static, K, V>,
    ) -> Option<ReadOnlyTable<K, V>> {
        caught(|| self.transaction.open_table(definition)).ok()?.ok()
    }

    /// Whether a widget's document and rules can be read, and belong together.
    fn is_whole(
        &self,
        id: &str,
        documents: Option<&ReadOnlyTable<&'static str, (u64, &'static [u8])>>,
        rules: Option<&ReadOnlyTable<&'static str, &'static [u8]>>,
    ) -> bool {
        let read = || {
            let (document, rules) = (documents?.get(id).ok()??, rules?.get(id).ok()??);
            let (revision, document) = document.value();
            let record = WidgetRecord::read(id, row::read(id, rules.value())?)?;
            Some(is_source_of(&record, self.key?, revision, document))
        };
        caught(read).ok().flatten().unwrap_or(false)
    }
}

/// Ids in the rows of a table that can be read one after the other.
#[derive(Default)]
struct ReadableIds {
    ids: BTreeSet<String>,
    /// How many rows there are, by the table's own account.
    rows: u64,
}

/// Key of a row: a widget's id, and a number for tables that have several rows for one.
type RowKey = (String, u64);

/// Reads a table from both ends, as far as it goes. `key`: that of a row, `None` where it is none of this table's.
fn readable_ids<K: Key + 'static, V: Value + 'static>(
    table: &ReadOnlyTable<K, V>,
    key: impl for<'r> Fn(K::SelfType<'r>, V::SelfType<'r>) -> Option<RowKey>,
) -> ReadableIds {
    let mut found = ReadableIds { rows: rows(table), ..ReadableIds::default() };
    let (is_whole, last) = read_forward(table, &key, |next| {
        found.ids.insert(next.0.clone());
    });
    if !is_whole {
        let mut first = None;
        read_keys(table, ScanFrom::Back, &key, |next| {
            // Up to where the other way has come to.
            let is_next = first.as_ref().is_none_or(|first| *first > next)
                && last.as_ref().is_none_or(|last| *last < next);
            if is_next {
                found.ids.insert(next.0.clone());
                first = Some(next);
            }
            is_next
        });
    }
    found
}

/// Whether all rows of a table can be read one after the other. None of them is kept: there may be many.
fn is_whole_table<K: Key + 'static, V: Value + 'static>(
    table: &ReadOnlyTable<K, V>,
    key: impl for<'r> Fn(K::SelfType<'r>, V::SelfType<'r>) -> Option<RowKey>,
) -> bool {
    read_forward(table, &key, |_| {}).0
}

/// Reads a table from the front as far as it goes. Whether that is all of it, and the last key.
fn read_forward<K: Key + 'static, V: Value + 'static>(
    table: &ReadOnlyTable<K, V>,
    key: &impl for<'r> Fn(K::SelfType<'r>, V::SelfType<'r>) -> Option<RowKey>,
    mut take: impl FnMut(&RowKey),
) -> (bool, Option<RowKey>) {
    let (mut read, mut last) = (0, None);
    let at_end = read_keys(table, ScanFrom::Front, key, |next| {
        let is_next = last.as_ref().is_none_or(|last| *last < next);
        if is_next {
            read += 1;
            take(&next);
            last = Some(next);
        }
        is_next
    });
    (at_end && read == rows(table), last)
}

/// How many rows a table has, by its own account.
fn rows<K: Key + 'static, V: Value + 'static>(table: &ReadOnlyTable<K, V>) -> u64 {
    caught(|| table.len()).ok().and_then(Result::ok).unwrap_or(0)
}

/// Reads the keys of a table from one end for as long as `take` wants more. Whether it came to the other end.
fn read_keys<K: Key + 'static, V: Value + 'static>(
    table: &ReadOnlyTable<K, V>,
    from: ScanFrom,
    key: &impl for<'r> Fn(K::SelfType<'r>, V::SelfType<'r>) -> Option<RowKey>,
    mut take: impl FnMut(RowKey) -> bool,
) -> bool {
    let Ok(Ok(mut rows)) = caught(|| table.iter()) else { return false };
    loop {
        let next = caught(|| {
            let row = if from == ScanFrom::Front { rows.next() } else { rows.next_back() };
            row.map(|row| row.map(|(id, row)| key(id.value(), row.value())))
        });
        match next {
            Ok(None) => return true,
            Ok(Some(Ok(Some(next)))) if WidgetId::is_valid(&next.0) && take(next.clone()) => {}
            _ => return false,
        }
    }
}
