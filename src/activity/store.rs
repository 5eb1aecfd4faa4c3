//! Store of what was seen: one file, on redb, with a record for each widget.
//!
//! What is in it can be lost without harm to anybody's visitors, so nothing that is wrong with it keeps an edge from
//! serving. A file that can't be read is moved aside, and a new one begun. A record that can't be read is replaced.

use std::fs::{self, OpenOptions};
use std::ops::Bound;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use redb::{Builder, Database, ReadableDatabase};
use tokio::time::Instant;

use self::batch::ActivityBatch;
use self::fault::StoreFault;
use self::row::{About, WIDGETS};
use super::kept::KeptWidget;
use super::reader::ActivityError;
use crate::rules::caught;

pub(super) mod batch;
mod fault;
pub(super) mod row;

/// Not everybody may read who embeds.
const PRIVATE_MODE: u32 = 0o600;

/// Readers have this long to let go of the file before another process may have it.
const LET_GO: Duration = Duration::from_secs(1);

/// Store of what was seen.
#[derive(Debug)]
pub(super) struct ActivityStore {
    path: PathBuf,
    /// Most memory of the library for pages of the file, in bytes.
    cache: usize,
    state: Mutex<StoreState>,
}

/// State of the store, under its lock.
#[derive(Debug, Default)]
struct StoreState {
    /// `None` until it is opened, and after a failure until it is opened again.
    database: Option<Arc<Database>>,
    /// What the file says of itself, as of the last write.
    about: About,
    /// Another process may open it.
    lent: bool,
}

impl ActivityStore {
    /// A store in this file, which is opened when it is first used.
    pub(super) fn new(path: &Path, cache: u64) -> Self {
        let cache = usize::try_from(cache).unwrap_or(usize::MAX);
        Self { path: path.to_owned(), cache, state: Mutex::default() }
    }

    /// What the file says of itself.
    pub(super) fn about<T>(&self, read: impl FnOnce(&About) -> T) -> Result<T, ActivityError> {
        let mut state = self.lock();
        self.open_in(&mut state)?;
        Ok(read(&state.about))
    }

    /// The record of a widget; `None` for one that can't be read.
    pub(super) fn widget(&self, id: &str) -> Result<Option<KeptWidget>, ActivityError> {
        self.with(|database| {
            let Some(row) = database.begin_read()?.open_table(WIDGETS)?.get(id)? else { return Ok(None) };
            Ok(row::record(id, row.value()))
        })
    }

    /// Records in the order of ids, after this one.
    pub(super) fn page(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(Box<str>, KeptWidget)>, ActivityError> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.with(|database| {
            let table = database.begin_read()?.open_table(WIDGETS)?;
            let rows = table.range::<&str>((from, Bound::Unbounded))?.take(limit);
            rows.map(|row| {
                let (id, row) = row?;
                let record = row::record(id.value(), row.value()).unwrap_or_default();
                Ok((id.value().into(), record))
            })
            .collect()
        })
    }

    /// Ids in their order, after this one.
    pub(super) fn ids(&self, after: Option<&str>, limit: usize) -> Result<Vec<Box<str>>, ActivityError> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.with(|database| {
            let table = database.begin_read()?.open_table(WIDGETS)?;
            let rows = table.range::<&str>((from, Bound::Unbounded))?.take(limit);
            rows.map(|row| Ok(row?.0.value().into())).collect()
        })
    }

    /// Writes, whole or not at all. Once it is done, it survives a loss of power.
    pub(super) fn write(
        &self,
        change: impl FnOnce(&mut ActivityBatch<'_>) -> Result<(), StoreFault>,
    ) -> Result<(), ActivityError> {
        let about = self.about(About::clone)?;
        let about = self.with(|database| batch::commit(database, about, change))?;
        self.lock().about = about;
        Ok(())
    }

    /// Memory that pages of the file take now, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        // Whoever opens the file has the lock for as long as that takes.
        let database = self.state.try_lock().and_then(|state| state.database.clone());
        database.map_or(0, |database| database.cache_stats().used_bytes() as u64)
    }

    /// Closes the file, so that another process can open it.
    pub(super) fn let_go(&self) {
        let database = {
            let mut state = self.lock();
            state.lent = true;
            state.database.take()
        };
        let Some(mut database) = database else { return };
        let deadline = Instant::now() + LET_GO;
        // The last one closes it.
        while let Err(still_read) = Arc::try_unwrap(database).map(close) {
            if Instant::now() >= deadline {
                return;
            }
            database = still_read;
            pause(Duration::from_millis(1));
        }
    }

    /// Goes on with the file after it was let go of.
    pub(super) fn take_back(&self) {
        self.lock().lent = false;
    }

    /// Whether another process may have it now.
    pub(super) fn is_lent(&self) -> bool {
        self.lock().lent
    }

    fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, StoreFault>) -> Result<T, ActivityError> {
        let database = {
            let mut state = self.lock();
            self.open_in(&mut state)?
        };
        let fault = match caught(|| work(&database)) {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(fault)) => fault,
            Err(panic) => StoreFault::Damaged(panic),
        };
        let mut state = self.lock();
        // Somebody else may have found the same.
        if state.database.as_ref().is_some_and(|current| Arc::ptr_eq(current, &database)) {
            // After an error the library refuses to go on with its own handle.
            state.database = None;
            if let StoreFault::Damaged(found) = &fault {
                self.move_aside(found);
            }
        }
        drop(state);
        if let Some(database) = Arc::into_inner(database) {
            close(database);
        }
        Err(self.error(&fault))
    }

    fn open_in(&self, state: &mut StoreState) -> Result<Arc<Database>, ActivityError> {
        if let Some(database) = &state.database {
            return Ok(Arc::clone(database));
        }
        if state.lent {
            return Err(ActivityError { detail: "another process has taken over".to_owned() });
        }
        let opened = self.open().or_else(|fault| match &fault {
            StoreFault::Damaged(found) => {
                self.move_aside(found);
                self.open()
            }
            StoreFault::Failed(_) => Err(fault),
        });
        let (database, about) = opened.map_err(|fault| self.error(&fault))?;
        let database = Arc::new(database);
        (state.database, state.about) = (Some(Arc::clone(&database)), about);
        Ok(database)
    }

    fn open(&self) -> Result<(Database, About), StoreFault> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false).mode(PRIVATE_MODE);
        // The library would make one that everybody may read.
        drop(options.open(&self.path)?);
        let opened = caught(|| {
            let database = Builder::new().set_cache_size(self.cache).create(&self.path)?;
            let about = batch::about(&database, Timestamp::now())?;
            Ok((database, about))
        });
        opened.unwrap_or_else(|panic| Err(StoreFault::Damaged(panic)))
    }

    /// Moves the file aside, in the place of one that was moved aside before.
    fn move_aside(&self, found: &str) {
        let mut aside = self.path.clone().into_os_string();
        aside.push(".damaged");
        let path = self.path.display();
        match fs::rename(&self.path, &aside) {
            Ok(()) => tracing::error!(
                "{path}: what was seen can't be read: {found}; it is now {}, and a new file is begun",
                Path::new(&aside).display()
            ),
            Err(error) => {
                tracing::error!("{path}: what was seen can't be read, nor moved aside: {found}; {error}")
            }
        }
    }

    fn error(&self, fault: &StoreFault) -> ActivityError {
        let (StoreFault::Damaged(detail) | StoreFault::Failed(detail)) = fault;
        ActivityError { detail: format!("{}: {detail}", self.path.display()) }
    }

    fn lock(&self) -> MutexGuard<'_, StoreState> {
        self.state.lock()
    }
}

/// Closes the file, which writes to it; on a damaged one the library may panic.
fn close(database: Database) {
    let _ = caught(|| drop(database));
}

#[expect(clippy::disallowed_methods, reason = "only the thread that hands the file over waits")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

#[cfg(test)]
mod tests;
