//! TLS of the listeners, by the settings.

use std::sync::Arc;

use jiff::Timestamp;

use crate::admin::MutualTls;
use crate::certificates::Expiring;
use crate::config::{AdminTls, Settings};
use crate::edge::admission::tickets::key_file::KeyFile;
use crate::edge::connection::tls::Certificates;
use crate::edge::connection::tls::concerns::{admin_concerns, concerns};
use crate::edge::connection::tls::handshakes::Handshakes;
use crate::edge::connection::tls::resumption::Resumption;
use crate::edge::error::EdgeError;

/// Concerns about the certificates of all listeners, and about public origins that none of them covers.
pub fn certificate_concerns(settings: &Settings, now: Timestamp) -> Vec<String> {
    let pairs = settings.edge.tls.iter().flat_map(|tls| &tls.certificates);
    let mut found = concerns(pairs, &settings.edge.public_origins, now);
    if let Some(AdminTls { certificate, client_ca }) = &settings.admin.tls {
        found.extend(admin_concerns(certificate, client_ca, now));
    }
    found
}

/// The certificates of every TLS listener, in the listeners' order.
pub(super) fn load_certificates(settings: &Settings) -> Result<Vec<Arc<Certificates>>, EdgeError> {
    let listeners = settings.edge.tls.iter();
    listeners.map(|tls| Ok(Arc::new(Certificates::load(tls.certificates.clone())?))).collect()
}

/// The TLS handshakes of every TLS listener, in the listeners' order. That order matters: by it, edges with
/// the same keys resume each other's sessions.
pub(super) fn handshakes(
    settings: &Settings,
    certificates: &[Arc<Certificates>],
    keys: &Arc<KeyFile>,
) -> Result<Vec<Handshakes>, EdgeError> {
    let resumption = (0..).map(|place| Resumption::new(Arc::clone(keys), place));
    let listeners = settings.edge.tls.iter().zip(certificates).zip(resumption);
    listeners.map(|((tls, listener), resumption)| listener.handshakes(tls.min_version, resumption)).collect()
}

/// Everything that holds certificates, for those who ask when they expire.
pub(super) fn expiring(
    certificates: &[Arc<Certificates>],
    admin: Option<&Arc<MutualTls>>,
) -> Vec<Arc<dyn Expiring>> {
    let listeners = certificates.iter().map(|listener| Arc::clone(listener) as Arc<dyn Expiring>);
    listeners.chain(admin.map(|tls| Arc::clone(tls) as Arc<dyn Expiring>)).collect()
}
