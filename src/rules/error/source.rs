//! Errors of reading a source.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::fault::{FaultList, RuleFault};

/// Failure to read documents from files.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// A rules file or folder that can't be read, or isn't there.
    #[error("{}: {}", path.display(), unreadable(.source))]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// A seed that somebody named and that isn't there.
    #[error(
        "{place}: rules.store.seed: {} is not there, and a new store takes its widgets from it: put it there \
         ({{\"widgets\": []}} for none), or leave the key out",
        path.display()
    )]
    NoSeed {
        /// Where the configuration names it.
        place: String,
        /// The seed.
        path: PathBuf,
    },
    /// A folder without any rules file, which is more often an accident than a wish.
    #[error(
        "{}: no .json file in this folder; to have no widgets, put a file with {{\"widgets\": []}} in it",
        path.display()
    )]
    NoFiles {
        /// The folder.
        path: PathBuf,
    },
    /// More than is sensible.
    #[error("{}: rules of more than {} MiB; the most that is read from files is that", path.display(), limit >> 20)]
    TooLarge {
        /// The file or folder.
        path: PathBuf,
        /// The limit, in bytes.
        limit: u64,
    },
    /// Files that differ from those of the process before this one.
    #[error(
        "{}: not what is in force in the process before this one: upgrade again once the edit is in force there",
        path.display()
    )]
    NotInForce {
        /// The file or folder.
        path: PathBuf,
    },
    /// Documents with faults.
    #[error(transparent)]
    Invalid(#[from] FaultList),
}

impl SourceError {
    /// Stable code, one of few: that of the first fault where there are several.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "unreadable",
            Self::NoSeed { .. } => "seed_missing",
            Self::NoFiles { .. } => "no_rules_files",
            Self::TooLarge { .. } => "too_large",
            Self::NotInForce { .. } => "not_in_force",
            Self::Invalid(faults) => faults.code(),
        }
    }

    /// The faults of the documents; empty where none could be read.
    pub fn faults(&self) -> &[RuleFault] {
        match self {
            Self::Invalid(faults) => faults.as_slice(),
            _ => &[],
        }
    }
}

fn unreadable(source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::NotFound => {
            format!(
                "{source}; put a rules file there ({{\"widgets\": []}} for none), or set another path in [rules]"
            )
        }
        io::ErrorKind::PermissionDenied => format!("{source}; let the edge's user read it"),
        _ => source.to_string(),
    }
}
