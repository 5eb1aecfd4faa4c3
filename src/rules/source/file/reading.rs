//! One look at the rules files, and what is remembered of it.

use std::path::Path;
use std::time::SystemTime;

use super::snapshot::{Snapshot, Stamp};
use crate::rules::error::RulesError;

/// The files, read.
pub(super) struct Reading {
    pub(super) seen: Seen,
    pub(super) snapshot: Result<Snapshot, RulesError>,
}

/// What is remembered of a reading, to know its like again.
pub(super) struct Seen {
    /// Taken before the files were read: what changed meanwhile differs from it.
    pub(super) stamp: Stamp,
    pub(super) read_at: SystemTime,
    /// The fingerprint of what the files hold, or what kept them from being read.
    pub(super) contents: Result<u64, String>,
}

impl Reading {
    pub(super) fn take(path: &Path) -> Self {
        let (stamp, read_at) = (Stamp::take(path), SystemTime::now());
        let snapshot = Snapshot::read(path);
        let contents = match &snapshot {
            Ok(snapshot) => Ok(snapshot.fingerprint),
            Err(error) => Err(error.to_string()),
        };
        Self { seen: Seen { stamp, read_at, contents }, snapshot }
    }
}
