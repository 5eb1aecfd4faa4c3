//! Changes that the audit log has and the store beside it has not: it is an older copy.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::rules::audit::last_generation;
use crate::rules::source::SourceKind;

/// Changes that are in the audit log and not in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MissingChanges {
    /// The audit log.
    pub audit: PathBuf,
    /// The generation of the first.
    pub from: u64,
    /// That of the last.
    pub to: u64,
}

impl MissingChanges {
    /// Those that a store at this generation lacks. A log that can't be read tells of none.
    pub(super) fn of(audit: Option<&Path>, generation: u64) -> Option<Self> {
        let audit = audit?;
        let to = last_generation(audit, SourceKind::STORE).ok()??;
        (to > generation).then(|| Self { audit: audit.into(), from: generation + 1, to })
    }

    /// A warning about the store at this path.
    pub(super) fn warning(&self, store: &Path) -> String {
        let why = match self.from == self.to {
            true => "it was under way when the edge ended, or the store is an older copy",
            false => "the store is an older copy: whoever writes rules has to make them again",
        };
        format!("{}: {self} not in the store: {why}", store.display())
    }
}

impl fmt::Display for MissingChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { audit, from, to } = self;
        match from == to {
            true => write!(f, "change {from} of {} is", audit.display()),
            false => write!(f, "changes {from} to {to} of {} are", audit.display()),
        }
    }
}
