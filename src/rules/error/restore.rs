//! Errors of putting a copy of the store back.

use std::io;
use std::path::PathBuf;

use super::store::StoreError;

/// Failure to put a copy of the store back: the store is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The copy is the store.
    #[error("{}: this is the store itself; name the copy that is to take its place", path.display())]
    Itself {
        /// The file.
        path: PathBuf,
    },
    /// A copy that is no whole store.
    #[error("{}: this can't be put back, and the store is as it was: {detail}", path.display())]
    NotWhole {
        /// The copy.
        path: PathBuf,
        /// What is wrong with it.
        detail: Box<str>,
    },
    /// The store that is there.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file that can't be read or written.
    #[error("{}: {source}; the store is as it was", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}
