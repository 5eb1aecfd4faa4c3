//! Rules in the embedded store, written through the control plane.

use std::fs;
use std::io::ErrorKind;
use std::iter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::FileSource;
use super::{DocumentPages, RuleSource, SourceKind, StartedSource};
use crate::rules::audit::FileAuditLog;
use crate::rules::change::{Actor, ApplyOptions, Change};
use crate::rules::documents::Documents;
use crate::rules::error::{RulesError, SourceError, StoreError};
use crate::rules::publisher::Publisher;
use crate::rules::storage::redb::{Reading, RuleStore, StoreUse, unfinished};
use embedgate_policy::suffix::PublicSuffixes;
use embedgate_policy::widget::{Widget, WidgetId};

mod copies;
mod missing;

pub use self::copies::{RestoredStore, StoreFacts, is_same_file};
pub use self::missing::MissingChanges;

/// Documents in memory at once, when all are read.
const PAGE: usize = 1000;

/// What is done where there is no store although an audit log tells of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LostStore {
    /// Nothing: an edge that begins anew has forgotten what was saved.
    Refused,
    /// A new one is made, as at a first start.
    MadeAnew,
}

/// Embedded store as a source of rules. A start makes a new store from the rules file `seed` where there is none, and
/// an empty one where there is no such file either.
pub struct StoreSource {
    path: PathBuf,
    seed: PathBuf,
    /// Where somebody named the seed, which then has to be there.
    seed_place: Option<String>,
    /// The audit log of its changes, which shows that there was a store.
    audit: Option<PathBuf>,
    lost: LostStore,
    reading: Reading,
}

impl StoreSource {
    /// The store at this path, with this seed.
    pub fn new(path: impl Into<PathBuf>, seed: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            seed: seed.into(),
            seed_place: None,
            audit: None,
            lost: LostStore::Refused,
            reading: Reading::Whole,
        }
    }

    /// The same, which another process has had open until now. A start takes over quickly, as saves wait, and doesn't
    /// read the whole store again.
    #[must_use]
    pub fn handed_over(self) -> Self {
        Self { reading: Reading::RulesAlone, ..self }
    }

    /// The same, whose seed somebody named at this place of the configuration: one that is missing is an error.
    #[must_use]
    pub fn with_seed_named_at(self, place: Option<String>) -> Self {
        Self { seed_place: place, ..self }
    }

    /// The same, whose changes are in this audit log: a store that is missing beside it is lost, unless its first
    /// start was cut off.
    #[must_use]
    pub fn with_audit_log(self, audit: impl Into<PathBuf>, lost: LostStore) -> Self {
        Self { audit: Some(audit.into()), lost, ..self }
    }

    /// Opens the store for documents in bulk and puts its rules in force, without a seed: for tools, while no edge has
    /// the store open. Makes an empty store where there is none.
    ///
    /// # Errors
    ///
    /// Where the store can't be opened, or is damaged, newer than this version or in use by another process.
    pub fn open_bulk(
        &self,
        publisher: Publisher,
        suffixes: Arc<PublicSuffixes>,
    ) -> Result<Publisher, StoreError> {
        let publisher = self.open_unnamed(publisher, suffixes)?;
        publisher.establish()?;
        Ok(publisher)
    }

    /// The same, of which a store that is new has no name yet.
    fn open_unnamed(
        &self,
        publisher: Publisher,
        suffixes: Arc<PublicSuffixes>,
    ) -> Result<Publisher, StoreError> {
        self.is_there()?;
        let (store, book) = RuleStore::open(&self.path, suffixes, StoreUse::Bulk, Reading::Whole)?;
        Ok(publisher.with_storage(Arc::new(store), book))
    }

    /// Whether there is a store; an error where there was one.
    fn is_there(&self) -> Result<bool, StoreError> {
        if self.has_file()? {
            return Ok(true);
        }
        let may_begin = self.lost == LostStore::MadeAnew || unfinished(&self.path).exists();
        let Some(audit) = self.audit.as_ref().filter(|_| !may_begin) else { return Ok(false) };
        match FileAuditLog::has_changes_of(audit, SourceKind::STORE) {
            Ok(false) => Ok(false),
            Ok(true) => Err(StoreError::Missing { path: self.path.clone(), audit: audit.clone() }),
            Err(error) => Err(unreadable(audit, error)),
        }
    }

    /// Whether there is a file of the store's name; an error where there is something else.
    fn has_file(&self) -> Result<bool, StoreError> {
        match fs::symlink_metadata(&self.path) {
            Ok(found) if found.is_symlink() && !self.path.exists() => {
                let nowhere =
                    std::io::Error::new(ErrorKind::NotFound, "this is a link to a file that is not there");
                Err(unreadable(&self.path, nowhere))
            }
            Ok(found) if found.is_dir() => {
                let folder = "this is a folder; rules.store.path names the file of the store";
                Err(unreadable(&self.path, std::io::Error::new(ErrorKind::IsADirectory, folder)))
            }
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(unreadable(&self.path, error)),
        }
    }

    fn seed_documents(&self, suffixes: &PublicSuffixes) -> Result<Vec<Widget>, SourceError> {
        let (path, seed) = (self.path.display(), self.seed.display());
        if let Ok(false) = self.seed.try_exists() {
            if let Some(place) = &self.seed_place {
                return Err(SourceError::NoSeed { place: place.clone(), path: self.seed.clone() });
            }
            tracing::warn!("{path}: a new store without widgets, as {seed} is not there");
            return Ok(Vec::new());
        }
        let documents = FileSource::new(&self.seed).read(suffixes)?;
        tracing::info!("{path}: a new store, with {} widgets of {seed}", documents.len());
        Ok(documents)
    }
}

impl RuleSource for StoreSource {
    fn kind(&self) -> SourceKind {
        SourceKind::STORE
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn location(&self) -> String {
        if self.path.exists() { &self.path } else { &self.seed }.display().to_string()
    }

    fn start(
        &self,
        publisher: Publisher,
        suffixes: Arc<PublicSuffixes>,
    ) -> Result<StartedSource, RulesError> {
        if self.is_there()? && self.lost == LostStore::MadeAnew {
            let path = self.path.display();
            tracing::warn!(
                "{path}: the store is there, so --new-store has no effect: leave it out, so that a start says when the store is lost"
            );
        }
        let (store, book) = RuleStore::open(&self.path, Arc::clone(&suffixes), StoreUse::Edge, self.reading)?;
        let store = Arc::new(store);
        if !store.is_new()
            && let Some(missing) = MissingChanges::of(self.audit.as_deref(), book.generation())
        {
            tracing::warn!("{}", missing.warning(&self.path));
        }
        // Before anything is in force: a seed may have faults.
        let documents = if store.is_new() { Some(self.seed_documents(&suffixes)?) } else { None };
        let publisher = publisher.with_storage(store, book);
        if let Some(documents) = documents {
            if !documents.is_empty() {
                let changes = documents.into_iter().map(Change::put).collect();
                publisher.apply(changes, ApplyOptions::default(), Actor::Source(SourceKind::STORE))?;
            }
            publisher.establish()?;
        }
        Ok(StartedSource { publisher: Arc::new(publisher), follower: None, file: None, fleet: None })
    }

    fn documents(&self, suffixes: Arc<PublicSuffixes>) -> Result<DocumentPages, RulesError> {
        match self.is_there()? {
            false => Ok(Box::new(iter::once(Ok(self.seed_documents(&suffixes)?)))),
            // As a start reads it, so that neither finds what the other misses.
            true => {
                let opened = RuleStore::open_existing(&self.path, suffixes, StoreUse::Edge, Reading::Whole);
                Ok(Box::new(pages(opened?.0)))
            }
        }
    }

    fn concerns(&self) -> Vec<String> {
        let generation = RuleStore::generation_of(&self.path).ok();
        let missing = generation.and_then(|generation| MissingChanges::of(self.audit.as_deref(), generation));
        missing.iter().map(|missing| missing.warning(&self.path)).collect()
    }

    fn open_offline(
        &self,
        publisher: Publisher,
        suffixes: Arc<PublicSuffixes>,
    ) -> Result<Option<Publisher>, StoreError> {
        self.open_unnamed(publisher, suffixes).map(Some)
    }
}

fn unreadable(path: &Path, source: std::io::Error) -> StoreError {
    StoreError::Unreadable { path: path.into(), source: source.into() }
}

/// All documents, in the order of their ids.
pub(super) fn pages(documents: impl Documents) -> impl Iterator<Item = Result<Vec<Widget>, StoreError>> {
    let mut next = Some(None::<WidgetId>);
    iter::from_fn(move || {
        let after = next.take()?;
        let page = documents.page(after.as_ref().map(WidgetId::as_str), PAGE);
        next = page.as_ref().ok().and_then(|page| page.last()).map(|last| Some(last.id.clone()));
        Some(page)
    })
}
