//! Rows of the store's file: MessagePack, each struct as a map with short keys. So a version reads the rows of a later one:
//! it skips keys that it doesn't know.

use jiff::Timestamp;
use redb::TableDefinition;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::activity::kept::KeptWidget;
use crate::activity::most_refused::MostRefused;
use crate::database::DatabaseFault;

/// Records by id: [`KeptWidget`].
pub(super) const WIDGETS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("widgets");

/// One row: [`About`].
pub(super) const ABOUT: TableDefinition<'static, (), &[u8]> = TableDefinition::new("about");

/// Grows when rows come to mean something that an older version would get wrong.
const FORMAT: u32 = 2;

/// What the file says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::activity) struct About {
    format: u32,
    /// When it was begun, in seconds since 1970.
    pub(in crate::activity) since: u32,
    /// Number of writes so far.
    pub(in crate::activity) writes: u64,
    /// Bytes of all records.
    pub(in crate::activity) bytes: u64,
    pub(in crate::activity) most_refused: MostRefused,
}

impl About {
    /// Of a file that is begun now.
    pub(super) fn new(now: Timestamp) -> Self {
        let since = u32::try_from(now.as_second()).unwrap_or_default();
        Self { format: FORMAT, since, ..Self::default() }
    }

    /// Reads the row.
    pub(super) fn read(row: &[u8]) -> Result<Self, DatabaseFault> {
        let about: Self = read(row)?;
        match about.format {
            FORMAT => Ok(about),
            found => Err(DatabaseFault::Damaged(format!(
                "it is of format {found}, and this version reads format {FORMAT}"
            ))),
        }
    }
}

/// The record of a widget; `None` where the row is none.
pub(super) fn record(id: &str, row: &[u8]) -> Option<KeptWidget> {
    match read(row) {
        Ok(record) => Some(record),
        Err(DatabaseFault::Damaged(found) | DatabaseFault::Failed(found)) => {
            tracing::debug!(widget = id, "what was seen of a widget can't be read: {found}");
            None
        }
    }
}

/// Reads a row.
fn read<T: DeserializeOwned>(row: &[u8]) -> Result<T, DatabaseFault> {
    rmp_serde::from_slice(row).map_err(|error| DatabaseFault::Damaged(error.to_string()))
}

/// The row of a value.
pub(super) fn write(value: &impl Serialize) -> Result<Vec<u8>, DatabaseFault> {
    // Into memory, and of types that it can write all of.
    rmp_serde::to_vec_named(value).map_err(|error| DatabaseFault::Failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;
    use embedgate_policy::verdict::Reason;

    #[derive(Serialize)]
    struct Older {
        format: u32,
        since: u32,
    }

    #[test]
    fn fields_that_an_older_version_did_not_have_are_empty() {
        let row = write(&Older { format: FORMAT, since: 7 }).unwrap();
        assert_eq!(About::read(&row), Ok(About { format: FORMAT, since: 7, ..About::default() }));
    }

    #[test]
    fn a_row_of_another_version_is_not_guessed_at() {
        let row = write(&Older { format: FORMAT + 1, since: 7 }).unwrap();
        assert!(
            matches!(About::read(&row), Err(DatabaseFault::Damaged(found)) if found.contains("format 3"))
        );
        assert!(matches!(About::read(b"\xc1"), Err(DatabaseFault::Damaged(_))));
    }

    #[test]
    fn a_record_of_a_later_version_is_read() {
        let known = r#"{"l":7,"a":{"m":[{"o":"https://a.example","n":3,"r":"exact","f":1,"l":7}]}}"#;
        let later = r#"{"new":[1,{"x":2}],"l":7,"a":{"m":[
            {"o":"https://a.example","n":3,"r":"exact","more":"text","f":1,"l":7}],"z":null}}"#;
        let read = |json: &str| {
            let value: serde_json::Value = serde_json::from_str(json).unwrap();
            record("w", &write(&value).unwrap()).unwrap().told()
        };
        let told = read(known);
        let [embedder] = &told.admitted.embedders[..] else { panic!("{told:?}") };
        assert_eq!((embedder.count, embedder.reason), (3, Some(Reason::Exact)));
        assert_eq!(read(later), told);
        // A reason that is not known here is none.
        let [embedder] = &read(&known.replace("exact", "foreseen")).admitted.embedders[..] else { panic!() };
        assert_eq!((embedder.count, embedder.reason), (3, None));
        assert_eq!(record("w", b"no record"), None);
    }
}
