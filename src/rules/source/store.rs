//! Rules in the embedded store, written through the control plane.

use std::path::Path;
use std::sync::Arc;

use super::SourceKind;
use super::file::FileSource;
use crate::policy::suffix::PublicSuffixes;
use crate::policy::widget::Widget;
use crate::rules::change::{Actor, ApplyOptions, Change};
use crate::rules::documents::Documents;
use crate::rules::error::RulesError;
use crate::rules::publisher::Publisher;
use crate::rules::store::{Store, Use};

/// Puts the rules of the store at `path` in force, and keeps in it what `publisher` writes from now on. Where there
/// is no store, one is made of the rules file `seed`; where there is no such file either, an empty one.
///
/// Fails where the store is damaged, newer than this version or in use by another process, and where a seed has
/// faults: nothing is in force then.
pub fn start(
    publisher: Publisher,
    path: &Path,
    seed: &Path,
    suffixes: Arc<PublicSuffixes>,
) -> Result<Publisher, RulesError> {
    open(publisher, path, Use::Edge, Arc::clone(&suffixes), || seed_documents(path, seed, &suffixes))
}

/// The same without a seed and made for documents in bulk: for tools, while no edge has the store open.
pub fn start_unseeded(
    publisher: Publisher,
    path: &Path,
    suffixes: Arc<PublicSuffixes>,
) -> Result<Publisher, RulesError> {
    open(publisher, path, Use::Bulk, suffixes, || Ok(Vec::new()))
}

fn open(
    publisher: Publisher,
    path: &Path,
    purpose: Use,
    suffixes: Arc<PublicSuffixes>,
    seed: impl FnOnce() -> Result<Vec<Widget>, RulesError>,
) -> Result<Publisher, RulesError> {
    let (store, book) = Store::open(path, suffixes, purpose)?;
    if !store.is_new() {
        return Ok(publisher.with_store(Arc::new(store), book));
    }
    let documents = seed()?;
    let store = Arc::new(store);
    let publisher = publisher.with_store(Arc::clone(&store), book);
    if !documents.is_empty() {
        let changes = documents.into_iter().map(Change::put).collect();
        publisher.apply(changes, ApplyOptions::default(), Actor::Source(SourceKind::Store))?;
    }
    store.establish()?;
    Ok(publisher)
}

/// The documents of the store at `path`, for tools, while no edge has it open.
pub fn documents(path: &Path, suffixes: Arc<PublicSuffixes>) -> Result<impl Documents, RulesError> {
    Store::open_documents(path, suffixes)
}

/// The documents that a start would find, read without changing anything: those of the store, or those of the seed
/// where there is no store yet.
pub fn load_once(
    path: &Path,
    seed: &Path,
    suffixes: &Arc<PublicSuffixes>,
) -> Result<Vec<Widget>, RulesError> {
    match path.try_exists() {
        Ok(false) => seed_documents(path, seed, suffixes),
        Ok(true) => documents(path, Arc::clone(suffixes))?.page(None, usize::MAX),
        Err(error) => Err(RulesError::Unreadable { path: path.into(), source: error.into() }),
    }
}

fn seed_documents(path: &Path, seed: &Path, suffixes: &PublicSuffixes) -> Result<Vec<Widget>, RulesError> {
    if let Ok(false) = seed.try_exists() {
        tracing::warn!("{}: a new store without widgets, as {} is not there", path.display(), seed.display());
        return Ok(Vec::new());
    }
    let documents = FileSource::load_once(seed, suffixes)?;
    tracing::info!("{}: a new store, with {} widgets of {}", path.display(), documents.len(), seed.display());
    Ok(documents)
}
