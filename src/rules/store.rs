//! The embedded store: documents and compiled rules in one file, on redb.
//!
//! A write is one transaction and one sync of the disk, whatever the size of its batch. A crash at any instant
//! leaves the last whole write. A new store is built under another name and takes its own with its first write, so
//! a file of that name always is a whole store: one that can't be read is never taken for an empty one.

use std::fs::{self, File};
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redb::{Builder, Database, ReadableDatabase};

use self::fault::{damaged, failed, guarded, unopened};
use self::tables::{DOCUMENTS, FORMAT, Meta};
use self::write::{Doubt, Written};
use super::book::RuleBook;
use super::documents::{Documents, restore};
use super::error::RulesError;
use super::storage::{Commit, Pending, Storage};
use crate::policy::suffix::PublicSuffixes;
use crate::policy::widget::Widget;

mod fault;
mod load;
mod row;
mod tables;
mod write;

/// What a store is opened for: how many bytes of its pages the library keeps in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::rules) enum Use {
    /// A start and saves. Requests don't read here, and what saves read again the system has at hand.
    Edge,
    /// Documents in bulk, whose pages would be written several times.
    Bulk,
}

impl Use {
    fn builder(self) -> Builder {
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

/// The store, open: nobody else has it open meanwhile.
pub struct Store {
    path: PathBuf,
    suffixes: Arc<PublicSuffixes>,
    purpose: Use,
    handle: Mutex<Handle>,
}

struct Handle {
    /// The path, or that of a store that is being made.
    path: PathBuf,
    /// `None` after a failure, until it is opened anew.
    database: Option<Arc<Database>>,
    doubt: Option<Doubt>,
}

impl Store {
    /// Opens the store at `path` and reads the book that it holds, or begins a new one where there is none:
    /// [`Store::is_new`] until [`Store::establish`].
    pub(in crate::rules) fn open(
        path: &Path,
        suffixes: Arc<PublicSuffixes>,
        purpose: Use,
    ) -> Result<(Self, RuleBook), RulesError> {
        match fs::symlink_metadata(path) {
            Ok(_) => Self::open_existing(path, suffixes, purpose),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::create(path, suffixes, purpose),
            Err(error) => Err(RulesError::Unreadable { path: path.into(), source: error.into() }),
        }
    }

    fn open_existing(
        path: &Path,
        suffixes: Arc<PublicSuffixes>,
        purpose: Use,
    ) -> Result<(Self, RuleBook), RulesError> {
        guarded(path, || {
            let (database, mut meta) = open(path, purpose)?;
            if meta.row_format != row::ROW_FORMAT {
                tracing::info!("{}: compiling the rules anew for this version", path.display());
                load::derive(path, &database, &mut meta, &suffixes)?;
            }
            let book = load::book(path, &database, &meta)?;
            Ok((Self::over(path, path, database, suffixes, purpose), book))
        })
    }

    /// Opens the store at `path`, which must be there, for its documents alone.
    pub(in crate::rules) fn open_documents(
        path: &Path,
        suffixes: Arc<PublicSuffixes>,
    ) -> Result<Self, RulesError> {
        let (database, _) = guarded(path, || open(path, Use::Edge))?;
        Ok(Self::over(path, path, database, suffixes, Use::Edge))
    }

    fn create(
        path: &Path,
        suffixes: Arc<PublicSuffixes>,
        purpose: Use,
    ) -> Result<(Self, RuleBook), RulesError> {
        let unwritable =
            |source: io::Error| RulesError::Unreadable { path: path.into(), source: source.into() };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(unwritable)?;
        }
        let mut name = path.as_os_str().to_owned();
        name.push(".new");
        let unfinished = PathBuf::from(name);
        let create = || {
            guarded(&unfinished, || {
                purpose.builder().create(&unfinished).map_err(|error| unopened(path, error))
            })
        };
        let database = create().or_else(|error| match error {
            RulesError::StoreDamaged { .. } => {
                fs::remove_file(&unfinished).map_err(unwritable)?;
                create()
            }
            error => Err(error),
        })?;
        let meta = Meta::new();
        write::clear(&database, &meta).map_err(failed)?;
        let book = RuleBook::empty(meta.key);
        Ok((Self::over(path, &unfinished, database, suffixes, purpose), book))
    }

    fn over(path: &Path, at: &Path, database: Database, suffixes: Arc<PublicSuffixes>, purpose: Use) -> Self {
        let handle = Handle { path: at.into(), database: Some(Arc::new(database)), doubt: None };
        Self { path: path.into(), suffixes, purpose, handle: Mutex::new(handle) }
    }

    /// Whether it has no file of its name yet.
    pub(in crate::rules) fn is_new(&self) -> bool {
        self.lock().path != self.path
    }

    /// Gives a new store its name, with all that is in it.
    pub(in crate::rules) fn establish(&self) -> Result<(), RulesError> {
        let mut handle = self.lock();
        let unwritable =
            |source: io::Error| RulesError::Unreadable { path: self.path.clone(), source: source.into() };
        fs::rename(&handle.path, &self.path).map_err(unwritable)?;
        handle.path.clone_from(&self.path);
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all()).map_err(unwritable)
    }

    fn lock(&self) -> MutexGuard<'_, Handle> {
        self.handle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The open file, opened anew where it had to be given up.
    fn database(&self) -> Result<Arc<Database>, RulesError> {
        let mut handle = self.lock();
        if let Some(database) = &handle.database {
            return Ok(Arc::clone(database));
        }
        let database = handle.reopen(self.purpose)?;
        if let Some(doubt) = &handle.doubt {
            doubt.undo(&database)?;
            handle.doubt = None;
        }
        let database = Arc::new(database);
        handle.database = Some(Arc::clone(&database));
        Ok(database)
    }

    /// After an error the library refuses to go on with the handle.
    fn give_up(&self) {
        self.lock().database = None;
    }

    fn read<T>(&self, read: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, RulesError> {
        let database = self.database()?;
        read(&database).map_err(|error| {
            self.give_up();
            failed(error)
        })
    }
}

impl Handle {
    fn reopen(&self, purpose: Use) -> Result<Database, RulesError> {
        let deadline = Instant::now() + REOPEN;
        loop {
            let opened = guarded(&self.path, || {
                purpose.builder().open(&self.path).map_err(|error| unopened(&self.path, error))
            });
            match opened {
                Err(RulesError::StoreLocked { .. }) if Instant::now() < deadline => {
                    pause(Duration::from_millis(2))
                }
                opened => return opened,
            }
        }
    }
}

fn open(path: &Path, purpose: Use) -> Result<(Database, Meta), RulesError> {
    let database = purpose.builder().open(path).map_err(|error| unopened(path, error))?;
    let meta = Meta::read(&database).map_err(|error| damaged(path, error))?;
    let meta = meta.ok_or_else(|| damaged(path, "it is a database, but no store of rules"))?;
    if meta.format > FORMAT {
        return Err(RulesError::StoreNewer { path: path.into(), found: meta.format, known: FORMAT });
    }
    Ok((database, meta))
}

#[expect(
    clippy::disallowed_methods,
    reason = "publishers block, and are never called where requests are served"
)]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

impl Documents for Store {
    fn get(&self, id: &str) -> Result<Option<Widget>, RulesError> {
        let found = self.read(|database| {
            let found = database.begin_read()?.open_table(DOCUMENTS)?.get(id)?;
            Ok(found.map(|found| (found.value().0, found.value().1.to_vec())))
        })?;
        found.map(|(revision, json)| restore(&json, revision, &self.suffixes)).transpose()
    }

    fn page(&self, after: Option<&str>, limit: usize) -> Result<Vec<Widget>, RulesError> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let found = self.read(|database| {
            let table = database.begin_read()?.open_table(DOCUMENTS)?;
            let mut found = Vec::new();
            for row in table.range::<&str>((from, Bound::Unbounded))?.take(limit) {
                let (_, row) = row?;
                found.push((row.value().0, row.value().1.to_vec()));
            }
            Ok(found)
        })?;
        found.into_iter().map(|(revision, json)| restore(&json, revision, &self.suffixes)).collect()
    }
}

impl Storage for Store {
    fn documents(&self) -> &dyn Documents {
        self
    }

    fn prepare<'a>(&'a self, commit: &'a Commit) -> Result<Box<dyn Pending + 'a>, RulesError> {
        let database = self.database()?;
        match Written::write(self, &database, commit) {
            Ok(written) => Ok(Box::new(written)),
            Err(error) => {
                drop(database);
                self.give_up();
                Err(failed(error))
            }
        }
    }
}

#[cfg(test)]
mod tests;
