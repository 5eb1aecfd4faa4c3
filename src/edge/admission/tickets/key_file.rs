//! File of ticket keys: created if it is missing, reloaded when it changes.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;

use crate::files::Reload;
use crate::files::making::could_make;
use crate::files::private::{self, IfMissing, PrivateFileFault, PrivateStamp};
use embedgate_policy::ticket::{TicketKeyError, TicketKeys};

const KEY_BYTES: usize = 32;

/// Error of a key file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileFault {
    /// The file can't be read or made, or other users can read it.
    #[error(transparent)]
    File(#[from] PrivateFileFault),
    /// The file is missing, and a new one would have other keys than the other edges.
    #[error(
        "{0} is missing, and all edges of a fleet have the same ticket keys: copy the file from another edge, with mode \
         0600. For the first edge, make it: (umask 077; head -c 32 /dev/urandom | base64 > {0})",
        path.display()
    )]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The file's content is not valid.
    #[error("{}: {fault}", path.display())]
    Keys {
        /// The file.
        path: PathBuf,
        /// The line, and what would be right.
        fault: TicketKeyError,
    },
}

/// File of the ticket keys in force.
#[derive(Debug)]
pub struct KeyFile {
    path: PathBuf,
    keys: ArcSwap<TicketKeys>,
    seen: Mutex<Option<PrivateStamp>>,
}

impl KeyFile {
    /// Reads the file. If it is missing, makes one with one key that only its owner can read.
    ///
    /// # Errors
    ///
    /// The file can't be read or made, or a line is not a key.
    pub fn open(path: PathBuf) -> Result<Self, KeyFileFault> {
        Self::open_or(path, IfMissing::Made)
    }

    /// The same. A missing file that is left out has a key that nobody knows.
    ///
    /// # Errors
    ///
    /// The file can't be read, or could not be made, or a line is not a key.
    pub fn open_or(path: PathBuf, if_missing: IfMissing) -> Result<Self, KeyFileFault> {
        let (keys, seen) = match (path.exists(), if_missing) {
            (false, IfMissing::LeftOut) => {
                could_make(&path).map_err(|source| PrivateFileFault::io(&path, source))?;
                return Self::unsaved(path);
            }
            (false, IfMissing::Made) => {
                private::make(&path, &new_text(&path)?)?;
                tracing::info!("created {} with one ticket key", path.display());
                read(&path)?
            }
            (true, _) => read(&path)?,
        };
        Ok(Self { path, keys: ArcSwap::from_pointee(keys), seen: Mutex::new(Some(seen)) })
    }

    /// Reads the file that this edge has in common with others. A missing one is not made.
    ///
    /// # Errors
    ///
    /// The file is missing or can't be read, or a line is not a key.
    pub fn open_shared(path: PathBuf) -> Result<Self, KeyFileFault> {
        match path.try_exists() {
            Ok(false) => Err(KeyFileFault::Missing { path }),
            // If it can't be told, reading says why.
            Ok(true) | Err(_) => {
                let (keys, seen) = read(&path)?;
                Ok(Self { path, keys: ArcSwap::from_pointee(keys), seen: Mutex::new(Some(seen)) })
            }
        }
    }

    /// A key that nobody knows and no file has, to try the rest of a configuration with.
    ///
    /// # Errors
    ///
    /// The system has no random bytes.
    pub fn unsaved(path: PathBuf) -> Result<Self, KeyFileFault> {
        let keys = parse(&path, &new_text(&path)?)?;
        Ok(Self { path, keys: ArcSwap::from_pointee(keys), seen: Mutex::new(None) })
    }

    /// The keys in force.
    pub fn load(&self) -> Guard<Arc<TicketKeys>> {
        self.keys.load()
    }
}

impl Reload for KeyFile {
    fn name(&self) -> &'static str {
        "ticket keys"
    }

    fn reload_if_changed(&self) -> Result<bool, Box<dyn Error + Send + Sync>> {
        let mut seen = self.seen.lock();
        let now = PrivateStamp::of(&self.path);
        if *seen == now {
            return Ok(false);
        }
        *seen = now;
        let (keys, stamp) = read(&self.path)?;
        *seen = Some(stamp);
        self.keys.store(Arc::new(keys));
        Ok(true)
    }
}

fn read(path: &Path) -> Result<(TicketKeys, PrivateStamp), KeyFileFault> {
    let (text, stamp) = private::read(path)?;
    Ok((parse(path, &text)?, stamp))
}

fn parse(path: &Path, text: &str) -> Result<TicketKeys, KeyFileFault> {
    TicketKeys::parse(text).map_err(|fault| KeyFileFault::Keys { path: path.to_owned(), fault })
}

/// The text of a new file.
fn new_text(path: &Path) -> Result<String, PrivateFileFault> {
    let key = private::random::<KEY_BYTES>().map_err(|source| PrivateFileFault::io(path, source))?;
    Ok(format!(
        "# Ticket keys: one base64 key of at least 32 bytes per line; reloaded when changed. The first signs, all verify.\n\
         # To rotate on every edge: append the new key, then move it first, then remove the old one.\n{}\n",
        STANDARD.encode(key)
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn one_is_made_once_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data/ticket.keys");
        let first = KeyFile::open(path.clone()).unwrap().load().fingerprint();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(KeyFile::open(path.clone()).unwrap().load().fingerprint(), first);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(KeyFile::open(path).unwrap_err().to_string().contains("chmod 600"));
    }

    #[test]
    fn a_shared_one_is_never_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ticket.keys");
        let fault = KeyFile::open_shared(path.clone()).unwrap_err().to_string();
        let place = path.display().to_string();
        for part in [&*place, "copy the file from another edge", "umask 077"] {
            assert!(fault.contains(part), "{part}: {fault}");
        }
        assert!(!path.exists());
        let advised = fault.split_once("make it: ").unwrap().1;
        assert!(std::process::Command::new("sh").args(["-c", advised]).status().unwrap().success());
        assert_eq!(KeyFile::open_shared(path.clone()).unwrap().load().count(), 1);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(KeyFile::open_shared(path).unwrap_err().to_string().contains("chmod 600"));
    }

    #[test]
    fn a_change_is_taken_and_a_fault_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ticket.keys");
        let file = KeyFile::open(path.clone()).unwrap();
        let before = file.load().fingerprint();
        assert!(!file.reload_if_changed().unwrap());
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, "secret!").unwrap();
        let error = file.reload_if_changed().unwrap_err().to_string();
        assert!(error.contains("ticket.keys: line 1") && !error.contains("secret!"), "{error}");
        assert!(!file.reload_if_changed().unwrap(), "said once");
        assert_eq!(file.load().fingerprint(), before);
        fs::write(&path, format!("QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI=\n{text}")).unwrap();
        assert!(file.reload_if_changed().unwrap());
        assert_eq!(file.load().count(), 2);
        assert_ne!(file.load().fingerprint(), before);
    }
}
