//! Errors of the database library as errors of the store.

use std::any::Any;
use std::cell::Cell;
use std::error::Error;
use std::io;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Once};

use crate::rules::error::StoreError;

/// A file that isn't what was written.
pub(super) fn damaged(path: &Path, found: impl Into<Box<dyn Error + Send + Sync>>) -> StoreError {
    StoreError::Damaged { path: path.into(), source: Arc::from(found.into()), loss: None }
}

/// A part of the file that isn't what was written, found in use. `what`: what could not be read or saved.
pub(super) fn damaged_part(what: &str, found: impl Into<Box<dyn Error + Send + Sync>>) -> StoreError {
    StoreError::DamagedPart { what: what.into(), source: Arc::from(found.into()) }
}

/// Whether the file is not what was written, while the system reads and writes it as it should.
pub(super) fn is_damage(error: &redb::Error) -> bool {
    use redb::Error::{
        Corrupted, TableDoesNotExist, TableIsMultimap, TableTypeMismatch, TypeDefinitionChanged,
    };
    matches!(
        error,
        Corrupted(_)
            | TableDoesNotExist(_)
            | TableIsMultimap(_)
            | TableTypeMismatch { .. }
            | TypeDefinitionChanged { .. }
    )
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

/// A copy that can't be written.
pub(super) fn uncopied(path: &Path, error: io::Error) -> StoreError {
    match is_full(&error) {
        true => StoreError::NoRoomForCopy { path: path.into(), source: error.into() },
        false => unreadable(path, error),
    }
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
        DatabaseError::Storage(StorageError::Io(error)) if error.raw_os_error() == Some(UNREADABLE_DISK) => {
            damaged(path, error)
        }
        DatabaseError::Storage(StorageError::Io(error)) if is_full(&error) => {
            StoreError::Full { source: Arc::new(unreadable(path, error)) }
        }
        DatabaseError::Storage(StorageError::Io(error)) => unreadable(path, error),
        other => damaged(path, other),
    }
}

/// `EIO`: the disk has lost what it was given.
const UNREADABLE_DISK: i32 = 5;

/// Reads a file that may be damaged: the library trusts it and may panic.
pub(super) fn guarded<T>(path: &Path, read: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    caught(read).unwrap_or_else(|message| Err(damaged(path, message)))
}

thread_local! {
    /// Whether a panic of this thread is told as an error.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs what may panic where the file is damaged. The panic's message is the error, and printed by nobody else.
pub(crate) fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !GUARDED.get() {
                print(panic);
            }
        }));
    });
    let before = GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(run));
    GUARDED.set(before);
    result.map_err(|panic| message(&*panic))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or_default();
    format!("a page is not what was written: {text}")
}

/// What could not be read of a page.
pub(super) fn some_behind(after: Option<&str>, some: &str) -> String {
    match after {
        Some(after) => format!("{some} behind '{after}'"),
        None => some.to_owned(),
    }
}
