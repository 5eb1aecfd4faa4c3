//! `[cache]`.

use crate::config::scalar;
use crate::config::table::ConfigTable;

/// Settings of the asset cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheSettings {
    /// Maximum size of the cache, in bytes. Default: 256 MiB.
    pub bytes: u64,
}

pub(super) fn read(table: &ConfigTable<'_>) -> CacheSettings {
    CacheSettings { bytes: table.or("bytes", |item| item.quantity(scalar::bytes), 256 * 1024 * 1024) }
}
