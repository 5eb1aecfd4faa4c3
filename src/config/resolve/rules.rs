//! Resolver of `[rules]`.

use std::path::PathBuf;

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
