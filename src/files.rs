//! Files that are read again while they are in use. A leaf: it knows nothing of the house.

use std::error::Error;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

pub mod private;

/// Something that is made of files and can be made again while it is in use.
pub trait Reload: Send + Sync {
    /// What it is, for logs: "certificates".
    fn name(&self) -> &'static str;

    /// Reads the files again where one has changed since the last look; says whether it did.
    ///
    /// # Errors
    ///
    /// They can't be used. All that is in force stays, and the next look tries again only after another change.
    fn reload_if_changed(&self) -> Result<bool, Box<dyn Error + Send + Sync>>;
}

/// Tells whether files have changed, by time and length and through links: looking needs no notice from the
/// system, which links and some file systems don't give.
#[derive(Debug)]
pub struct Watched {
    paths: Vec<PathBuf>,
    seen: Mutex<Vec<Stamp>>,
}

type Stamp = Option<(SystemTime, u64)>;

impl Watched {
    /// Files as they are now. Look before reading them, so that a change in between is not missed.
    pub fn new(paths: Vec<PathBuf>) -> Self {
        let seen = Mutex::new(stamps(&paths));
        Self { paths, seen }
    }

    /// Whether one of them has changed since the last look.
    pub fn changed(&self) -> bool {
        let now = stamps(&self.paths);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = *seen != now;
        *seen = now;
        changed
    }
}

fn stamps(paths: &[PathBuf]) -> Vec<Stamp> {
    let stamp = |path: &PathBuf| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    paths.iter().map(stamp).collect()
}
