//! Certificates of the TLS listeners: picked by the name a client asks for (SNI, RFC 6066 §3), replaced while
//! the edge runs when their files change.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use pingora::listeners::TlsAccept;
use pingora::listeners::tls::TlsSettings;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;

use super::error::EdgeError;
use crate::config::CertificateFiles;

/// The certificates of one listener, in force and replaceable.
pub struct Certificates {
    files: Vec<CertificateFiles>,
    table: ArcSwap<Table>,
    seen: Mutex<Vec<Stamp>>,
}

/// By which a changed file is told: its time and length, through links.
type Stamp = Option<(SystemTime, u64)>;

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Certificates {
    /// Reads every pair. One that is unreadable or doesn't belong together is an error that names its file.
    pub fn load(files: Vec<CertificateFiles>) -> Result<Self, EdgeError> {
        let seen = Mutex::new(stamps(&files));
        let table = ArcSwap::from_pointee(Table::read(&files)?);
        Ok(Self { files, table, seen })
    }

    /// Reads every pair again where a file has changed since the last look; says whether it did. On an error all
    /// that is in force stays, and the next look tries again only after another change.
    pub fn reload_if_changed(&self) -> Result<bool, EdgeError> {
        let now = stamps(&self.files);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == now {
            return Ok(false);
        }
        *seen = now;
        self.table.store(Arc::new(Table::read(&self.files)?));
        Ok(true)
    }

    /// The settings of a listener that serves these: TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1 by ALPN.
    pub fn listener_settings(self: &Arc<Self>) -> Result<TlsSettings, EdgeError> {
        let resolver: Arc<dyn ResolvesServerCert> = Arc::<Self>::clone(self);
        let mut settings = TlsSettings::with_callbacks(Box::new(NoCallbacks))
            .map_err(|error| EdgeError::Tls { detail: error.to_string() })?;
        settings.set_cert_resolver(resolver);
        settings.enable_h2();
        Ok(settings)
    }
}

/// Listeners whose certificates come from a resolver are built with callbacks; none are needed.
struct NoCallbacks;

impl TlsAccept for NoCallbacks {}

fn stamps(files: &[CertificateFiles]) -> Vec<Stamp> {
    let stamp = |path: &Path| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    files.iter().flat_map(|pair| [stamp(&pair.cert), stamp(&pair.key)]).collect()
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.table.load().pick(hello.server_name())
    }
}

/// Names to keys.
struct Table {
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// By the name below the `*.`; a wildcard stands for one label (RFC 6125 §6.4.3).
    wildcard: HashMap<String, Arc<CertifiedKey>>,
    default: Option<Arc<CertifiedKey>>,
}

impl Table {
    fn read(files: &[CertificateFiles]) -> Result<Self, EdgeError> {
        let mut table = Self { exact: HashMap::new(), wildcard: HashMap::new(), default: None };
        for pair in files {
            let (names, key) = read_pair(pair)?;
            for name in names {
                let (names, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut table.wildcard, parent),
                    None => (&mut table.exact, name.as_str()),
                };
                // The first pair that carries a name keeps it.
                names.entry(name.to_owned()).or_insert_with(|| Arc::clone(&key));
            }
            table.default.get_or_insert(key);
        }
        Ok(table)
    }

    fn pick(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let name = name.map(str::to_ascii_lowercase);
        let named = name.as_deref().and_then(|name| {
            let parent = || name.split_once('.').and_then(|(_, parent)| self.wildcard.get(parent));
            self.exact.get(name).or_else(parent)
        });
        named.or(self.default.as_ref()).cloned()
    }
}

fn read_pair(pair: &CertificateFiles) -> Result<(Vec<String>, Arc<CertifiedKey>), EdgeError> {
    let fault = |path: &Path, detail: String| EdgeError::Certificate { path: path.to_owned(), detail };
    let chain = CertificateDer::pem_file_iter(&pair.cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| {
            fault(
                &pair.cert,
                format!("no certificate chain: {error}; it must hold PEM certificates, the site's own first"),
            )
        })?;
    let Some(leaf) = chain.first() else {
        return Err(fault(
            &pair.cert,
            "there is no certificate in it; it must hold PEM certificates, the site's own first".to_owned(),
        ));
    };
    let names = names(leaf).map_err(|detail| fault(&pair.cert, detail))?;
    let key = PrivateKeyDer::from_pem_file(&pair.key).map_err(|error| {
        fault(
            &pair.key,
            format!("no private key: {error}; it must hold one PEM key, PKCS #8, PKCS #1 or SEC 1"),
        )
    })?;
    let certified = CertifiedKey::from_der(chain, key, &default_provider()).map_err(|error| {
        fault(&pair.key, format!("does not belong to the certificate in {}: {error}", pair.cert.display()))
    })?;
    Ok((names, Arc::new(certified)))
}

fn names(leaf: &CertificateDer<'_>) -> Result<Vec<String>, String> {
    let (_, certificate) = x509_parser::parse_x509_certificate(leaf)
        .map_err(|error| format!("the first certificate can't be read: {error}"))?;
    let alternative = certificate
        .subject_alternative_name()
        .map_err(|error| format!("the first certificate's names can't be read: {error}"))?;
    let names = alternative.map(|extension| &extension.value.general_names);
    Ok(names
        .into_iter()
        .flatten()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        })
        .collect())
}

#[cfg(test)]
mod tests;
