//! Tables of the store's file.

use redb::{ReadTransaction, ReadableDatabase, TableDefinition, WriteTransaction};

use super::row::ROW_FORMAT;
use crate::rules::fingerprint::FingerprintKey;

/// Grows when the tables come to mean something that an older version would get wrong.
///
/// 2: documents are signed, and there is a history.
/// 3: documents have limits, which an older version would take for damage.
///
/// A store of an older format is read as it is, and is of the newest with its first save.
pub(super) const FORMAT: u64 = 3;

/// Documents by id: revision, canonical JSON without it, signed ([`super::signed`]).
pub(super) const DOCUMENTS: TableDefinition<'static, &str, (u64, &[u8])> = TableDefinition::new("documents");
/// Compiled rules by id, see [`super::row`]: derived from the documents.
pub(super) const RULES: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("rules");
/// Deletions by id: revision, whether the widget was restricted, the document that was withdrawn.
pub(super) const DELETED: TableDefinition<'static, &str, DeletionRow> = TableDefinition::new("deleted");
/// Earlier documents and deletions by id and number, see [`mod@super::history`].
pub(super) const HISTORY: TableDefinition<'static, HistoryKey, &[u8]> = TableDefinition::new("history");
/// Numbers by name.
pub(super) const META: TableDefinition<'static, &str, u64> = TableDefinition::new("meta");

/// Row of a deletion: see [`DELETED`].
pub(super) type DeletionRow = (u64, bool, Option<u64>);

/// Key of the history: id, and which one of the widget's rows.
pub(super) type HistoryKey = (&'static str, u64);

/// Metadata of the store's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) format: u64,
    pub(super) row_format: u64,
    pub(super) generation: u64,
    pub(super) key: FingerprintKey,
}

impl Meta {
    /// For a new file.
    pub(super) fn new() -> Self {
        Self { format: FORMAT, row_format: ROW_FORMAT, generation: 0, key: FingerprintKey::random() }
    }

    /// `None` where something is missing.
    pub(super) fn read(database: &impl ReadableDatabase) -> Result<Option<Self>, redb::Error> {
        Self::of(&database.begin_read()?)
    }

    /// That of one state of the file.
    pub(super) fn of(transaction: &ReadTransaction) -> Result<Option<Self>, redb::Error> {
        let table = match transaction.open_table(META) {
            Ok(table) => table,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let number = |name: &str| table.get(name).map(|number| number.map(|number| number.value()));
        let numbers = ["format", "row_format", "generation", "key_0", "key_1"]
            .map(number)
            .into_iter()
            .collect::<Result<Option<Vec<u64>>, _>>()?;
        let Some(&[format, row_format, generation, key_0, key_1]) = numbers.as_deref() else {
            return Ok(None);
        };
        Ok(Some(Self { format, row_format, generation, key: FingerprintKey(key_0, key_1) }))
    }

    pub(super) fn write(&self, transaction: &WriteTransaction) -> Result<(), redb::Error> {
        let mut table = transaction.open_table(META)?;
        let Self { format, row_format, generation, key: FingerprintKey(key_0, key_1) } = *self;
        let numbers = [
            ("format", format),
            ("row_format", row_format),
            ("generation", generation),
            ("key_0", key_0),
            ("key_1", key_1),
        ];
        for (name, number) in numbers {
            table.insert(name, number)?;
        }
        Ok(())
    }
}

/// Sets the generation, and the format that the tables have from now on. Tells the generation before.
pub(super) fn write_generation(transaction: &WriteTransaction, generation: u64) -> Result<u64, redb::Error> {
    let mut table = transaction.open_table(META)?;
    table.insert("format", FORMAT)?;
    let before = table.insert("generation", generation)?.map(|before| before.value());
    Ok(before.unwrap_or_default())
}
