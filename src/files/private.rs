//! Files that hold secrets: only their owner may read them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom, SystemRandom};

const MODE: u32 = 0o600;
/// The permission bits of the group and of everybody else.
const OTHERS: u32 = 0o077;

/// Why such a file can't be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrivateFileFault {
    /// It can't be read or made.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Others than its owner may read or change it.
    #[error("{}: mode {mode:04o} lets others read its secrets; run: chmod 600 {}", path.display(), path.display())]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

impl PrivateFileFault {
    /// A fault of the system's.
    pub fn io(path: &Path, source: io::Error) -> Self {
        Self::File { path: path.to_owned(), source }
    }
}

/// By which a changed file is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    inode: u64,
    changed: (i64, i64),
    length: u64,
}

impl Stamp {
    /// That of a file as it is; `None` where it can't be looked at.
    pub fn of(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().map(|metadata| Self::new(&metadata))
    }

    fn new(metadata: &fs::Metadata) -> Self {
        // The time of the last change of the inode: unlike that of the content, nobody sets it back.
        Self {
            inode: metadata.ino(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            length: metadata.len(),
        }
    }
}

/// Its text, and the stamp of what was read.
///
/// # Errors
///
/// It can't be read, or others can.
pub fn read(path: &Path) -> Result<(String, Stamp), PrivateFileFault> {
    let fault = |source| PrivateFileFault::io(path, source);
    let mut file = File::open(path).map_err(fault)?;
    let metadata = file.metadata().map_err(fault)?;
    let mode = metadata.mode() & 0o7777;
    if mode & OTHERS != 0 {
        return Err(PrivateFileFault::Mode { path: path.to_owned(), mode });
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(fault)?;
    Ok((text, Stamp::new(&metadata)))
}

/// Makes one with this text, and its folder; never in place of one that is there.
///
/// # Errors
///
/// The system's.
pub fn make(path: &Path, text: &str) -> Result<(), PrivateFileFault> {
    let write = || {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|source| PrivateFileFault::io(path, source))
}

/// Bytes that nobody can guess, for a secret to be made.
///
/// # Errors
///
/// The system gives none.
pub fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| io::Error::other("the system gives no random bytes"))?;
    Ok(bytes)
}
