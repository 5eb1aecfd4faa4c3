//! The embedded store on real disks: what was answered is there, whatever happens to the process or the disk.

mod bulk;
mod changes;
mod full_disk;
mod killed;
mod lost;
mod never_open;
mod orders;
mod refused;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use embedgate::rules::change::{Actor, ApplyOptions, Change};
use embedgate::rules::error::{SaveError, StoreError};
use embedgate::rules::live::LiveRules;
use embedgate::rules::publisher::{Published, Publisher};
use embedgate::rules::source::SourceKind;
use embedgate::rules::source::store::StoreSource;

use embedgate_policy::suffix::PublicSuffixes;
use embedgate_policy::widget::{Widget, WidgetId};

fn open(path: &Path) -> Result<Publisher, StoreError> {
    let publisher = Publisher::new(LiveRules::new(), SourceKind::STORE, path.display().to_string());
    StoreSource::new(path, "no seed").open_bulk(publisher, Arc::new(PublicSuffixes::shipped().clone()))
}

fn save(publisher: &Publisher, changes: Vec<Change>) -> Result<Published, SaveError> {
    publisher.apply(changes, ApplyOptions::default(), Actor::CommandLine)
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
