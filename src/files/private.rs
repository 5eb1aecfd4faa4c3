//! Private files: files with secrets, which only their owner may read.

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom, SystemRandom};

use super::making::could_make;

const MODE: u32 = 0o600;
/// The permission bits of the group and of everybody else.
const OTHERS: u32 = 0o077;

/// What is done where a private file is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfMissing {
    /// It is made, with a new secret.
    Made,
    /// Nothing: it is only looked whether it could be made.
    LeftOut,
}

/// Error of a private file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrivateFileFault {
    /// The file can't be read or made.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        #[source]
        source: io::Error,
    },
    /// Other users may read or change the file.
    #[error("{}: mode {mode:04o} lets other users read its secrets; run: chmod 600 {}", path.display(), path.display())]
    Mode {
        /// The file.
        path: PathBuf,
        /// The file's permission bits.
        mode: u32,
    },
}

impl PrivateFileFault {
    /// An error of the system.
    pub fn io(path: &Path, source: io::Error) -> Self {
        Self::File { path: path.to_owned(), source }
    }
}

/// Stamp of a file that shows whether it has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrivateStamp {
    inode: u64,
    changed: (i64, i64),
    length: u64,
}

impl PrivateStamp {
    /// The stamp of a file now; `None` if it can't be read.
    pub fn of(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().map(|metadata| Self::new(&metadata))
    }

    fn new(metadata: &fs::Metadata) -> Self {
        // The change time of the inode: unlike the modification time, nobody can set it back.
        Self {
            inode: metadata.ino(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            length: metadata.len(),
        }
    }
}

/// Reads a private file: its text, and its stamp.
///
/// # Errors
///
/// The file can't be read, or other users can read it.
pub fn read(path: &Path) -> Result<(String, PrivateStamp), PrivateFileFault> {
    let fault = |source| PrivateFileFault::io(path, source);
    let mut file = File::open(path).map_err(fault)?;
    let metadata = file.metadata().map_err(fault)?;
    let mode = metadata.mode() & 0o7777;
    if mode & OTHERS != 0 {
        return Err(PrivateFileFault::Mode { path: path.to_owned(), mode });
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(fault)?;
    Ok((text, PrivateStamp::new(&metadata)))
}

/// Creates a private file with this text, and its folder, whole or not at all. Never replaces an existing file.
///
/// # Errors
///
/// The file exists or can't be written.
pub fn make(path: &Path, text: &str) -> Result<(), PrivateFileFault> {
    let write = || {
        could_make(path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        // Under another name until all of it is on the disk: half a file would be refused by every later start.
        let mut file =
            tempfile::Builder::new().permissions(Permissions::from_mode(MODE)).tempfile_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist_noclobber(path)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|source| PrivateFileFault::io(path, source))
}

/// Random bytes for a new secret.
///
/// # Errors
///
/// The system has no random bytes.
pub fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| io::Error::other("the system has no random bytes"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    #[test]
    fn a_file_is_made_whole_and_replaces_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data/secrets");
        make(&path, "one").unwrap();
        assert_eq!(read(&path).unwrap().0, "one");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, MODE);
        let PrivateFileFault::File { source, .. } = make(&path, "two").unwrap_err() else { panic!() };
        assert_eq!(source.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(read(&path).unwrap().0, "one");
        // Nothing is left of the second.
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
