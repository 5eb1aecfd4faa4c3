//! Expiry of the certificates in force.

use std::path::{Path, PathBuf};

use rustls::sign::CertifiedKey;

/// Expiry of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateExpiry {
    /// The certificate's file, as the configuration names it.
    pub file: PathBuf,
    /// The end of its validity, in seconds of Unix time.
    pub at: i64,
}

impl CertificateExpiry {
    /// The expiry of a pair's own certificate, read from this file; `None` if it can't be told.
    pub fn of(file: &Path, pair: &CertifiedKey) -> Option<Self> {
        let (_, certificate) = x509_parser::parse_x509_certificate(pair.cert.first()?).ok()?;
        Some(Self { file: file.to_owned(), at: certificate.validity().not_after.timestamp() })
    }
}

/// Certificates in force, as far as they expire.
pub trait Expiring: Send + Sync {
    /// The expiry of each.
    fn expiries(&self) -> Vec<CertificateExpiry>;
}
