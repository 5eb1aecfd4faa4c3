//! Read access to a damaged file: nothing is written to it, and whatever can be read is read.

use std::fs::File;
use std::io;
use std::ops::Bound;
use std::os::unix::fs::FileExt;
use std::path::Path;

use redb::{BackendError, Builder, ConcurrencyMode, ReadOnlyDatabase, StorageBackend};

use super::fault::{guarded, unopened, unreadable};
use crate::rules::error::StoreError;

/// Bytes of pages in memory at once.
const CACHE: usize = 4 << 20;

/// Opens a damaged file for reading. In this mode the library reads what is asked for alone, and nothing of what it has
/// noted about free pages.
pub(super) fn open(path: &Path) -> Result<ReadOnlyDatabase, StoreError> {
    guarded(path, || {
        let backend = DamagedFile(File::open(path).map_err(|error| unreadable(path, error))?);
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE).set_concurrency_mode(ConcurrencyMode::SingleWriter);
        builder.open_read_only_with_backend(backend).map_err(|error| unopened(path, error))
    })
}

/// File that may be damaged, as the library reads it. What can't be read is zeros: an error of the system would be the
/// last thing that the library reads.
#[derive(Debug)]
struct DamagedFile(File);

/// Place of the flags in the file's head, and the flag that somebody has not closed the file.
const FLAGS: u64 = 9;
const UNCLOSED: u8 = 2;

impl StorageBackend for DamagedFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut done = 0;
        while let Some(rest) = out.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.0.read_at(rest, offset + done as u64) {
                Ok(0) | Err(_) => {
                    rest.fill(0);
                    break;
                }
                Ok(read) => done += read,
            }
        }
        // A file that was not closed would have to be repaired first, and this one can't be.
        let flags = FLAGS.checked_sub(offset).and_then(|at| out.get_mut(usize::try_from(at).ok()?));
        if let Some(flags) = flags {
            *flags &= !UNCLOSED;
        }
        Ok(())
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, _: u64, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    // Whoever opens it meanwhile can't be disturbed.

    fn try_lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Ok(true)
    }

    fn try_lock_shared_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Ok(true)
    }

    fn lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }

    fn lock_shared_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }

    fn unlock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }

    fn query_lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Ok(false)
    }
}
