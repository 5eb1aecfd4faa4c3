//! File of the opens of a day: on redb, a row for each embedder of each widget.

use std::path::{Path, PathBuf};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableError};
use serde::{Deserialize, Serialize};

use crate::database::{DatabaseError, DatabaseFault, DatabaseFile, DatabaseKind};

/// Opens, and whether an entry names the embedder exactly, by widget and embedder.
const OPENS: TableDefinition<'static, (&str, &str), (u32, bool)> = TableDefinition::new("opens");

/// One row: [`DayAbout`], as MessagePack.
const ABOUT: TableDefinition<'static, (), &[u8]> = TableDefinition::new("about");

/// Grows when rows come to mean something that an older version would get wrong.
const FORMAT: u32 = 1;

/// Most memory of the library for pages of the file, in bytes.
const CACHE: u64 = 4 << 20;

/// File of the opens of a day.
#[derive(Debug)]
pub(super) struct DayFile {
    path: PathBuf,
    database: DatabaseFile<DayAbout>,
}

/// Opens of a day.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct KeptDay {
    /// Days since 1970.
    pub(super) day: u32,
    pub(super) opens: Vec<KeptOpens>,
}

/// Opens of an embedder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeptOpens {
    pub(super) widget: Box<str>,
    pub(super) embedder: Box<str>,
    pub(super) opens: u32,
    /// Whether an entry names it exactly.
    pub(super) is_listed: bool,
}

/// What the file says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct DayAbout {
    format: u32,
    /// The day of the rows, in days since 1970.
    day: u32,
}

impl DayFile {
    pub(super) fn new(path: &Path) -> Self {
        let kind = DatabaseKind { content: "the opens of the day", begin: about };
        Self { path: path.to_owned(), database: DatabaseFile::new(path, CACHE, kind) }
    }

    /// What is in it. One that is not there is not made: it is nothing to an edge without limits.
    pub(super) fn read(&self) -> Result<KeptDay, DatabaseError> {
        if !self.path.exists() {
            return Ok(KeptDay { day: 0, opens: Vec::new() });
        }
        let day = self.database.about(|about| about.day)?;
        let opens = self.database.with(|database| {
            let reading = database.begin_read()?;
            let table = match reading.open_table(OPENS) {
                Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
                table => table?,
            };
            let rows = table.iter()?.map(|row| {
                let (key, value) = row?;
                let ((widget, embedder), (opens, is_listed)) = (key.value(), value.value());
                Ok(KeptOpens { widget: widget.into(), embedder: embedder.into(), opens, is_listed })
            });
            rows.collect()
        })?;
        Ok(KeptDay { day, opens })
    }

    /// The day of its rows; `None` where there is no file.
    pub(super) fn day(&self) -> Result<Option<u32>, DatabaseError> {
        match self.path.exists() {
            true => self.database.about(|about| Some(about.day)),
            false => Ok(None),
        }
    }

    /// Writes rows of this day, and takes away those of another. Once it is done, it survives a loss of power.
    pub(super) fn write(&self, day: u32, rows: impl Iterator<Item = KeptOpens>) -> Result<(), DatabaseError> {
        let mut rows = rows.peekable();
        let has_rows = rows.peek().is_some();
        if !has_rows && !self.path.exists() {
            return Ok(());
        }
        let about = self.database.about(Clone::clone)?;
        if !has_rows && about.day == day {
            return Ok(());
        }
        let about = self.database.with(|database| commit(database, &about, day, rows))?;
        self.database.says(about);
        Ok(())
    }

    pub(super) fn let_go(&self) {
        self.database.let_go();
    }

    pub(super) fn take_back(&self) {
        self.database.take_back();
    }

    pub(super) fn is_lent(&self) -> bool {
        self.database.is_lent()
    }
}

fn commit(
    database: &Database,
    before: &DayAbout,
    day: u32,
    rows: impl Iterator<Item = KeptOpens>,
) -> Result<DayAbout, DatabaseFault> {
    let about = DayAbout { format: FORMAT, day };
    let row = rmp_serde::to_vec_named(&about).map_err(|error| DatabaseFault::Failed(error.to_string()))?;
    let transaction = database.begin_write()?;
    if before.day != day {
        transaction.delete_table(OPENS)?;
    }
    {
        let mut table = transaction.open_table(OPENS)?;
        for KeptOpens { widget, embedder, opens, is_listed } in rows {
            table.insert((&*widget, &*embedder), (opens, is_listed))?;
        }
        transaction.open_table(ABOUT)?.insert((), &*row)?;
    }
    transaction.commit()?;
    Ok(about)
}

/// What the file says of itself. One with nothing in it is begun.
fn about(database: &Database) -> Result<DayAbout, DatabaseFault> {
    let reading = database.begin_read()?;
    let row = match reading.open_table(ABOUT) {
        Ok(table) => table.get(())?,
        Err(TableError::TableDoesNotExist(_)) if reading.list_tables()?.next().is_none() => {
            return commit(database, &DayAbout::default(), 0, std::iter::empty());
        }
        Err(TableError::TableDoesNotExist(_)) => {
            return Err(DatabaseFault::Damaged("it is a database, but not of opens".to_owned()));
        }
        Err(error) => return Err(error.into()),
    };
    let row = row.ok_or_else(|| DatabaseFault::Damaged("it does not say what it is".to_owned()))?;
    let about: DayAbout =
        rmp_serde::from_slice(row.value()).map_err(|error| DatabaseFault::Damaged(error.to_string()))?;
    match about.format {
        FORMAT => Ok(about),
        found => Err(DatabaseFault::Damaged(format!(
            "it is of format {found}, and this version reads format {FORMAT}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::iter;

    use super::*;

    fn opens(widget: &str, embedder: &str, opens: u32) -> KeptOpens {
        KeptOpens { widget: widget.into(), embedder: embedder.into(), opens, is_listed: embedder.len() > 1 }
    }

    #[test]
    fn rows_are_those_of_one_day() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/limits.redb");
        let file = DayFile::new(&path);
        file.write(7, iter::empty()).unwrap();
        assert_eq!(file.read().unwrap(), KeptDay { day: 0, opens: Vec::new() });
        assert!(!path.exists());
        file.write(7, [opens("w", "https://a.example", 3), opens("w", "", 1)].into_iter()).unwrap();
        file.write(7, [opens("w", "https://a.example", 5), opens("v", "b", 2)].into_iter()).unwrap();
        let kept = vec![opens("v", "b", 2), opens("w", "", 1), opens("w", "https://a.example", 5)];
        drop(file);
        let file = DayFile::new(&path);
        assert_eq!(file.read().unwrap(), KeptDay { day: 7, opens: kept });
        // Also where nothing is opened on the new day.
        file.write(8, iter::empty()).unwrap();
        assert_eq!(file.read().unwrap(), KeptDay { day: 8, opens: Vec::new() });
        file.write(8, iter::once(opens("w", "b", 1))).unwrap();
        file.write(9, iter::once(opens("w", "c", 1))).unwrap();
        assert_eq!(file.read().unwrap(), KeptDay { day: 9, opens: vec![opens("w", "c", 1)] });
    }

    #[test]
    fn a_database_of_another_kind_is_moved_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("limits.redb");
        let other = Database::create(&path).unwrap();
        let writing = other.begin_write().unwrap();
        writing.open_table(TableDefinition::<u64, u64>::new("else")).unwrap();
        writing.commit().unwrap();
        drop(other);
        let file = DayFile::new(&path);
        assert_eq!(file.read().unwrap(), KeptDay { day: 0, opens: Vec::new() });
        assert!(folder.path().join("limits.redb.damaged").exists());
    }
}
