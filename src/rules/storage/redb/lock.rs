//! Lock on the file of a store that nobody is to open, whether it is whole or not.

use std::fs::OpenOptions;
use std::io;
use std::ops::Bound;
use std::path::Path;

use redb::StorageBackend;
use redb::backends::FileBackend;

use super::fault::{unopened, unreadable};
use crate::rules::error::StoreError;

/// Lock on a store's file: until it is dropped, nobody opens the store.
pub(in crate::rules) struct StoreLock(FileBackend);

impl StoreLock {
    /// Locks the file at this path; `None` if there is none.
    ///
    /// # Errors
    ///
    /// A process has the store open, or the file can't be opened.
    pub(in crate::rules) fn take(path: &Path) -> Result<Option<Self>, StoreError> {
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(path, error)),
        };
        let lock = Self(FileBackend::new(file).map_err(|error| unopened(path, error))?);
        match lock.0.try_lock_range(Bound::Unbounded, Bound::Unbounded) {
            Ok(true) => Ok(Some(lock)),
            Ok(false) => Err(StoreError::Locked { path: path.into() }),
            Err(error) => Err(unreadable(path, io::Error::other(error))),
        }
    }
}

impl Drop for StoreLock {
    fn drop(&mut self) {
        // The system does it with the file's end, too.
        let _ = self.0.close();
    }
}
