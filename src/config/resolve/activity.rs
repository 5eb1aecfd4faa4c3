//! `[activity]`.

use std::path::PathBuf;

use crate::config::scalar;
use crate::config::table::ConfigTable;

/// Settings of what is kept of embedders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivitySettings {
    /// The file that it is kept in. Default: `data/activity.redb`.
    pub path: PathBuf,
    /// Maximum memory, in bytes. Default: 128 MiB; at least 16 MiB.
    pub bytes: u64,
}

/// Least memory: what waits for the next second, and pages of the file.
const LEAST: u64 = 16 << 20;

pub(super) fn read(table: &ConfigTable<'_>) -> ActivitySettings {
    ActivitySettings {
        path: table.or("path", |item| item.text(scalar::path), "data/activity.redb".into()),
        bytes: table.or("bytes", |item| item.quantity(bytes), 128 << 20),
    }
}

fn bytes(text: &str) -> Result<u64, String> {
    match scalar::bytes(text)? {
        bytes if bytes < LEAST => Err(format!("'{text}' is less than 16MiB, too little to keep anything")),
        bytes => Ok(bytes),
    }
}
