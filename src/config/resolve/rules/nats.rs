//! Resolver of `[rules.nats]`.

use std::path::{Path, PathBuf};

use crate::config::resolve::edge::{CertificateFiles, certificate};
use crate::config::scalar;
use crate::config::table::{ConfigTable, distinct};

/// Settings of the NATS source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatsSettings {
    /// Servers to try, as URLs. Default: `nats://127.0.0.1:4222`.
    pub servers: Vec<String>,
    /// The key-value bucket. Default: `embedgate-widgets`.
    pub bucket: String,
    /// The local store of applied rules. Default: `data/fleet.redb`. Never the path of `rules.store`.
    pub cache: PathBuf,
    /// TLS toward the servers. Default: as the URLs say, with the system's authorities.
    pub tls: Option<NatsTlsSettings>,
    /// The file of a NATS user's credentials (JWT and seed). Default: none.
    pub credentials: Option<PathBuf>,
    /// The name of this edge in the fleet. Default: the host's name.
    pub edge: Option<String>,
}

/// TLS settings of the NATS source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatsTlsSettings {
    /// The authorities that the servers' certificates are from, a PEM file. Default: the system's.
    pub ca: Option<PathBuf>,
    /// The edge's own certificate. Default: none.
    pub certificate: Option<CertificateFiles>,
}

const SERVER: &str = "nats://127.0.0.1:4222";
const CACHE: &str = "data/fleet.redb";

/// Longest name of an edge, in bytes.
const LONGEST_NAME: usize = 64;

/// `store`: the path of the store, which is another file.
pub(super) fn read(table: &ConfigTable<'_>, store: &Path) -> NatsSettings {
    NatsSettings {
        servers: servers(table),
        bucket: table.or("bucket", |item| item.text(bucket), "embedgate-widgets".into()),
        cache: cache(table, store),
        tls: table.item("tls").and_then(|item| item.table(tls).flatten()),
        credentials: table.item("credentials").and_then(|item| item.text(credentials)).flatten(),
        edge: table.item("edge").and_then(|item| item.text(edge)),
    }
}

fn cache(table: &ConfigTable<'_>, store: &Path) -> PathBuf {
    let item = table.item("cache");
    let read = |text: &str| match scalar::path(text)? {
        path if path == store => Err(format!(
            "'{text}' is the path of rules.store, whose rules are this edge's alone; give the copy of the fleet's rules \
             another path, like \"{CACHE}\""
        )),
        path => Ok(path),
    };
    item.and_then(|item| item.text(read)).unwrap_or_else(|| CACHE.into())
}

fn servers(table: &ConfigTable<'_>) -> Vec<String> {
    let Some(item) = table.item("servers") else { return vec![SERVER.into()] };
    let servers = item.some_texts("[\"nats://127.0.0.1:4222\"]", server).unwrap_or_default();
    distinct(table.document(), servers)
}

fn server(text: &str) -> Result<String, String> {
    match text.split_once("://") {
        Some(("nats" | "tls", rest)) if !rest.is_empty() => Ok(text.into()),
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

/// `""` is none.
fn credentials(text: &str) -> Result<Option<PathBuf>, String> {
    if text.is_empty() { Ok(None) } else { scalar::path(text).map(Some) }
}

fn edge(text: &str) -> Result<String, String> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let is_part = |part: &str| !part.is_empty() && part.bytes().all(is_allowed);
    if text.len() > LONGEST_NAME || !text.split('.').all(is_part) {
        return Err(format!(
            "'{text}' is not the name of an edge; use up to {LONGEST_NAME} letters, digits, '-' and '_', with dots between"
        ));
    }
    Ok(text.into())
}

fn tls(table: &ConfigTable<'_>) -> Option<NatsTlsSettings> {
    let ca = table.item("ca").map(|item| item.text(scalar::path));
    let certificate = (table.has("cert") || table.has("key")).then(|| certificate(table));
    if certificate.is_none() {
        // Known keys, for the message about an unknown one.
        let _ = (table.item("cert"), table.item("key"));
    }
    Some(NatsTlsSettings {
        ca: ca.map_or(Some(None), |ca| ca.map(Some))?,
        certificate: certificate.map_or(Some(None), |files| files.map(Some))?,
    })
}
