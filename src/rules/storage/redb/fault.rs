//! Errors of the database library as errors of the store.

use std::any::Any;
use std::error::Error;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use crate::rules::error::StoreError;

/// A file that isn't what was written.
pub(super) fn damaged(path: &Path, found: impl Into<Box<dyn Error + Send + Sync>>) -> StoreError {
    StoreError::Damaged { path: path.into(), source: Arc::from(found.into()) }
}

/// A read or a write that failed while the store was in use.
pub(super) fn failed(error: redb::Error) -> StoreError {
    match &error {
        redb::Error::Io(system) if is_full(system) => StoreError::Full { source: Arc::new(error) },
        _ => StoreError::Failed { source: Arc::new(error) },
    }
}

fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// A file that the system doesn't let us read or make.
pub(super) fn unreadable(path: &Path, error: io::Error) -> StoreError {
    StoreError::Unreadable { path: path.into(), source: error.into() }
}

/// A file that can't be opened.
pub(super) fn unopened(path: &Path, error: redb::DatabaseError) -> StoreError {
    use redb::{DatabaseError, StorageError};
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            StoreError::Locked { path: path.into() }
        }
        // How the library says that this is no file of its own.
        DatabaseError::Storage(StorageError::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
            damaged(path, error)
        }
        DatabaseError::Storage(StorageError::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
            damaged(path, "it is cut short")
        }
        DatabaseError::Storage(StorageError::Io(error)) if is_full(&error) => {
            StoreError::Full { source: Arc::new(unreadable(path, error)) }
        }
        DatabaseError::Storage(StorageError::Io(error)) => unreadable(path, error),
        other => damaged(path, other),
    }
}

/// The library trusts what it reads and may panic on a file that somebody else has written to.
pub(super) fn guarded<T>(path: &Path, read: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| Err(damaged(path, message(&*panic))))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}
