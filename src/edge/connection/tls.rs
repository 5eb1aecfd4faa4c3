//! TLS of the listeners: certificates picked by the name that a client asks for (SNI, RFC 6066 §3) and
//! reloaded when their files change, handshakes, and session resumption.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion};
use x509_parser::extensions::GeneralName;

use crate::certificates::{CertificateExpiry, CertificateFault, Expiring, read_pair};
use crate::config::{CertificateFiles, TlsVersion};
use crate::edge::error::EdgeError;
use crate::files::{Reload, Watched};

pub mod concerns;
pub mod handshakes;
pub mod resumption;

use handshakes::Handshakes;
use resumption::Resumption;

/// Certificates of one listener, reloaded when their files change.
pub struct Certificates {
    files: Vec<CertificateFiles>,
    table: ArcSwap<CertificateTable>,
    watched: Watched,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Certificates {
    /// Reads every pair.
    ///
    /// # Errors
    ///
    /// A file can't be read, or a key does not belong to its certificate; the error names the file.
    pub fn load(files: Vec<CertificateFiles>) -> Result<Self, CertificateFault> {
        let paths = files.iter().flat_map(|pair| [pair.cert.clone(), pair.key.clone()]);
        let watched = Watched::new(paths.collect());
        let table = ArcSwap::from_pointee(CertificateTable::read(&files)?);
        Ok(Self { files, table, watched })
    }

    /// Handshakes of a listener with these certificates: TLS from this version on, HTTP/2 and HTTP/1.1 by ALPN,
    /// resumption only by session tickets.
    ///
    /// # Errors
    ///
    /// The TLS library refuses the configuration.
    pub fn handshakes(
        self: &Arc<Self>,
        min_version: TlsVersion,
        resumption: Resumption,
    ) -> Result<Handshakes, EdgeError> {
        let versions: &[&SupportedProtocolVersion] = match min_version {
            TlsVersion::Tls12 => &[&TLS13, &TLS12],
            TlsVersion::Tls13 => &[&TLS13],
        };
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(versions)
            .map_err(|error| EdgeError::Tls { detail: error.to_string() })?
            .with_no_client_auth()
            .with_cert_resolver(Arc::<Self>::clone(self));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.ticketer = Arc::new(resumption);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Handshakes::new(Arc::new(config)))
    }
}

impl Reload for Certificates {
    fn name(&self) -> &'static str {
        "certificates"
    }

    fn reload_if_changed(&self) -> Result<bool, Box<dyn Error + Send + Sync>> {
        if !self.watched.changed() {
            return Ok(false);
        }
        self.table.store(Arc::new(CertificateTable::read(&self.files)?));
        Ok(true)
    }
}

impl Expiring for Certificates {
    fn expiries(&self) -> Vec<CertificateExpiry> {
        self.table.load().expiries.clone()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.table.load().pick(hello.server_name())
    }
}

/// Table of certificates by name.
struct CertificateTable {
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// Wildcard certificates by the name after `*.`; a wildcard matches one label (RFC 6125 §6.4.3).
    wildcard: HashMap<String, Arc<CertifiedKey>>,
    default: Option<Arc<CertifiedKey>>,
    expiries: Vec<CertificateExpiry>,
}

impl CertificateTable {
    fn read(files: &[CertificateFiles]) -> Result<Self, CertificateFault> {
        let mut table =
            Self { exact: HashMap::new(), wildcard: HashMap::new(), default: None, expiries: Vec::new() };
        for pair in files {
            let key = read_pair(&pair.cert, &pair.key)?;
            table.expiries.extend(CertificateExpiry::of(&pair.cert, &key));
            let names = key.cert.first().map(names).transpose();
            let names = names.map_err(|detail| CertificateFault::new(&pair.cert, detail))?;
            for name in names.into_iter().flatten() {
                let (names, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut table.wildcard, parent),
                    None => (&mut table.exact, name.as_str()),
                };
                // The first pair with a name wins.
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
