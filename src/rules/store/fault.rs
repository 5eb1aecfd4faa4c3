//! What went wrong with the file, in the words of its owner.

use std::any::Any;
use std::fmt::Display;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::rules::error::RulesError;

/// Not what was written there.
pub(super) fn damaged(path: &Path, detail: impl Display) -> RulesError {
    RulesError::StoreDamaged { path: path.into(), detail: detail.to_string() }
}

/// A read or a write that failed while the store was in use.
pub(super) fn failed(error: redb::Error) -> RulesError {
    let detail = error.to_string();
    match error {
        redb::Error::Io(error) if is_full(&error) => RulesError::StorageFull { detail },
        _ => RulesError::StorageFailed { detail: format!("the store failed: {detail}") },
    }
}

fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// Opening that failed.
pub(super) fn unopened(path: &Path, error: redb::DatabaseError) -> RulesError {
    use redb::{DatabaseError, StorageError};
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            RulesError::StoreLocked { path: path.into() }
        }
        // How the library says that this is no file of its own.
        DatabaseError::Storage(StorageError::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
            damaged(path, error)
        }
        DatabaseError::Storage(StorageError::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
            damaged(path, "it is cut short")
        }
        DatabaseError::Storage(StorageError::Io(error)) if is_full(&error) => {
            RulesError::StorageFull { detail: format!("{}: {error}", path.display()) }
        }
        DatabaseError::Storage(StorageError::Io(error)) => {
            RulesError::Unreadable { path: path.into(), source: error.into() }
        }
        other => damaged(path, other),
    }
}

/// The library trusts what it reads and may panic on a file that somebody else has written to.
pub(super) fn guarded<T>(path: &Path, read: impl FnOnce() -> Result<T, RulesError>) -> Result<T, RulesError> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| Err(damaged(path, message(&*panic))))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}
