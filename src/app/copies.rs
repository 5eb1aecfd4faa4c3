//! Copies of the configured store, while no edge runs: made, and put back.

use std::path::Path;

use jiff::Timestamp;

use super::error::AppError;
use super::source;
use super::suffixes::public_suffixes;
use super::upgrade::UpgradeSocket;
use crate::config::{Settings, SourceSetting};
use crate::rules::error::StoreError;
use crate::rules::source::store::{LostStore, RestoredStore, StoreFacts, StoreSource, is_same_file};

/// Copies the configured store to `to`, in place of what is there.
///
/// # Errors
///
/// The rules do not come from a store, an edge has it open, it is damaged, or the copy can't be written.
pub fn backup_stopped(settings: &Settings, to: &Path) -> Result<StoreFacts, AppError> {
    let suffixes = public_suffixes(settings)?;
    store(settings)?.backup(suffixes, to).map_err(AppError::Store)
}

/// Whether a copy may be written to this path: not where the store is.
pub fn may_be_backup(settings: &Settings, to: &Path) -> bool {
    !is_same_file(&settings.rules.store.path, to)
}

/// Puts a copy of the configured store back, in place of the store that is there, which is kept beside it.
///
/// # Errors
///
/// The rules do not come from a store, an edge runs, the copy is not whole, or a file can't be written.
pub fn restore(settings: &Settings, from: &Path, at: Timestamp) -> Result<RestoredStore, AppError> {
    let store = store(settings)?;
    // Its lock tells of it, too, unless somebody has removed the store.
    if UpgradeSocket::is_taken(&settings.edge.upgrade_socket) {
        return Err(AppError::EdgeRuns(settings.edge.upgrade_socket.clone()));
    }
    Ok(store.restore(public_suffixes(settings)?, from, at)?)
}

fn store(settings: &Settings) -> Result<StoreSource, AppError> {
    match settings.rules.source {
        SourceSetting::Store => Ok(source::store(settings, LostStore::Refused)),
        SourceSetting::File | SourceSetting::Nats => {
            let name = settings.rules.file.display().to_string();
            Err(AppError::Store(StoreError::NoStore { name: name.into() }))
        }
    }
}
