//! Errors of storage: opening a store, reading from it and writing to it.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::loss::StoreLoss;

/// Failure of the storage that keeps the rules.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A file that can't be read or made.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The store.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// A store that is gone: its audit log tells of changes.
    #[error(
        "{}: the store is not there, but the changes in {} were made to one: put back a copy with `embedgate restore \
         FILE`, or start once with `embedgate run --new-store`, which makes a new one",
        path.display(), audit.display()
    )]
    Missing {
        /// The store.
        path: PathBuf,
        /// The audit log.
        audit: PathBuf,
    },
    /// Another process has the store open.
    #[error(
        "{}: another process has this store open: stop it, or use its admin listener (PUT /v1/widgets/ID, POST \
         /v1/batch), or set another path in [rules] store",
        path.display()
    )]
    Locked {
        /// The store.
        path: PathBuf,
    },
    /// The store is with a process that is about to take over.
    #[error("{}: this store is with the process that takes over: try again", path.display())]
    Lent {
        /// The store.
        path: PathBuf,
    },
    /// The store is not what was written.
    #[error(
        "{}: this store is damaged{} ({source}): put back a copy with `embedgate restore FILE`, or move it away and \
         start once with `embedgate run --new-store`, which makes a new one; it is left as it is",
        path.display(), Lost(loss)
    )]
    Damaged {
        /// The store.
        path: PathBuf,
        /// What was found.
        source: Arc<dyn Error + Send + Sync>,
        /// What is lost; `None` where it can't be read as a store at all.
        loss: Option<Arc<StoreLoss>>,
    },
    /// The copy of a fleet's rules that an edge keeps is not what was written. The bucket has them all.
    #[error(
        "{}: this copy of the fleet's rules is damaged{} ({source}): delete it, and the next start reads the bucket again; \
         it is left as it is",
        path.display(), Lost(loss)
    )]
    DamagedCopy {
        /// The copy.
        path: PathBuf,
        /// What was found.
        source: Arc<dyn Error + Send + Sync>,
        /// What is lost; `None` where it can't be read as a store at all.
        loss: Option<Arc<StoreLoss>>,
    },
    /// A part of the store that is not what was written, found while the store was in use. Everything else goes on.
    #[error(
        "the store is damaged where {what} is kept ({source}): nothing else is touched by it; stop the edge, and put \
         back a copy with `embedgate restore FILE`"
    )]
    DamagedPart {
        /// What could not be read or saved.
        what: Box<str>,
        /// What was found.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// Rules that are not kept in a store.
    #[error("rules come from {name} here, and there is no store; copy that instead")]
    NoStore {
        /// Where they come from.
        name: Box<str>,
    },
    /// A later version of embedgate has written the store.
    #[error(
        "{}: a newer version has written this store (format {found}, this version knows {known}): use that version, \
         or export the widgets with it and import them here",
        path.display()
    )]
    Newer {
        /// The store.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The newest format that this version knows.
        known: u64,
    },
    /// There is no room left to keep a change. The rules in force stay; it may be tried again.
    #[error("not saved, the rules stay as they were: no room left: {source}")]
    Full {
        /// What the system said.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// There is no room left for a copy of the store, which goes on.
    #[error("{}: no room left for the copy, so there is none: {source}", path.display())]
    NoRoomForCopy {
        /// The copy.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// A read or a write that failed while the store was in use.
    #[error("the store failed: {source}")]
    Failed {
        /// What the database said.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// A stored document that is none any more.
    #[error("a stored document can't be read: {source}")]
    BadDocument {
        /// Its first fault.
        source: Arc<dyn Error + Send + Sync>,
    },
}

impl StoreError {
    /// The same of a copy that can be read from the bucket of the fleet again.
    pub(in crate::rules) fn of_a_fleet(self) -> Self {
        match self {
            Self::Damaged { path, source, loss } => Self::DamagedCopy { path, source, loss },
            error => error,
        }
    }

    /// What is wrong with the file, without its path and without what to do; `None` where it is not the file's fault.
    pub fn finding(&self) -> Option<String> {
        match self {
            Self::Damaged { source, loss, .. } | Self::DamagedCopy { source, loss, .. } => {
                Some(format!("it is damaged{} ({source})", Lost(loss)))
            }
            Self::Newer { found, known, .. } => Some(format!(
                "a newer version has written it (format {found}, this version knows {known}): use that version"
            )),
            Self::BadDocument { .. } | Self::DamagedPart { .. } => Some(self.to_string()),
            _ => None,
        }
    }

    /// Stable code, one of few.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "unreadable",
            Self::Missing { .. } => "store_missing",
            Self::Locked { .. } => "store_locked",
            Self::Lent { .. } => "handed_over",
            Self::Damaged { .. } | Self::DamagedCopy { .. } => "store_damaged",
            Self::Newer { .. } => "store_newer",
            Self::Full { .. } | Self::NoRoomForCopy { .. } => "storage_full",
            Self::NoStore { .. } => "no_store",
            Self::Failed { .. } | Self::DamagedPart { .. } | Self::BadDocument { .. } => "storage_failed",
        }
    }
}

/// What is lost, in a message about the store.
struct Lost<'l>(&'l Option<Arc<StoreLoss>>);

impl fmt::Display for Lost<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |loss| write!(f, ": {loss}"))
    }
}
