//! Resolver of `[rules.nats]`.

use std::path::{Path, PathBuf};

use super::NamedFile;
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

impl NatsSettings {
    /// The files that connections are made with, each with its key.
    pub fn files(&self) -> Vec<NamedFile<'_>> {
        let (ca, certificate) =
            self.tls.as_ref().map_or((None, None), |tls| (tls.ca.as_deref(), tls.certificate.as_ref()));
        let ca = ca.map(|path| ("rules.nats.tls.ca", path));
        let cert = certificate.map(|files| ("rules.nats.tls.cert", files.cert.as_path()));
        let key = certificate.map(|files| ("rules.nats.tls.key", files.key.as_path()));
        let credentials = self.credentials.as_deref().map(|path| ("rules.nats.credentials", path));
        [ca, cert, key, credentials].into_iter().flatten().collect()
    }
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
    if text.is_empty() || !text.chars().all(is_of_a_name) {
        return Err(format!("'{text}' is not a bucket name; use letters, digits, '-' and '_'"));
    }
    Ok(text.into())
}

/// Whether a name of a bucket or a part of an edge's name may have it.
fn is_of_a_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

/// A host's name, made fit to be that of an edge: letters, digits, `-` and `_`, with dots between.
pub fn edge_name_of_host(host: &str) -> Option<String> {
    let fit = |c: char| if is_of_a_name(c) { c } else { '-' };
    let parts = host.trim().split('.').filter(|part| !part.is_empty());
    let name = parts.map(|part| part.chars().map(fit).collect::<String>()).collect::<Vec<_>>().join(".");
    let name = name.get(..LONGEST_NAME).map_or(name.as_str(), |cut| cut.trim_end_matches('.'));
    (!name.is_empty()).then(|| name.to_owned())
}

/// `""` is none.
fn credentials(text: &str) -> Result<Option<PathBuf>, String> {
    if text.is_empty() { Ok(None) } else { scalar::path(text).map(Some) }
}

fn edge(text: &str) -> Result<String, String> {
    let is_part = |part: &str| !part.is_empty() && part.chars().all(is_of_a_name);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_host_has_the_name_of_an_edge() {
        for (host, name) in [
            ("edge-1\n", Some("edge-1")),
            ("edge_1.example.com", Some("edge_1.example.com")),
            ("..a..b.", Some("a.b")),
            ("caf\u{e9} bar", Some("caf--bar")),
            (" \n", None),
        ] {
            assert_eq!(edge_name_of_host(host).as_deref(), name, "{host:?}");
            assert_eq!(name.map(edge), name.map(|name| Ok(name.to_owned())), "{host:?}");
        }
        let long = edge_name_of_host(&format!("{}.{}", "a".repeat(63), "b".repeat(63)));
        assert_eq!(long, Some("a".repeat(63)));
    }
}
