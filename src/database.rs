//! Database file beside the rules: one file, on redb, that is opened when it is first used, lent to another process in an
//! upgrade, and moved aside where it can't be read.
//!
//! What is in such a file can be lost without harm to anybody's visitors, so nothing that is wrong with it keeps an edge
//! from serving.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use redb::{Builder, Database, ReadableDatabase};
use tokio::time::Instant;

use crate::rules::caught;

mod fault;

pub use fault::DatabaseFault;

/// Not everybody may read what is in it.
pub const PRIVATE_MODE: u32 = 0o600;

/// Readers have this long to let go of the file before another process may have it.
const LET_GO: Duration = Duration::from_secs(1);

/// Something that one process of an edge has at a time, and hands to the next in an upgrade.
pub trait Lendable: Send + Sync {
    /// Keeps what is not kept yet, and lets another process have it.
    fn let_go(&self);

    /// Goes on with it after another process did not take over.
    fn take_back(&self);
}

/// Kind of a database file.
#[derive(Debug)]
pub struct DatabaseKind<A> {
    /// What is in it, for the log: "what was seen".
    pub content: &'static str,
    /// Reads what the file says of itself. A file with nothing in it is begun.
    pub begin: fn(&Database) -> Result<A, DatabaseFault>,
}

/// Database file. `A`: what it says of itself.
#[derive(Debug)]
pub struct DatabaseFile<A> {
    path: PathBuf,
    /// Most memory of the library for pages of the file, in bytes.
    cache: usize,
    kind: DatabaseKind<A>,
    state: Mutex<FileState<A>>,
    /// Another process may open it. Changed under the lock of the state alone.
    lent: AtomicBool,
    /// How often a new file was begun in place of a damaged one.
    begun_anew: AtomicU64,
}

/// State of the file, under its lock.
#[derive(Debug)]
struct FileState<A> {
    /// `None` until it is opened, and after a failure until it is opened again.
    open: Option<OpenFile<A>>,
}

#[derive(Debug)]
struct OpenFile<A> {
    database: Arc<Database>,
    /// What the file says of itself, as of the last write.
    about: A,
}

/// Failure to use a database file.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{detail}")]
pub struct DatabaseError {
    /// The file, and why.
    pub detail: String,
}

impl<A> DatabaseFile<A> {
    /// A database in this file, which is opened when it is first used. `cache`: most memory for its pages, in bytes.
    pub fn new(path: &Path, cache: u64, kind: DatabaseKind<A>) -> Self {
        let cache = usize::try_from(cache).unwrap_or(usize::MAX);
        let state = Mutex::new(FileState { open: None });
        let (lent, begun_anew) = (AtomicBool::new(false), AtomicU64::new(0));
        Self { path: path.to_owned(), cache, kind, state, lent, begun_anew }
    }

    /// What the file says of itself.
    ///
    /// # Errors
    ///
    /// The file can't be opened.
    pub fn about<T>(&self, read: impl FnOnce(&A) -> T) -> Result<T, DatabaseError> {
        let mut state = self.lock();
        self.open_in(&mut state).map(|open| read(&open.about))
    }

    /// Notes what the file says of itself after a write.
    pub fn says(&self, about: A) {
        if let Some(open) = &mut self.lock().open {
            open.about = about;
        }
    }

    /// Works with the database.
    ///
    /// # Errors
    ///
    /// The file can't be opened, or the work has failed. A damaged file is moved aside.
    pub fn with<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, DatabaseFault>,
    ) -> Result<T, DatabaseError> {
        let database = {
            let mut state = self.lock();
            Arc::clone(&self.open_in(&mut state)?.database)
        };
        let fault = match caught(|| work(&database)) {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(fault)) => fault,
            Err(panic) => DatabaseFault::Damaged(panic),
        };
        let mut state = self.lock();
        // Somebody else may have found the same.
        if state.open.as_ref().is_some_and(|open| Arc::ptr_eq(&open.database, &database)) {
            // After an error the library refuses to go on with its own handle.
            state.open = None;
            if let DatabaseFault::Damaged(found) = &fault {
                self.move_aside(found);
            }
        }
        drop(state);
        if let Some(database) = Arc::into_inner(database) {
            close(database);
        }
        Err(self.error(&fault))
    }

    /// Memory that pages of the file take now, in bytes.
    pub fn bytes(&self) -> u64 {
        // Whoever opens the file has the lock for as long as that takes.
        let database = self
            .state
            .try_lock()
            .and_then(|state| state.open.as_ref().map(|open| Arc::clone(&open.database)));
        database.map_or(0, |database| database.cache_stats().used_bytes() as u64)
    }

    /// Closes the file, so that another process can open it.
    pub fn let_go(&self) {
        let open = {
            let mut state = self.lock();
            self.lent.store(true, Ordering::Release);
            state.open.take()
        };
        let Some(OpenFile { mut database, .. }) = open else { return };
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
    pub fn take_back(&self) {
        let _state = self.lock();
        self.lent.store(false, Ordering::Release);
    }

    /// Whether another process may have it now. Waits for nobody, even while the file is opened or repaired.
    pub fn is_lent(&self) -> bool {
        self.lent.load(Ordering::Acquire)
    }

    /// How often a new file was begun in place of a damaged one. Whoever knows what was in that writes it again.
    pub fn times_begun_anew(&self) -> u64 {
        self.begun_anew.load(Ordering::Acquire)
    }

    fn open_in<'s>(&self, state: &'s mut FileState<A>) -> Result<&'s mut OpenFile<A>, DatabaseError> {
        let open = match state.open.take() {
            Some(open) => open,
            None if self.is_lent() => {
                return Err(DatabaseError { detail: "another process has taken over".to_owned() });
            }
            None => self.opened()?,
        };
        Ok(state.open.insert(open))
    }

    fn opened(&self) -> Result<OpenFile<A>, DatabaseError> {
        let opened = self.open().or_else(|fault| match &fault {
            DatabaseFault::Damaged(found) => {
                self.move_aside(found);
                self.open()
            }
            DatabaseFault::Failed(_) => Err(fault),
        });
        let (database, about) = opened.map_err(|fault| self.error(&fault))?;
        Ok(OpenFile { database: Arc::new(database), about })
    }

    fn open(&self) -> Result<(Database, A), DatabaseFault> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false).mode(PRIVATE_MODE);
        // The library would make one that everybody may read.
        drop(options.open(&self.path)?);
        let opened = caught(|| {
            let database = Builder::new().set_cache_size(self.cache).create(&self.path)?;
            let about = (self.kind.begin)(&database)?;
            Ok((database, about))
        });
        opened.unwrap_or_else(|panic| Err(DatabaseFault::Damaged(panic)))
    }

    /// Moves the file aside, in the place of one that was moved aside before.
    fn move_aside(&self, found: &str) {
        let mut aside = self.path.clone().into_os_string();
        aside.push(".damaged");
        let (path, content) = (self.path.display(), self.kind.content);
        match fs::rename(&self.path, &aside) {
            Ok(()) => {
                self.begun_anew.fetch_add(1, Ordering::Release);
                tracing::error!(
                    "{path}: {content} can't be read: {found}; it is now {}, and a new file is begun",
                    Path::new(&aside).display()
                );
            }
            Err(error) => {
                tracing::error!("{path}: {content} can't be read, nor moved aside: {found}; {error}");
            }
        }
    }

    fn error(&self, fault: &DatabaseFault) -> DatabaseError {
        let (DatabaseFault::Damaged(detail) | DatabaseFault::Failed(detail)) = fault;
        DatabaseError { detail: format!("{}: {detail}", self.path.display()) }
    }

    fn lock(&self) -> MutexGuard<'_, FileState<A>> {
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
