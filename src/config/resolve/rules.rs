//! Resolver of `[rules]`.

use std::path::PathBuf;

use crate::config::scalar;
use crate::config::table::{ConfigTable, distinct};
use crate::config::unavailable;

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

/// Settings of the NATS source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatsSettings {
    /// Servers to try, as URLs. Default: `nats://127.0.0.1:4222`.
    pub servers: Vec<String>,
    /// The key-value bucket. Default: `embedgate-widgets`.
    pub bucket: String,
    /// The local store of applied rules. Default: `data/rules.redb`.
    pub cache: PathBuf,
}

const STORE: &str = "data/rules.redb";
const FILE: &str = "conf/widgets.json";
const SOURCES: [(&str, SourceSetting); 3] =
    [("store", SourceSetting::Store), ("file", SourceSetting::File), ("nats", SourceSetting::Nats)];

pub(super) fn read(table: &ConfigTable<'_>) -> RulesSettings {
    RulesSettings {
        source: source(table),
        store: table.table("store", |table| StoreSettings {
            path: table.or("path", |item| item.text(scalar::path), STORE.into()),
            seed: table.or("seed", |item| item.text(scalar::path), FILE.into()),
        }),
        file: table.table("file", |table| table.or("path", |item| item.text(scalar::path), FILE.into())),
        nats: table.table("nats", |table| NatsSettings {
            servers: servers(table),
            bucket: table.or("bucket", |item| item.text(bucket), "embedgate-widgets".into()),
            cache: table.or("cache", |item| item.text(scalar::path), STORE.into()),
        }),
    }
}

fn source(table: &ConfigTable<'_>) -> SourceSetting {
    let Some(item) = table.item("source") else { return SourceSetting::Store };
    let spot = item.spot();
    let source = item.choice(&SOURCES).unwrap_or(SourceSetting::Store);
    if let Some(detail) = unavailable::source(source) {
        table.fault(spot, detail);
    }
    source
}

fn servers(table: &ConfigTable<'_>) -> Vec<String> {
    let Some(item) = table.item("servers") else { return vec!["nats://127.0.0.1:4222".into()] };
    let servers = item.some_texts("[\"nats://127.0.0.1:4222\"]", server).unwrap_or_default();
    distinct(table.document(), servers)
}

fn server(text: &str) -> Result<String, String> {
    match text.split_once("://") {
        Some(("nats" | "tls" | "ws" | "wss", rest)) if !rest.is_empty() => Ok(text.into()),
        Some((scheme, rest)) if !rest.is_empty() => {
            Err(format!("'{scheme}' is not a NATS scheme; write \"nats://{rest}\" or \"tls://{rest}\""))
        }
        _ => Err(format!("'{text}' is not a URL; write it like \"nats://127.0.0.1:4222\"")),
    }
}

fn bucket(text: &str) -> Result<String, String> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if text.is_empty() || !text.bytes().all(is_allowed) {
        return Err(format!("'{text}' is not a bucket name; use letters, digits, '-' and '_'"));
    }
    Ok(text.into())
}
