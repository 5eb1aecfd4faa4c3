//! `[rules]`.

use crate::config::scalar;
use crate::config::settings::{NatsSettings, RuleSource, RulesSettings, StoreSettings};
use crate::config::table::{Table, distinct};
use crate::config::unavailable;

const STORE: &str = "data/rules.redb";
const FILE: &str = "conf/widgets.json";
const SOURCES: [(&str, RuleSource); 3] =
    [("store", RuleSource::Store), ("file", RuleSource::File), ("nats", RuleSource::Nats)];

pub(super) fn read(table: &Table<'_>) -> RulesSettings {
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

fn source(table: &Table<'_>) -> RuleSource {
    let Some(item) = table.item("source") else { return RuleSource::Store };
    let spot = item.spot();
    let source = item.choice(&SOURCES).unwrap_or(RuleSource::Store);
    if let Some(detail) = unavailable::source(source) {
        table.fault(spot, detail);
    }
    source
}

fn servers(table: &Table<'_>) -> Vec<String> {
    let Some(item) = table.item("servers") else { return vec!["nats://127.0.0.1:4222".into()] };
    let servers = item.some_texts("[\"nats://127.0.0.1:4222\"]", server).unwrap_or_default();
    distinct(table.document(), servers)
}

fn server(text: &str) -> Result<String, String> {
    match text.split_once("://") {
        Some(("nats" | "tls" | "ws" | "wss", rest)) if !rest.is_empty() => Ok(text.into()),
        Some((scheme, rest)) if !rest.is_empty() => {
            Err(format!("'{scheme}' is no scheme of NATS; write \"nats://{rest}\" or \"tls://{rest}\""))
        }
        _ => Err(format!("'{text}' is no URL; write it such as \"nats://127.0.0.1:4222\"")),
    }
}

fn bucket(text: &str) -> Result<String, String> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if text.is_empty() || !text.bytes().all(is_allowed) {
        return Err(format!("'{text}' is no bucket name; letters, digits, '-' and '_' make one"));
    }
    Ok(text.into())
}
