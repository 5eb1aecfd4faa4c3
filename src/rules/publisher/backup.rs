//! Backup of what is kept.

use std::path::Path;

use super::Publisher;
use crate::rules::error::StoreError;
use crate::rules::storage::Storage;

impl Publisher {
    /// Writes a whole store to `to`, in place of what is there: everything that was answered before this call. Saves go
    /// on meanwhile, and are not in it.
    ///
    /// # Errors
    ///
    /// Rules are not kept in a store here ([`StoreError::NoStore`]), the store can't be read, or the copy can't be
    /// written. Nothing is at `to` then that was not there before.
    pub fn backup(&self, to: &Path) -> Result<(), StoreError> {
        if !self.source.is_written_here() {
            return Err(StoreError::NoStore { name: self.status().name.into() });
        }
        self.storage.backup(to)
    }
}
