//! Certificates of operators: which of them the admin listener takes.

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
};

use crate::certificates::{CertificateFault, read_chain};

/// Verifier of operators' certificates. It also holds the authorities to the time of their own validity, which the
/// library leaves open (RFC 5280 §6.1.1).
#[derive(Debug)]
pub(super) struct OperatorVerifier {
    authorities: Vec<Authority>,
    provider: Arc<CryptoProvider>,
    /// The verifier with all of them.
    all: Arc<dyn ClientCertVerifier>,
}

/// Authority that issues operators' certificates.
#[derive(Debug)]
struct Authority {
    certificate: CertificateDer<'static>,
    /// The time of its validity, in seconds of Unix time.
    valid: RangeInclusive<i64>,
}

impl OperatorVerifier {
    /// The verifier with the authorities of this file.
    pub(super) fn read(path: &Path, provider: Arc<CryptoProvider>) -> Result<Self, CertificateFault> {
        let fault = |detail: String| CertificateFault::new(path, detail);
        let authorities: Result<Vec<_>, _> = read_chain(path)?.into_iter().map(Authority::new).collect();
        let authorities = authorities.map_err(fault)?;
        let all = verifier(&authorities, &provider)
            .map_err(|error| fault(format!("not usable as certificate authorities: {error}")))?;
        Ok(Self { authorities, provider, all })
    }
}

/// The library's verifier with these authorities.
fn verifier<'a>(
    authorities: impl IntoIterator<Item = &'a Authority>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, Box<dyn std::error::Error + Send + Sync>> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority.certificate.clone())?;
    }
    Ok(WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(provider)).build()?)
}

impl Authority {
    fn new(certificate: CertificateDer<'static>) -> Result<Self, String> {
        let (_, parsed) = x509_parser::parse_x509_certificate(&certificate)
            .map_err(|error| format!("a certificate can't be read: {error}"))?;
        // Listed by itself, it stands for its owner alone.
        let is_own = parsed.issuer().as_raw() == parsed.subject().as_raw();
        if !parsed.is_ca() && !is_own {
            return Err(format!(
                "{} is no certificate authority; name the authority that issued the operators' certificates",
                parsed.subject()
            ));
        }
        let validity = parsed.validity();
        let valid = validity.not_before.timestamp()..=validity.not_after.timestamp();
        Ok(Self { certificate, valid })
    }
}

impl ClientCertVerifier for OperatorVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.all.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let at = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let is_valid = |authority: &&Authority| authority.valid.contains(&at);
        if self.authorities.iter().all(|authority| is_valid(&authority)) {
            return self.all.verify_client_cert(end_entity, intermediates, now);
        }
        // The library makes none without authorities.
        let valid = verifier(self.authorities.iter().filter(is_valid), &self.provider)
            .map_err(|_| Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        valid.verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.all.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.all.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.all.supported_verify_schemes()
    }
}
