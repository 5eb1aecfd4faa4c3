//! Resolver of `[rules]`.

use std::path::{Path, PathBuf};

use crate::config::scalar;
use crate::config::table::ConfigTable;

pub mod nats;

use nats::NatsSettings;

/// Settings of the rules and their source. The tables of other sources may be there, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulesSettings {
    /// The source in use.
    pub source: SourceSetting,
    /// `rules.store`.
    pub store: StoreSettings,
    /// `rules.file.path`: a file or a folder of `.json` files, watched. Default: `conf/widgets.json`.
    pub file: PathBuf,
    /// `rules.nats`.
    pub nats: NatsSettings,
}

/// Kind of rule source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceSetting {
    /// The embedded store, written through the admin listener.
    Store,
    /// A watched file or folder.
    File,
    /// A JetStream key-value bucket.
    Nats,
}

/// Settings of the embedded store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// The store's file. Default: `data/rules.redb`.
    pub path: PathBuf,
    /// The rules file that fills a new store at the first start. Default: `conf/widgets.json`.
    pub seed: PathBuf,
}

/// File with its key, or with what it is.
pub type NamedFile<'s> = (&'static str, &'s Path);

impl RulesSettings {
    /// The store in which an edge keeps its rules: its own, or its copy of the fleet's. `None`: it keeps none.
    pub fn kept(&self) -> Option<NamedFile<'_>> {
        match self.source {
            SourceSetting::Store => Some(("rules.store.path", &self.store.path)),
            SourceSetting::Nats => Some(("rules.nats.cache", &self.nats.cache)),
            SourceSetting::File => None,
        }
    }

    /// The store of an edge that shares its rules with nobody.
    pub fn own_store(&self) -> Option<NamedFile<'_>> {
        self.kept().filter(|_| !self.is_shared())
    }

    /// Whether other edges have the same rules.
    pub fn is_shared(&self) -> bool {
        self.source == SourceSetting::Nats
    }

    /// The files that nothing else may be in: those in which the rules are or come from.
    pub fn own_files(&self) -> Vec<NamedFile<'_>> {
        let more: NamedFile<'_> = match self.source {
            SourceSetting::Store => ("rules.store.seed", &self.store.seed),
            SourceSetting::File => ("rules.file.path", &self.file),
            SourceSetting::Nats => return self.kept().into_iter().collect(),
        };
        self.kept().into_iter().chain([more]).collect()
    }

    /// The files of all sources, whatever source is in use, each with what it is.
    pub fn files_of_all(&self) -> Vec<NamedFile<'_>> {
        let of_nats = self.nats.files().into_iter();
        let own: [NamedFile<'_>; 4] = [
            ("the store itself", &self.store.path),
            ("this edge's copy of its fleet's rules", &self.nats.cache),
            ("the rules file", &self.file),
            ("the rules file that fills a new store", &self.store.seed),
        ];
        own.into_iter().chain(of_nats.map(|(_, path)| ("a file of the connection to NATS", path))).collect()
    }

    /// The files that are only read, of which several may be one, but none the store.
    pub fn read_files(&self) -> Vec<NamedFile<'_>> {
        match self.source {
            SourceSetting::Store | SourceSetting::File => Vec::new(),
            // Another edge of this machine may have this store.
            SourceSetting::Nats => self
                .nats
                .files()
                .into_iter()
                .chain([("rules.store.path", self.store.path.as_path())])
                .collect(),
        }
    }
}

const STORE: &str = "data/rules.redb";
const FILE: &str = "conf/widgets.json";
const SOURCES: [(&str, SourceSetting); 3] =
    [("store", SourceSetting::Store), ("file", SourceSetting::File), ("nats", SourceSetting::Nats)];

pub(super) fn read(table: &ConfigTable<'_>) -> RulesSettings {
    let store = table.table("store", |table| StoreSettings {
        path: table.or("path", |item| item.text(scalar::path), STORE.into()),
        seed: table.or("seed", |item| item.text(scalar::path), FILE.into()),
    });
    RulesSettings {
        source: source(table),
        file: table.table("file", |table| table.or("path", |item| item.text(scalar::path), FILE.into())),
        nats: table.table("nats", |table| nats::read(table, &store.path)),
        store,
    }
}

fn source(table: &ConfigTable<'_>) -> SourceSetting {
    table.or("source", |item| item.choice(&SOURCES), SourceSetting::Store)
}
