//! A small file system, to be filled.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use bench_support::command;
use bench_support::process::output;
use tempfile::TempDir;

/// Gone when dropped.
pub struct SmallDisk(TempDir);

impl SmallDisk {
    /// One of this size, in the words of `mount`.
    pub fn mount(size: &str) -> Result<Self> {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let options = format!("size={size}");
        output(&command!["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder.path()], Path::new("."))
            .context("a small tmpfs is mounted here: run it as root")?;
        Ok(Self(folder))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes all that is free.
    pub fn fill(&self) -> Result<()> {
        let mut file = File::create(self.filler())?;
        let piece = vec![b'x'; 4096];
        // The last piece doesn't fit, or not whole.
        while file.write_all(&piece).is_ok() {}
        Ok(())
    }

    /// Gives it back.
    pub fn free(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.filler())?)
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = output(&command!["umount", "-l", self.path()], Path::new("."));
    }
}
