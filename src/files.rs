//! Files that are reloaded while the edge runs.

use std::error::Error;
use std::path::PathBuf;
use std::time::SystemTime;

use parking_lot::Mutex;

pub mod making;
pub mod private;
pub mod temporary;

/// Value that is read from files and can be reloaded.
pub trait Reload: Send + Sync {
    /// The name for logs, such as "certificates".
    fn name(&self) -> &'static str;

    /// Reloads the files if one has changed since the last check. Returns whether it did.
    ///
    /// # Errors
    ///
    /// The files can't be used. What is in force stays, and they are tried again only after another change.
    fn reload_if_changed(&self) -> Result<bool, Box<dyn Error + Send + Sync>>;
}

/// Watch on files by modification time and length, following links. It does not use the system's notices,
/// because links and some file systems give none.
#[derive(Debug)]
pub struct Watched {
    paths: Vec<PathBuf>,
    seen: Mutex<Vec<ContentStamp>>,
}

type ContentStamp = Option<(SystemTime, u64)>;

impl Watched {
    /// Watches files from their current state on. Call this before reading them, so that no change is missed.
    pub fn new(paths: Vec<PathBuf>) -> Self {
        let seen = Mutex::new(stamps(&paths));
        Self { paths, seen }
    }

    /// Whether one of the files has changed since the last check.
    pub fn changed(&self) -> bool {
        let now = stamps(&self.paths);
        let mut seen = self.seen.lock();
        let changed = *seen != now;
        *seen = now;
        changed
    }
}

fn stamps(paths: &[PathBuf]) -> Vec<ContentStamp> {
    let stamp = |path: &PathBuf| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    paths.iter().map(stamp).collect()
}
