//! Audit log in a file: one JSON object a line, on disk before the change is in force.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::differences::of_json;
use super::record::{AuditLog, AuditRecord, AuditedDocument, AuditedState};
use crate::rules::change::Actor;
use crate::rules::source::kind::SourceKind;

const PRIVATE_MODE: u32 = 0o600;

/// Audit log in a file of its own, which may be moved away while the edge runs: the next record begins a new one.
#[derive(Debug)]
pub struct FileAuditLog {
    path: PathBuf,
    open: Mutex<Option<OpenLogFile>>,
}

/// Log file that is open for appending.
#[derive(Debug)]
struct OpenLogFile {
    file: File,
    /// Where the last records begin: what is taken back when the change can't be kept.
    before_last: u64,
    /// Some records are not durable yet.
    is_unsynced: bool,
}

impl FileAuditLog {
    /// Opened with the first record; until then nothing can be wrong with it.
    pub fn new(path: PathBuf) -> Self {
        Self { path, open: Mutex::new(None) }
    }

    /// Whether there is a log at this path with changes to rules from this kind of source. What can't be told of a line
    /// counts as such a change.
    pub(in crate::rules) fn has_changes_of(path: &Path, kind: SourceKind) -> io::Result<bool> {
        // Reading a pipe would wait for its writer.
        match fs::metadata(path) {
            Ok(found) if found.is_file() => {}
            Ok(_) => return Ok(false),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        }
        for line in BufReader::new(File::open(path)?).split(b'\n') {
            let line = line?;
            let source = serde_json::from_slice::<RecordedSource<'_>>(&line).map(|recorded| recorded.source);
            if !line.is_empty() && source.map_or(true, |source| source == kind.as_str()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn lock(&self) -> MutexGuard<'_, Option<OpenLogFile>> {
        self.open.lock()
    }

    /// The file under the path as it is now.
    fn current<'o>(&self, open: &'o mut Option<OpenLogFile>) -> io::Result<&'o mut OpenLogFile> {
        let same = match (&*open, fs::metadata(&self.path)) {
            (Some(open), Ok(there)) => {
                let ours = open.file.metadata()?;
                (ours.dev(), ours.ino()) == (there.dev(), there.ino())
            }
            _ => false,
        };
        if !same {
            if let Some(folder) = self.path.parent() {
                fs::create_dir_all(folder)?;
            }
            let file = OpenOptions::new().append(true).create(true).mode(PRIVATE_MODE).open(&self.path)?;
            // A new name, too, has to survive a power cut.
            if let Some(folder) = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                File::open(folder)?.sync_all()?;
            }
            // What was moved away is durable, too.
            if let Some(moved) = open.take().filter(|moved| moved.is_unsynced) {
                moved.file.sync_data()?;
            }
            *open = Some(OpenLogFile { file, before_last: 0, is_unsynced: false });
        }
        open.as_mut().ok_or_else(|| io::Error::other("the file is not open"))
    }

    fn write(&self, records: &[AuditRecord<'_>], syncs: bool) -> io::Result<()> {
        let mut lines = Vec::new();
        for record in records {
            serde_json::to_writer(&mut lines, &AuditLine::of(record)?)?;
            lines.push(b'\n');
        }
        let mut guard = self.lock();
        let open = self.current(&mut guard)?;
        open.before_last = open.file.metadata()?.len();
        let mut written = open.file.write_all(&lines);
        if syncs && written.is_ok() {
            written = open.file.sync_data();
        }
        match written {
            Ok(()) => open.is_unsynced = !syncs,
            // Half a line would spoil the next one.
            Err(_) => drop(open.file.set_len(open.before_last)),
        }
        written
    }
}

impl AuditLog for FileAuditLog {
    fn record(&self, records: &[AuditRecord<'_>]) -> io::Result<()> {
        self.write(records, true)
    }

    fn record_unsynced(&self, records: &[AuditRecord<'_>]) -> io::Result<()> {
        self.write(records, false)
    }

    fn sync(&self) -> io::Result<()> {
        let mut guard = self.lock();
        let Some(open) = guard.as_mut().filter(|open| open.is_unsynced) else { return Ok(()) };
        open.file.sync_data()?;
        open.is_unsynced = false;
        Ok(())
    }

    fn revoke(&self, records: &[AuditRecord<'_>]) {
        let guard = self.lock();
        let Some(open) = &*guard else { return };
        if let Err(error) = open.file.set_len(open.before_last).and_then(|()| open.file.sync_data()) {
            let path = self.path.display();
            tracing::error!(%error, "{path} holds {} changes that were not made", records.len());
        }
    }
}

/// Line of the audit log.
#[derive(Serialize)]
struct AuditLine<'a> {
    /// When, RFC 3339, to the microsecond as in every log.
    #[serde(serialize_with = "to_the_microsecond")]
    at: jiff::Timestamp,
    generation: u64,
    source: &'static str,
    /// Who: `token:NAME` (without a name `token:ROLE:FINGERPRINT`), `source:KIND`, `command line`.
    actor: &'a Actor,
    widget: &'a str,
    action: &'static str,
    /// The revision before; `null` where there was no such widget.
    before: Option<u64>,
    /// The revision after.
    after: u64,
    /// The whole document, where it came or went.
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<&'a RawValue>,
    /// What differs, by field, where it changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<Map<String, Value>>,
}

fn to_the_microsecond<S: Serializer>(at: &jiff::Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{at:.6}"))
}

/// Line of the audit log, as far as it tells where its rules came from.
#[derive(Deserialize)]
struct RecordedSource<'l> {
    source: &'l str,
}

impl<'a> AuditLine<'a> {
    fn of(record: &AuditRecord<'a>) -> serde_json::Result<Self> {
        let before = record.before;
        let (action, after, document, changes) = match (before, record.after) {
            (None, AuditedState::Document(now)) => ("create", now.revision, Some(raw(now)?), None),
            (Some(was), AuditedState::Document(now)) => match of_json(was.json, now.json) {
                Ok(changes) => ("update", now.revision, None, Some(changes)),
                // The one before was damaged on the disk. This one mends it.
                Err(_) => ("update", now.revision, Some(raw(now)?), None),
            },
            (was, AuditedState::Deleted { revision }) => {
                ("delete", revision, was.and_then(|was| raw(was).ok()), None)
            }
        };
        Ok(Self {
            at: record.at,
            generation: record.generation,
            source: record.source.as_str(),
            actor: record.actor,
            widget: record.widget.as_str(),
            action,
            before: before.map(|was| was.revision),
            after,
            document,
            changes,
        })
    }
}

fn raw(document: AuditedDocument<'_>) -> serde_json::Result<&RawValue> {
    serde_json::from_slice(document.json)
}

#[cfg(test)]
mod tests;
