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

/// How often files that change while they are read are read in all: a folder that never rests is taken all the same.
const READINGS: usize = 8;

impl FileReading {
    /// Reads files of one time: where a link is turned meanwhile, the first ones are of one folder and the last ones of
    /// another, and together they say what nobody wrote.
    pub(super) fn take(path: &Path) -> Self {
        let mut stamp = PathStamp::take(path);
        let mut left = READINGS;
        loop {
            let read_at = SystemTime::now();
            let snapshot = Snapshot::read(path);
            let after = PathStamp::take(path);
            left -= 1;
            if after != stamp && left > 0 {
                stamp = after;
                continue;
            }
            let contents = match &snapshot {
                Ok(snapshot) => Ok(snapshot.fingerprint),
                Err(error) => Err(error.to_string()),
            };
            return Self { seen: FilesSeen { stamp, read_at, contents }, snapshot };
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::HashSet;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_link_that_is_turned_never_gives_some_of_each_folder() {
        let folder = tempfile::tempdir().unwrap();
        let (at, new) = (folder.path().join("rules"), folder.path().join("new"));
        for name in ["a", "b"] {
            fs::create_dir(folder.path().join(name)).unwrap();
            for file in 0..200 {
                fs::write(folder.path().join(name).join(format!("{file}.json")), name).unwrap();
            }
        }
        symlink("a", &at).unwrap();
        let (is_over, mut found) = (AtomicBool::new(false), HashSet::new());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for name in ["b", "a"].iter().cycle() {
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    symlink(name, &new).unwrap();
                    fs::rename(&new, &at).unwrap();
                    super::super::pause(Duration::from_millis(20));
                }
            });
            for _ in 0..200 {
                let texts = FileReading::take(&at).snapshot.unwrap().texts;
                found.insert(texts.iter().map(|text| text.text.as_str()).collect::<HashSet<_>>().len());
            }
            is_over.store(true, Ordering::Relaxed);
        });
        assert_eq!(found, HashSet::from([1]), "kinds of files in one reading");
    }
}
