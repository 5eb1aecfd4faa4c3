//! Documents read beside their compiled rules: each widget has both, and they belong together.

use std::path::{Path, PathBuf};

use redb::{Range, ReadTransaction};

use super::fault::{caught, damaged};
use super::load::ScanFrom;
use super::tables::{DOCUMENTS, RULES};
use super::{row, signed};
use crate::rules::book::WidgetRecord;
use crate::rules::error::StoreError;
use crate::rules::fingerprint::FingerprintKey;

/// Scan of the documents that keeps step with one of the rules, from the same end.
pub(super) struct DocumentsBeside {
    path: PathBuf,
    rows: Range<'static, &'static str, (u64, &'static [u8])>,
    key: FingerprintKey,
}

impl DocumentsBeside {
    pub(super) fn open(
        path: &Path,
        transaction: &ReadTransaction,
        key: FingerprintKey,
    ) -> Result<Self, StoreError> {
        let table = transaction.open_table(DOCUMENTS).map_err(|error| damaged(path, error))?;
        let rows = table.range::<&str>(..).map_err(|error| damaged(path, error))?;
        Ok(Self { path: path.into(), rows, key })
    }

    /// Reads the next document. An error where it is not the one that this widget's rules were compiled from.
    pub(super) fn check(&mut self, from: ScanFrom, id: &str, rules: &[u8]) -> Result<(), StoreError> {
        let document = if from == ScanFrom::Front { self.rows.next() } else { self.rows.next_back() };
        let document = document.transpose().map_err(|error| damaged(&self.path, error))?;
        let record = row::read(id, rules).and_then(|record| WidgetRecord::read(id, record));
        let belongs = document.zip(record).is_some_and(|((of, document), record)| {
            let (revision, row) = document.value();
            of.value() == id && is_source_of(&record, self.key, revision, row)
        });
        match belongs {
            true => Ok(()),
            false => Err(damaged(
                &self.path,
                format!("the document of {id:?} and its rules don't belong together"),
            )),
        }
    }
}

/// Whether a document is not the one that the widget's rules were compiled from. Rules that can't be read contradict
/// nothing.
pub(super) fn contradicts(
    transaction: &ReadTransaction,
    key: FingerprintKey,
    id: &str,
    revision: u64,
    document: &[u8],
) -> bool {
    let contradicts = || {
        let rules = transaction.open_table(RULES).ok()?.get(id).ok()??;
        let record = WidgetRecord::read(id, row::read(id, rules.value())?)?;
        Some(!is_source_of(&record, key, revision, document))
    };
    caught(contradicts).ok().flatten().unwrap_or(false)
}

/// Whether rules were compiled from the document of this revision and row.
pub(super) fn is_source_of(
    record: &WidgetRecord<'_>,
    key: FingerprintKey,
    revision: u64,
    document: &[u8],
) -> bool {
    record.rules.revision == revision && record.fingerprint == key.fingerprint(signed::read(document).json)
}
