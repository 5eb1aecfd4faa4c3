//! Beginning of a store: built under another name, until it takes its own.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::RuleStore;
use super::fault::{failed, guarded, unopened, unreadable};
use super::handle::{Handle, StoreUse};
use super::rows;
use super::tables::Meta;
use crate::rules::book::RuleBook;
use crate::rules::error::StoreError;
use embedgate_policy::suffix::PublicSuffixes;

impl RuleStore {
    pub(super) fn create(
        path: &Path,
        suffixes: Arc<PublicSuffixes>,
        purpose: StoreUse,
    ) -> Result<(Self, RuleBook), StoreError> {
        let unwritable = |error: io::Error| unreadable(path, error);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(unwritable)?;
        }
        let unfinished = unfinished(path);
        let create = || {
            guarded(&unfinished, || {
                purpose.builder().create(&unfinished).map_err(|error| unopened(path, error))
            })
        };
        let database = create().or_else(|error| match error {
            StoreError::Damaged { .. } => {
                fs::remove_file(&unfinished).map_err(unwritable)?;
                create()
            }
            error => Err(error),
        })?;
        let meta = Meta::new();
        rows::clear(&database, &meta).map_err(failed)?;
        let book = RuleBook::empty(meta.key);
        Ok((Self::over(path, suffixes, meta.key, Handle::new(&unfinished, database, purpose)), book))
    }

    /// Whether it has no file of its name yet.
    pub(in crate::rules) fn is_new(&self) -> bool {
        !self.handle.is_at(&self.path)
    }

    /// Gives a store that is new its name, with all that is in it.
    pub(super) fn take_name(&self) -> Result<(), StoreError> {
        if !self.is_new() {
            return Ok(());
        }
        let unwritable = |error: io::Error| unreadable(&self.path, error);
        self.handle.rename(&self.path).map_err(unwritable)?;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all()).map_err(unwritable)
    }

    /// Takes the file away of a store that is new.
    pub(super) fn forget(&self) {
        if self.is_new() {
            let _ = fs::remove_file(unfinished(&self.path));
        }
    }
}

/// Path of a new store until it is established. A file there tells that the first start was cut off.
pub(in crate::rules) fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}
