//! A small file system of a test's own, to be filled.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// Room that has to be left in memory for a folder, in bytes.
const ROOM: u64 = 2 << 30;

/// A folder in memory, where there is room: for tests in which a disk is not the matter.
pub fn quick_folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let room = rustix::fs::statvfs(memory).map_or(0, |disk| disk.f_bavail * disk.f_frsize);
    let folder = (room > ROOM).then(|| tempfile::tempdir_in(memory)).and_then(Result::ok);
    folder.unwrap_or_else(|| tempfile::tempdir().unwrap())
}

/// A small file system, gone when dropped.
pub struct SmallDisk(TempDir);

impl SmallDisk {
    /// One of this size, in the words of `mount`.
    pub fn mount(size: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(folder.path())
            .status()
            .unwrap();
        assert!(mounted.success(), "this test mounts a small tmpfs: run it as root");
        Self(folder)
    }

    /// Makes it larger, or smaller, with what is in it.
    pub fn resize(&self, size: &str) {
        let resized =
            Command::new("mount").args(["-o", &format!("remount,size={size}")]).arg(self.path()).status();
        assert!(resized.unwrap().success());
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// A file on it.
    pub fn at(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
