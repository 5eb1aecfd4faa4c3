//! Certificates and keys from PEM files, for every listener that speaks TLS. Depends only on files and
//! rustls.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

mod expiry;

pub use expiry::{CertificateExpiry, Expiring};

/// Error of a certificate or key file, with what would be right.
#[derive(Debug, thiserror::Error)]
#[error("{}: {detail}", path.display())]
pub struct CertificateFault {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it, and what would be right.
    pub detail: String,
}

impl CertificateFault {
    /// An error of this file.
    pub fn new(path: &Path, detail: impl Into<String>) -> Self {
        Self { path: path.to_owned(), detail: detail.into() }
    }
}

/// A certificate chain, the site's own certificate first, and its key.
///
/// # Errors
///
/// A file can't be read, or the key does not belong to the certificate.
pub fn read_pair(cert: &Path, key: &Path) -> Result<Arc<CertifiedKey>, CertificateFault> {
    let chain = read_chain(cert)?;
    let key_der = read_key(key)?;
    let certified = CertifiedKey::from_der(chain, key_der, &default_provider());
    certified.map(Arc::new).map_err(|error| {
        CertificateFault::new(
            key,
            format!("does not belong to the certificate in {}: {error}", cert.display()),
        )
    })
}

/// The certificates of a file, at least one.
///
/// # Errors
///
/// The file can't be read, or has no certificate.
pub fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateFault> {
    let wanted = "the file must have PEM certificates, the site's own first";
    read_certificates(path, "not a certificate chain", wanted)
}

/// The certificates of authorities in a file, at least one.
///
/// # Errors
///
/// The file can't be read, or has no certificate.
pub fn read_authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateFault> {
    read_certificates(path, "not usable as certificate authorities", "the file must have PEM certificates")
}

fn read_certificates(
    path: &Path,
    fault: &str,
    wanted: &str,
) -> Result<Vec<CertificateDer<'static>>, CertificateFault> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates =
        read.map_err(|error| CertificateFault::new(path, format!("{fault}: {error}; {wanted}")))?;
    if certificates.is_empty() {
        return Err(CertificateFault::new(path, format!("no certificate; {wanted}")));
    }
    Ok(certificates)
}

/// The private key of a file.
///
/// # Errors
///
/// The file can't be read, or has no private key.
pub fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, CertificateFault> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| {
        let detail =
            format!("not a private key: {error}; the file must have one PEM key (PKCS #8, PKCS #1 or SEC 1)");
        CertificateFault::new(path, detail)
    })
}

/// The mode of a file that others than its owner may read; `None` if they may not.
pub fn mode_for_others(path: &Path) -> Option<u32> {
    const READABLE: u32 = 0o044;
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o7777;
    (mode & READABLE != 0).then_some(mode)
}
