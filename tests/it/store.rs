//! The embedded store on real disks: what was answered is there, whatever happens to the process or the disk.

mod bulk;
mod changes;
mod copies;
mod damaged;
mod full_disk;
mod killed;
mod living;
mod lost;
mod never_open;
mod orders;
mod refused;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use embedgate::rules::change::{Actor, ApplyOptions, Change};
use embedgate::rules::error::{RulesError, SaveError, StoreError};
use embedgate::rules::live::LiveRules;
use embedgate::rules::publisher::{Published, Publisher};
use embedgate::rules::source::store::StoreSource;
use embedgate::rules::source::{RuleSource, SourceKind};

use embedgate_policy::suffix::PublicSuffixes;
use embedgate_policy::widget::{Widget, WidgetId};

fn open(path: &Path) -> Result<Publisher, StoreError> {
    let publisher = Publisher::new(LiveRules::new(), SourceKind::STORE, path.display().to_string());
    StoreSource::new(path, "no seed").open_bulk(publisher, Arc::new(PublicSuffixes::shipped().clone()))
}

fn suffixes() -> Arc<PublicSuffixes> {
    Arc::new(PublicSuffixes::shipped().clone())
}

fn source(path: &Path) -> StoreSource {
    StoreSource::new(path, "no seed")
}

/// As an edge does it.
fn start(path: &Path) -> Result<Arc<Publisher>, RulesError> {
    let publisher = Publisher::new(LiveRules::new(), SourceKind::STORE, path.display().to_string());
    source(path).start(publisher, suffixes()).map(|started| started.publisher)
}

/// Saved, however many widgets it is about.
fn save(publisher: &Publisher, changes: Vec<Change>) -> Result<Published, SaveError> {
    publisher.apply_confirmed(changes, ApplyOptions::default(), Some(usize::MAX), Actor::CommandLine)
}

fn put(json: &str) -> Change {
    Change::put(Widget::parse(json.as_bytes(), PublicSuffixes::shipped()).expect(json))
}

fn delete(id: &str) -> Change {
    Change::delete(WidgetId::parse(id).unwrap(), None)
}

/// The revision of a widget, or of its deletion; 0 where it was never heard of.
fn revision(publisher: &Publisher, id: &str) -> u64 {
    let book = publisher.live().load();
    let stored = book.get(id).map(|rules| rules.revision);
    stored.or_else(|| book.tombstone(id).map(|tombstone| tombstone.revision)).unwrap_or(0)
}

/// A folder with a place for a store.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn store(&self) -> PathBuf {
        self.0.path().join("rules.redb")
    }

    fn open(&self) -> Publisher {
        open(&self.store()).unwrap()
    }
}
