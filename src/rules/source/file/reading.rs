//! Reading of the rules files, and what is remembered of it.

use std::path::Path;
use std::time::SystemTime;

use super::snapshot::{PathStamp, Snapshot};
use crate::rules::error::SourceError;

/// Reading of the rules files at one time.
pub(super) struct FileReading {
    pub(super) seen: FilesSeen,
    pub(super) snapshot: Result<Snapshot, SourceError>,
}

/// Memory of a reading, to recognise the same files again.
pub(super) struct FilesSeen {
    /// Taken before the files were read: what changed meanwhile differs from it.
    pub(super) stamp: PathStamp,
    pub(super) read_at: SystemTime,
    /// The fingerprint of what the files hold, or what kept them from being read.
    pub(super) contents: Result<u64, String>,
}

impl FileReading {
    pub(super) fn take(path: &Path) -> Self {
        let (stamp, read_at) = (PathStamp::take(path), SystemTime::now());
        let snapshot = Snapshot::read(path);
        let contents = match &snapshot {
            Ok(snapshot) => Ok(snapshot.fingerprint),
            Err(error) => Err(error.to_string()),
        };
        Self { seen: FilesSeen { stamp, read_at, contents }, snapshot }
    }
}
