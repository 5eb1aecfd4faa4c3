//! Snapshots of the rules files, and stamps that tell when to take one.

use std::fs::{File, Metadata};
use std::hash::Hasher;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use siphasher::sip::SipHasher24;

use super::text::RulesText;
use crate::rules::error::{FilePosition, RuleFault, SourceError};
use embedgate_policy::json_position::Position;

/// The most that is read, all files together: a million widgets with four entries take a good half of it.
pub(super) const MAX_TOTAL_BYTES: u64 = 256 << 20;

/// How far a file system's clock may be behind a write: FAT counts in steps of two seconds.
const CLOCK_STEP: Duration = Duration::from_secs(2);

/// Metadata of the rules files of a path. Equal stamps mean equal contents, unless they are [`PathStamp::is_fresh`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PathStamp {
    files: Vec<(PathBuf, FileStamp)>,
    problem: Option<io::ErrorKind>,
}

/// Metadata of one file.
#[derive(Debug, PartialEq, Eq)]
struct FileStamp {
    bytes: u64,
    modified: Option<SystemTime>,
    identity: FileIdentity,
}

impl PathStamp {
    pub(super) fn take(path: &Path) -> Self {
        match list(path) {
            Ok(listing) => {
                let stamp = |(file, metadata): (PathBuf, Metadata)| (file, FileStamp::of(&metadata));
                Self { files: listing.files.into_iter().map(stamp).collect(), problem: None }
            }
            Err((_, error)) => Self { files: Vec::new(), problem: Some(error.kind()) },
        }
    }

    /// Whether a write could have followed the reading at `read_at` without showing: a file system's clock has
    /// its steps, and a second write within one looks like the first.
    pub(super) fn is_fresh(&self, read_at: SystemTime) -> bool {
        self.files.iter().filter_map(|(_, file)| file.modified).any(|modified| {
            let apart = read_at.duration_since(modified).unwrap_or_else(|ahead| ahead.duration());
            apart < CLOCK_STEP
        })
    }

    pub(super) fn file_count(&self) -> usize {
        self.files.len()
    }
}

impl FileStamp {
    fn of(metadata: &Metadata) -> Self {
        Self { bytes: metadata.len(), modified: metadata.modified().ok(), identity: identity(metadata) }
    }
}

/// Identity of a file: device, inode and time of last status change. Unlike the time of modification, nobody can set
/// the latter, so a file copied with its times shows.
type FileIdentity = (u64, u64, i64, i64);

fn identity(metadata: &Metadata) -> FileIdentity {
    (metadata.dev(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
}

/// Contents of the rules files at one time.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) texts: Vec<RulesText>,
    /// Read from a folder, not from a single file.
    pub(super) is_folder: bool,
    /// Hash of names and contents, the same in every process: one of another version compares it, too.
    pub(super) fingerprint: u64,
}

impl Snapshot {
    pub(super) fn read(path: &Path) -> Result<Self, SourceError> {
        let Listing { files, is_folder } = list(path).map_err(|(path, source)| unreadable(&path, source))?;
        if files.is_empty() {
            return Err(SourceError::NoFiles { path: path.into() });
        }
        let too_large = || SourceError::TooLarge { path: path.into(), limit: MAX_TOTAL_BYTES };
        if files.iter().map(|(_, metadata)| metadata.len()).sum::<u64>() > MAX_TOTAL_BYTES {
            return Err(too_large());
        }
        let mut hasher = SipHasher24::new();
        // Counted again while reading: files grow.
        let mut left = MAX_TOTAL_BYTES;
        let mut texts = Vec::with_capacity(files.len());
        let mut faults = Vec::new();
        for (file, _) in files {
            let bytes = read_at_most(&file, left).map_err(|source| unreadable(&file, source))?;
            left = left.checked_sub(bytes.len() as u64).ok_or_else(too_large)?;
            for part in [file.as_os_str().as_encoded_bytes(), &bytes] {
                hasher.write_u64(part.len() as u64);
                hasher.write(part);
            }
            match String::from_utf8(bytes) {
                Ok(text) => texts.push(RulesText::new(file.into(), text)),
                Err(error) => faults.push(encoding_fault(&file, &error)),
            }
        }
        if !faults.is_empty() {
            return Err(SourceError::Invalid(faults.into()));
        }
        Ok(Self { texts, is_folder, fingerprint: hasher.finish() })
    }
}

/// At most one byte more than `most`, so that the caller sees that there is more.
fn read_at_most(file: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn unreadable(path: &Path, source: io::Error) -> SourceError {
    SourceError::Unreadable { path: path.into(), source: Arc::new(source) }
}

fn encoding_fault(file: &Path, error: &std::string::FromUtf8Error) -> RuleFault {
    let good = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
    let good = String::from_utf8_lossy(good);
    RuleFault {
        index: None,
        widget: None,
        place: Some(FilePosition::new(&file.into(), Position::of_offset(&good, good.len()))),
        pointer: String::new(),
        code: "invalid_json",
        detail: "not UTF-8; save the file as UTF-8".into(),
    }
}

/// The rules files of a path, by name.
struct Listing {
    files: Vec<(PathBuf, Metadata)>,
    is_folder: bool,
}

/// The file itself, or a folder's `*.json` files: not those of folders below it, not hidden ones. Links are
/// followed; a link to nowhere is an error, as leaving its widgets out would withdraw them.
fn list(path: &Path) -> Result<Listing, (PathBuf, io::Error)> {
    let at = |path: &Path| {
        let path = path.to_path_buf();
        move |error| (path, error)
    };
    let metadata = std::fs::metadata(path).map_err(at(path))?;
    if metadata.is_file() {
        return Ok(Listing { files: vec![(path.into(), metadata)], is_folder: false });
    }
    if !metadata.is_dir() {
        let error = io::Error::new(io::ErrorKind::InvalidInput, "neither a file nor a folder");
        return Err((path.into(), error));
    }
    let mut files = Vec::new();
    for item in std::fs::read_dir(path).map_err(at(path))? {
        let file = item.map_err(at(path))?.path();
        let is_hidden = file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if is_hidden || file.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let metadata = std::fs::metadata(&file).map_err(at(&file))?;
        if metadata.is_file() {
            files.push((file, metadata));
        }
    }
    files.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    Ok(Listing { files, is_folder: true })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn a_folder_gives_its_json_files_by_name() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.json", "a.json", ".hidden.json", "c.json~", "readme.md"] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        std::fs::create_dir(folder.path().join("d.json")).unwrap();
        let snapshot = Snapshot::read(folder.path()).unwrap();
        let texts: Vec<&str> = snapshot.texts.iter().map(|text| text.text.as_str()).collect();
        assert_eq!((texts, snapshot.is_folder), (vec!["a.json", "b.json"], true));
    }

    #[test]
    fn what_is_no_rules_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let code = |path: &Path| Snapshot::read(path).unwrap_err().code();
        assert_eq!(code(folder.path()), "no_rules_files");
        assert_eq!(code(&folder.path().join("none.json")), "unreadable");

        let latin = folder.path().join("latin.json");
        std::fs::write(&latin, b"{\n  \"\xe4\"").unwrap();
        let error = Snapshot::read(&latin).unwrap_err();
        assert_eq!(error.to_string(), format!("{}:2:4: not UTF-8; save the file as UTF-8", latin.display()));

        let large = folder.path().join("large.json");
        File::create(&large).unwrap().set_len(MAX_TOTAL_BYTES + 1).unwrap();
        let error = Snapshot::read(&large).unwrap_err();
        assert_eq!(error.code(), "too_large");
        assert!(error.to_string().contains("256 MiB"), "{error}");
    }

    #[test]
    fn a_dangling_link_is_an_error_and_no_omission() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.json"), "{}").unwrap();
        std::os::unix::fs::symlink("nowhere", folder.path().join("b.json")).unwrap();
        let error = Snapshot::read(folder.path()).unwrap_err();
        assert!(error.to_string().contains("b.json"), "{error}");
    }

    #[test]
    fn stamps_tell_files_apart() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("w.json");
        std::fs::write(&file, "{}").unwrap();
        let stamp = PathStamp::take(&file);
        assert_eq!(stamp, PathStamp::take(&file));
        assert!(stamp.is_fresh(SystemTime::now()));
        assert!(!stamp.is_fresh(SystemTime::now() + Duration::from_secs(60)));

        std::fs::write(folder.path().join("new"), "[]").unwrap();
        std::fs::rename(folder.path().join("new"), &file).unwrap();
        assert_ne!(stamp, PathStamp::take(&file));
        std::fs::remove_file(&file).unwrap();
        assert_ne!(stamp, PathStamp::take(&file));
    }
}
