//! Concerns about the certificates of the settings.

use jiff::Timestamp;

use crate::config::{AdminTls, Settings};
use crate::edge::connection::tls::concerns::{admin_concerns, concerns};

/// Concerns about the certificates of all listeners, and about public origins that none of them covers.
pub fn certificate_concerns(settings: &Settings, now: Timestamp) -> Vec<String> {
    let pairs = settings.edge.tls.iter().flat_map(|tls| &tls.certificates);
    let mut found = concerns(pairs, &settings.edge.public_origins, now);
    if let Some(AdminTls { certificate, client_ca }) = &settings.admin.tls {
        found.extend(admin_concerns(certificate, client_ca, now));
    }
    found
}
