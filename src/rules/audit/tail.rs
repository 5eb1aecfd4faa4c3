//! End of an audit log: how far the changes go that it tells of.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

use serde::Deserialize;

use crate::rules::source::kind::SourceKind;

/// So many bytes of the end are read. A line has two documents at most.
const TAIL: u64 = 1 << 20;

/// Line of the audit log, as far as it tells which change it was.
#[derive(Deserialize)]
struct RecordedChange<'l> {
    generation: u64,
    source: &'l str,
}

/// The generation of the last change that the log at this path has of rules from this kind of source. `None` if it has
/// none, or there is no log.
pub(in crate::rules) fn last_generation(path: &Path, kind: SourceKind) -> io::Result<Option<u64>> {
    let length = match fs::metadata(path) {
        // Reading a pipe would wait for its writer.
        Ok(found) if found.is_file() => found.len(),
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut tail = Vec::new();
    file.take(TAIL).read_to_end(&mut tail)?;
    let mut lines = tail.rsplit(|byte| *byte == b'\n');
    Ok(lines.find_map(|line| {
        let change: RecordedChange<'_> = serde_json::from_slice(line).ok()?;
        (change.source == kind.as_str()).then_some(change.generation)
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn the_last_whole_line_of_the_kind_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let last = || last_generation(&path, SourceKind::STORE).unwrap();
        assert_eq!(last(), None);
        let line = |generation: u64, source: &str, filler: usize| {
            let filler = "x".repeat(filler);
            format!(
                r#"{{"at":"2026-01-01T00:00:00Z","generation":{generation},"source":"{source}","f":"{filler}"}}"#
            )
        };
        for (text, expected) in [
            (String::new(), None),
            ("what is this?\n".to_owned(), None),
            (line(7, "store", 0) + "\n", Some(7)),
            (line(7, "store", 0) + "\n" + &line(9, "file", 0) + "\n", Some(7)),
            (line(7, "store", 0) + "\n" + &line(8, "store", 0)[..30], Some(7)),
            (line(7, "store", 3 << 20) + "\n" + &line(8, "store", 500_000) + "\n", Some(8)),
            (line(7, "store", 3 << 20) + "\n", None),
        ] {
            fs::write(&path, text).unwrap();
            assert_eq!(last(), expected);
        }
    }
}
