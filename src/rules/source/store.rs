//! Rules in the embedded store, written through the control plane.

use std::iter;
use std::path::PathBuf;
use std::sync::Arc;

use super::file::FileSource;
use super::{DocumentPages, RuleSource, SourceKind, StartedSource};
use crate::rules::change::{Actor, ApplyOptions, Change};
use crate::rules::documents::Documents;
use crate::rules::error::{RulesError, SourceError, StoreError};
use crate::rules::publisher::Publisher;
use crate::rules::storage::redb::{RuleStore, StoreUse};
use embedgate_policy::suffix::PublicSuffixes;
use embedgate_policy::widget::{Widget, WidgetId};

/// Documents in memory at once, when all are read.
const PAGE: usize = 1000;

/// Embedded store as a source of rules. A start makes a new store from the rules file `seed` where there is none, and
/// an empty one where there is no such file either.
pub struct StoreSource {
    path: PathBuf,
    seed: PathBuf,
}

impl StoreSource {
    /// The store at this path, with this seed.
    pub fn new(path: impl Into<PathBuf>, seed: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), seed: seed.into() }
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
        let (store, book) = RuleStore::open(&self.path, suffixes, StoreUse::Bulk)?;
        let store = Arc::new(store);
        let publisher = publisher.with_storage(Arc::<RuleStore>::clone(&store), book);
        if store.is_new() {
            store.establish()?;
        }
        Ok(publisher)
    }

    fn seed_documents(&self, suffixes: &PublicSuffixes) -> Result<Vec<Widget>, SourceError> {
        let (path, seed) = (self.path.display(), self.seed.display());
        if let Ok(false) = self.seed.try_exists() {
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
        let (store, book) = RuleStore::open(&self.path, Arc::clone(&suffixes), StoreUse::Edge)?;
        let store = Arc::new(store);
        // Before anything is in force: a seed may have faults.
        let documents = if store.is_new() { Some(self.seed_documents(&suffixes)?) } else { None };
        let publisher = publisher.with_storage(Arc::<RuleStore>::clone(&store), book);
        if let Some(documents) = documents {
            if !documents.is_empty() {
                let changes = documents.into_iter().map(Change::put).collect();
                publisher.apply(changes, ApplyOptions::default(), Actor::Source(SourceKind::STORE))?;
            }
            store.establish()?;
        }
        Ok(StartedSource { publisher: Arc::new(publisher), follower: None })
    }

    fn documents(&self, suffixes: Arc<PublicSuffixes>) -> Result<DocumentPages, RulesError> {
        match self.path.try_exists() {
            Ok(false) => Ok(Box::new(iter::once(Ok(self.seed_documents(&suffixes)?)))),
            Ok(true) => Ok(Box::new(pages(RuleStore::open_documents(&self.path, suffixes)?))),
            Err(error) => {
                Err(StoreError::Unreadable { path: self.path.clone(), source: error.into() }.into())
            }
        }
    }

    fn open_offline(
        &self,
        publisher: Publisher,
        suffixes: Arc<PublicSuffixes>,
    ) -> Result<Option<Publisher>, StoreError> {
        self.open_bulk(publisher, suffixes).map(Some)
    }
}

/// All documents, in the order of their ids.
fn pages(documents: impl Documents) -> impl Iterator<Item = Result<Vec<Widget>, StoreError>> {
    let mut next = Some(None::<WidgetId>);
    iter::from_fn(move || {
        let after = next.take()?;
        let page = documents.page(after.as_ref().map(WidgetId::as_str), PAGE);
        next = page.as_ref().ok().and_then(|page| page.last()).map(|last| Some(last.id.clone()));
        Some(page)
    })
}
