//! Handle of the store's file, opened anew after a failure.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use redb::{Builder, Database};
use tokio::time::Instant;

use super::fault::{caught, damaged_part, failed, guarded, unopened};
use super::tables::Meta;
use super::uncertain::UncertainCommit;
use crate::rules::error::StoreError;

/// Purpose that a store is opened for: decides how many bytes of its pages the library keeps in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::rules) enum StoreUse {
    /// A start and saves. Requests don't read here, and what saves read again the system has at hand.
    Edge,
    /// Documents in bulk, whose pages would be written several times.
    Bulk,
}

impl StoreUse {
    pub(super) fn builder(self) -> Builder {
        let mut builder = Builder::new();
        builder.set_cache_size(match self {
            Self::Edge => 4 << 20,
            Self::Bulk => 16 << 20,
        });
        builder
    }
}

/// After a failure the file is opened anew; readers of the old handle have this long to let go of it.
const REOPEN: Duration = Duration::from_secs(1);

/// Handle of the store's file. After an error the library refuses to go on with its own, so this one opens another.
pub(super) struct Handle {
    purpose: StoreUse,
    state: Mutex<HandleState>,
}

/// State of the handle, under its lock.
struct HandleState {
    /// The store's path, or that of a store that is being made.
    path: PathBuf,
    /// `None` after a failure, until it is opened anew.
    database: Option<Arc<Database>>,
    uncertain: Option<UncertainCommit>,
    /// Another process may open it meanwhile.
    lent: bool,
    /// A part of it can't be read.
    damaged: bool,
}

impl Handle {
    pub(super) fn new(path: &Path, database: Database, purpose: StoreUse) -> Self {
        let state = HandleState {
            path: path.into(),
            database: Some(Arc::new(database)),
            uncertain: None,
            lent: false,
            damaged: false,
        };
        Self { purpose, state: Mutex::new(state) }
    }

    pub(super) fn purpose(&self) -> StoreUse {
        self.purpose
    }

    /// Whether the file has this path.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        self.lock().path == path
    }

    /// Gives the file this path.
    pub(super) fn rename(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        fs::rename(&state.path, path)?;
        state.path = path.into();
        Ok(())
    }

    /// The open file, opened anew where it had to be given up.
    pub(super) fn database(&self) -> Result<Arc<Database>, StoreError> {
        let mut state = self.lock();
        if let Some(database) = &state.database {
            return Ok(Arc::clone(database));
        }
        if state.lent {
            return Err(StoreError::Lent { path: state.path.clone() });
        }
        let database = state.reopen(self.purpose)?;
        if let Some(uncertain) = &state.uncertain {
            uncertain.undo(&database)?;
            state.uncertain = None;
        }
        let database = Arc::new(database);
        state.database = Some(Arc::clone(&database));
        Ok(database)
    }

    /// Remembers that a part of the file is damaged: nobody could open it again.
    pub(super) fn found_damaged(&self) {
        let mut state = self.lock();
        if !state.damaged {
            state.damaged = true;
            let path = state.path.display();
            tracing::error!("{path}: a part of this store is damaged; what is whole goes on");
        }
    }

    /// Closes the file for another process, once nobody reads it any more.
    pub(super) fn lend(&self) -> Result<(), StoreError> {
        if self.lock().damaged {
            return Err(damaged_part("some widget", "nobody can take over a damaged store"));
        }
        if self.lock().uncertain.is_some() {
            // Opening it takes care of the commit that may have happened.
            self.database()?;
        }
        let (database, path) = {
            let mut state = self.lock();
            state.lent = true;
            (state.database.take(), state.path.clone())
        };
        let Some(mut database) = database else { return Ok(()) };
        let deadline = Instant::now() + REOPEN;
        loop {
            // The last one closes the file.
            match Arc::try_unwrap(database) {
                Ok(database) => {
                    drop(database);
                    return Ok(());
                }
                Err(still_read) if Instant::now() < deadline => database = still_read,
                Err(still_read) => {
                    let mut state = self.lock();
                    (state.lent, state.database) = (false, Some(still_read));
                    let source = Arc::from(Box::from(format!("{}: it is still being read", path.display())));
                    return Err(StoreError::Failed { source });
                }
            }
            pause(Duration::from_millis(1));
        }
    }

    /// Opens the file after it was lent, to look what has become of it.
    pub(super) fn reopen(&self) -> Result<Database, StoreError> {
        self.lock().reopen(self.purpose)
    }

    /// Goes on with the file after it was lent.
    pub(super) fn put_back(&self, database: Database) {
        let mut state = self.lock();
        (state.lent, state.database) = (false, Some(Arc::new(database)));
    }

    /// Closes the file after an error.
    pub(super) fn give_up(&self) {
        let mut state = self.lock();
        let database = state.database.take();
        // Closing writes, and the library may panic on what it finds.
        let _ = guarded(&state.path, || {
            drop(database);
            Ok(())
        });
    }

    /// Looks whether a commit has happened although it broke off in the library, which a damaged file makes it do. The
    /// file stays open: nobody could open it again.
    pub(super) fn look_for(&self, commit: &UncertainCommit, error: StoreError) -> Result<(), StoreError> {
        self.found_damaged();
        let database = self.database()?;
        let meta = caught(|| Meta::read(&*database)).ok().and_then(Result::ok).flatten();
        // Where the generation stays, it tells nothing.
        let tells = commit.generation != commit.previous;
        match meta {
            Some(meta) if tells && meta.generation == commit.generation => Ok(()),
            _ => Err(error),
        }
    }

    /// Looks whether a commit that failed has happened all the same. Where that can't be told now, the caller is
    /// told that it has not, and the next one who opens the file takes care that this is so.
    pub(super) fn settle(&self, commit: UncertainCommit, error: StoreError) -> Result<(), StoreError> {
        let mut state = self.lock();
        state.database = None;
        let found = state.reopen(self.purpose).and_then(|database| {
            let meta = guarded(&state.path, || Meta::read(&database).map_err(failed))?;
            Ok((database, meta))
        });
        match found {
            // Where the generation stays, it tells nothing.
            Ok((database, Some(meta))) if commit.generation != commit.previous => {
                state.database = Some(database.into());
                if meta.generation == commit.generation { Ok(()) } else { Err(error) }
            }
            Ok(_) | Err(_) => {
                state.uncertain = Some(commit);
                Err(error)
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HandleState> {
        self.state.lock()
    }
}

#[cfg(test)]
impl Handle {
    /// As if nobody could look whether this commit has happened.
    pub(super) fn leave_uncertain(&self, commit: UncertainCommit) {
        let mut state = self.lock();
        state.database = None;
        state.uncertain = Some(commit);
    }
}

impl HandleState {
    fn reopen(&self, purpose: StoreUse) -> Result<Database, StoreError> {
        let deadline = Instant::now() + REOPEN;
        loop {
            let opened = guarded(&self.path, || {
                purpose.builder().open(&self.path).map_err(|error| unopened(&self.path, error))
            });
            match opened {
                Err(StoreError::Locked { .. }) if Instant::now() < deadline => {
                    pause(Duration::from_millis(2))
                }
                opened => return opened,
            }
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "publishers block, and are never called where requests are served"
)]
fn pause(time: Duration) {
    std::thread::sleep(time);
}
