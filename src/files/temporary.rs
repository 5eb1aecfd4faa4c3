//! Temporary file: somebody writes it at a path, and whoever reads it then is the only one who still has it.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Temporary file, gone when it is dropped.
#[derive(Debug)]
pub struct TemporaryFile(PathBuf);

impl TemporaryFile {
    /// The file at this path, which nobody else uses. One that a process has left there which was killed is removed.
    ///
    /// # Errors
    ///
    /// It can't be removed.
    pub fn at(path: PathBuf) -> io::Result<Self> {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(Self(path)),
        }
    }

    /// Where it is to be written.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Opens what was written, and tells its length. Its name is gone from then on, and the rest with the reader, however
    /// the process ends.
    ///
    /// # Errors
    ///
    /// It was not written, or can't be read.
    pub fn open(self) -> io::Result<(File, u64)> {
        let file = File::open(&self.0)?;
        let length = file.metadata()?.len();
        Ok((file, length))
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        // An error means that it is gone, or was never written.
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::Read;

    use super::*;

    #[test]
    fn it_is_gone_once_it_is_open_or_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("copy");
        fs::write(&path, "left by a process that was killed").unwrap();
        let file = TemporaryFile::at(path.clone()).unwrap();
        assert!(!path.exists());
        fs::write(file.path(), "whole").unwrap();
        let (mut opened, length) = file.open().unwrap();
        assert!(!path.exists());
        let mut text = String::new();
        opened.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), length), ("whole", 5));

        let file = TemporaryFile::at(path.clone()).unwrap();
        fs::write(file.path(), "half").unwrap();
        drop(file);
        assert!(!path.exists());
        assert!(TemporaryFile::at(path.clone()).unwrap().open().is_err());
        fs::create_dir(&path).unwrap();
        assert!(TemporaryFile::at(path).is_err());
    }
}
