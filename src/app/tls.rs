//! Concerns about the certificates of the settings.

use jiff::Timestamp;

use super::nats_files::NatsFiles;
use crate::config::{AdminTls, Settings};
use crate::edge::connection::tls::concerns::{concerns, mutual_concerns};

/// Concerns about the certificates of all listeners and of connections to NATS, and about public origins that none of them
/// covers.
pub fn certificate_concerns(settings: &Settings, now: Timestamp) -> Vec<String> {
    let pairs = settings.edge.tls.iter().flat_map(|tls| &tls.certificates);
    let mut found = concerns(pairs, &settings.edge.public_origins, now);
    if let Some(AdminTls { certificate, client_ca }) = &settings.admin.tls {
        found.extend(mutual_concerns(Some(certificate), "clients", Some(client_ca), now));
    }
    let NatsFiles { ca, certificate, .. } = NatsFiles::of(settings);
    found.extend(mutual_concerns(certificate, "NATS servers", ca, now));
    found
}
