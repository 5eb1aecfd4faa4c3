//! `[limits]`.

use std::path::PathBuf;

use crate::config::scalar;
use crate::config::table::ConfigTable;

/// Settings of what is kept of widgets' limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitSettings {
    /// The file that the opens of a day are kept in. Default: `data/limits.redb`.
    pub path: PathBuf,
}

pub(super) fn read(table: &ConfigTable<'_>) -> LimitSettings {
    LimitSettings { path: table.or("path", |item| item.text(scalar::path), "data/limits.redb".into()) }
}
