//! Copies of a store while no edge has it open: made, looked at, and put back.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use super::missing::MissingChanges;
use super::{StoreSource, pages, unreadable};
use crate::rules::error::{RestoreError, StoreError};
use crate::rules::storage::Storage;
use crate::rules::storage::redb::{Reading, RuleStore, StoreLock, StoreUse};
use embedgate_policy::suffix::PublicSuffixes;

/// Mode of a store that is put where none was.
const PRIVATE_MODE: u32 = 0o600;

/// Facts of a store that was read whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct StoreFacts {
    /// How many widgets it has.
    pub widgets: usize,
    /// Its generation.
    pub generation: u64,
    /// How large its file is.
    pub bytes: u64,
}

impl StoreFacts {
    /// Reads the store at this path whole, with every document. Its file may be written to, as at a start.
    ///
    /// # Errors
    ///
    /// It is no store, damaged, newer than this version or in use.
    pub fn read(path: &Path, suffixes: Arc<PublicSuffixes>) -> Result<Self, StoreError> {
        let (store, book) = RuleStore::open_existing(path, suffixes, StoreUse::Edge, Reading::Whole)?;
        for page in pages(store) {
            page?;
        }
        let bytes = fs::metadata(path).map_err(|error| unreadable(path, error))?.len();
        Ok(Self { widgets: book.len(), generation: book.generation(), bytes })
    }
}

/// Store that was put back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RestoredStore {
    /// Its path.
    pub store: PathBuf,
    /// What it has.
    #[serde(flatten)]
    pub facts: StoreFacts,
    /// Where the store is kept that was there before; `None` if there was none.
    pub kept: Option<PathBuf>,
    /// What the audit log has beyond it.
    pub missing: Option<MissingChanges>,
}

impl StoreSource {
    /// Writes a copy of the store to `to`, while no edge has it open, in place of what is there.
    ///
    /// # Errors
    ///
    /// There is no store, it is damaged, newer than this version or in use, or the copy can't be written.
    pub fn backup(&self, suffixes: Arc<PublicSuffixes>, to: &Path) -> Result<StoreFacts, StoreError> {
        if !self.is_there()? {
            return Err(unreadable(&self.path, ErrorKind::NotFound.into()));
        }
        let suffixes_of_copy = Arc::clone(&suffixes);
        let (store, _) = RuleStore::open_existing(&self.path, suffixes, StoreUse::Edge, Reading::Whole)?;
        // It takes the name once it has been read: a good copy may be there.
        let unread = with_suffix(to, ".unread");
        let copied = store.backup(&unread).and_then(|()| {
            let facts = StoreFacts::read(&unread, suffixes_of_copy)?;
            let synced = File::open(&unread).and_then(|file| file.sync_all());
            let named = synced.and_then(|()| fs::rename(&unread, to)).and_then(|()| sync_folder(to));
            named.map_err(|error| unreadable(to, error))?;
            Ok(facts)
        });
        if copied.is_err() {
            let _ = fs::remove_file(&unread);
        }
        copied
    }

    /// Puts a copy of the store back, once it has been read whole. The store that is there is kept beside it, under a name
    /// with this time, whatever state it is in. No edge may run; whoever calls this has looked.
    ///
    /// # Errors
    ///
    /// A process has the store open, the copy is not whole, or a file can't be written. The store is as it was then.
    pub fn restore(
        &self,
        suffixes: Arc<PublicSuffixes>,
        from: &Path,
        at: Timestamp,
    ) -> Result<RestoredStore, RestoreError> {
        self.has_file()?;
        // A link stays one.
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        if is_same_file(from, &path) {
            return Err(RestoreError::Itself { path: from.into() });
        }
        // Until the end, so that no edge starts with what is replaced.
        let lock = StoreLock::take(&path)?;
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|error| file(&path, error))?;
        }
        let arriving = with_suffix(&path, ".restoring");
        let restored = arrive(&path, &arriving, suffixes, from).and_then(|facts| {
            let kept = lock.as_ref().map(|_| keep(&path, at)).transpose()?;
            fs::rename(&arriving, &path)
                .and_then(|()| sync_folder(&path))
                .map_err(|error| file(&path, error))?;
            Ok((facts, kept))
        });
        if restored.is_err() {
            let _ = fs::remove_file(&arriving);
        }
        let (facts, kept) = restored?;
        let missing = MissingChanges::of(self.audit.as_deref(), facts.generation);
        Ok(RestoredStore { store: self.path.clone(), facts, kept, missing })
    }
}

/// Copies the file beside the store, and reads the copy whole.
fn arrive(
    path: &Path,
    arriving: &Path,
    suffixes: Arc<PublicSuffixes>,
    from: &Path,
) -> Result<StoreFacts, RestoreError> {
    let mut source = File::open(from).map_err(|error| file(from, error))?;
    if !source.metadata().map_err(|error| file(from, error))?.is_file() {
        return Err(RestoreError::NotWhole { path: from.into(), detail: "it is no file".into() });
    }
    // One that a process has left that was killed.
    let _ = fs::remove_file(arriving);
    let mut copy = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(PRIVATE_MODE)
        .open(arriving)
        .map_err(|error| file(arriving, error))?;
    io::copy(&mut source, &mut copy).map_err(|error| file(arriving, error))?;
    let facts = StoreFacts::read(arriving, suffixes).map_err(|error| match error.finding() {
        Some(detail) => RestoreError::NotWhole { path: from.into(), detail: detail.into() },
        None => RestoreError::Store(error),
    })?;
    belong_like(path, arriving).and_then(|()| copy.sync_all()).map_err(|error| file(arriving, error))?;
    Ok(facts)
}

/// Gives the new file the owner and the mode of the one that it replaces, or the owner of the folder: whoever runs the
/// edge has to be able to write to it.
fn belong_like(path: &Path, arriving: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (model, mode) = match fs::metadata(path) {
        Ok(present) => (present.clone(), present.mode() & 0o777),
        Err(_) => (fs::metadata(folder)?, PRIVATE_MODE),
    };
    let own = fs::metadata(arriving)?;
    if (own.uid(), own.gid()) != (model.uid(), model.gid()) {
        chown(arriving, Some(model.uid()), Some(model.gid()))?;
    }
    fs::set_permissions(arriving, fs::Permissions::from_mode(mode))
}

/// Gives the store a second name, with the time. It keeps its own until another takes it.
fn keep(path: &Path, at: Timestamp) -> Result<PathBuf, RestoreError> {
    let name = format!(".before-restore-{}", at.strftime("%Y%m%dT%H%M%SZ"));
    let mut kept = with_suffix(path, &name);
    for number in 2.. {
        match fs::hard_link(path, &kept) {
            Ok(()) => break,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                kept = with_suffix(path, &format!("{name}-{number}"));
            }
            // A file system without links. For an instant there is no store under its name.
            Err(_) => {
                return fs::rename(path, &kept).map(|()| kept.clone()).map_err(|error| file(&kept, error));
            }
        }
    }
    Ok(kept)
}

/// Whether two paths are of one file.
pub fn is_same_file(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    identity(one).is_some_and(|one| Some(one) == identity(other))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A new name has to survive a power cut, too.
fn sync_folder(of: &Path) -> io::Result<()> {
    let folder = of.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn file(path: &Path, source: io::Error) -> RestoreError {
    RestoreError::File { path: path.into(), source }
}
