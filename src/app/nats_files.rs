//! Files that the connections to NATS are made with: certificates, authorities and credentials. Each connection reads them
//! anew; here they are tried before the first, and the edge's own certificate is followed, so that its expiry is told.

use std::error::Error;
use std::path::Path;

use parking_lot::Mutex;

use super::AppError;
use crate::certificates::{CertificateExpiry, CertificateFault, Expiring, read_authorities, read_pair};
use crate::config::{CertificateFiles, NatsTlsSettings, Settings, SourceSetting};
use crate::files::{Reload, Watched};
use crate::rules::source::nats::check_credentials;

/// Files of the connection to NATS that an edge of these settings makes.
#[derive(Clone, Copy, Default)]
pub(super) struct NatsFiles<'s> {
    pub(super) ca: Option<&'s Path>,
    pub(super) certificate: Option<&'s CertificateFiles>,
    pub(super) credentials: Option<&'s Path>,
}

impl<'s> NatsFiles<'s> {
    /// The files; none where the rules come from elsewhere.
    pub(super) fn of(settings: &'s Settings) -> Self {
        if settings.rules.source != SourceSetting::Nats {
            return Self::default();
        }
        let nats = &settings.rules.nats;
        let tls = nats.tls.as_ref();
        Self {
            ca: tls.and_then(|NatsTlsSettings { ca, .. }| ca.as_deref()),
            certificate: tls.and_then(|NatsTlsSettings { certificate, .. }| certificate.as_ref()),
            credentials: nats.credentials.as_deref(),
        }
    }

    /// Reads all of them, and returns the certificate with its key.
    ///
    /// # Errors
    ///
    /// Some can't be read or used: every one, with its key.
    pub(super) fn read(self) -> Result<Option<NatsCertificate>, Vec<AppError>> {
        let mut faults = Vec::new();
        if let Some(Err(fault)) = self.ca.map(read_authorities) {
            faults.push(AppError::NatsFile { key: "rules.nats.tls.ca", source: fault });
        }
        let certificate = self.certificate.and_then(|files| {
            NatsCertificate::read(files).map_err(|fault| faults.push(of_pair(files, fault))).ok()
        });
        if let Some((path, Err(detail))) = self.credentials.map(|path| (path, check_credentials(path))) {
            let source = CertificateFault::new(path, detail);
            faults.push(AppError::NatsFile { key: "rules.nats.credentials", source });
        }
        if faults.is_empty() { Ok(certificate) } else { Err(faults) }
    }
}

fn of_pair(files: &CertificateFiles, source: CertificateFault) -> AppError {
    let key = if source.path == files.key { "rules.nats.tls.key" } else { "rules.nats.tls.cert" };
    AppError::NatsFile { key, source }
}

/// Certificate that this edge shows NATS servers.
pub(super) struct NatsCertificate {
    files: CertificateFiles,
    watched: Watched,
    expiry: Mutex<Option<CertificateExpiry>>,
}

impl NatsCertificate {
    fn read(files: &CertificateFiles) -> Result<Self, CertificateFault> {
        let watched = Watched::new(vec![files.cert.clone(), files.key.clone()]);
        let expiry = Mutex::new(expiry(files)?);
        Ok(Self { files: files.clone(), watched, expiry })
    }
}

fn expiry(files: &CertificateFiles) -> Result<Option<CertificateExpiry>, CertificateFault> {
    let pair = read_pair(&files.cert, &files.key)?;
    Ok(CertificateExpiry::of(&files.cert, &pair))
}

impl Reload for NatsCertificate {
    fn name(&self) -> &'static str {
        "certificates for connections to NATS"
    }

    fn reload_if_changed(&self) -> Result<bool, Box<dyn Error + Send + Sync>> {
        if !self.watched.changed() {
            return Ok(false);
        }
        *self.expiry.lock() = expiry(&self.files).map_err(|fault| of_pair(&self.files, fault))?;
        Ok(true)
    }
}

impl Expiring for NatsCertificate {
    fn expiries(&self) -> Vec<CertificateExpiry> {
        self.expiry.lock().iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;

    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn write(files: &CertificateFiles, year: i32) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["edge.example".to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, 1, 1);
        fs::write(&files.key, key.serialize_pem()).unwrap();
        fs::write(&files.cert, params.self_signed(&key).unwrap().pem()).unwrap();
    }

    #[test]
    fn the_expiry_of_the_certificate_follows_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let files = CertificateFiles { cert: at("edge.pem"), key: at("edge.key") };
        let of_nats = NatsFiles { certificate: Some(&files), ..NatsFiles::default() };
        assert_eq!(of_nats.read().err().unwrap().len(), 1, "no files");
        write(&files, 2077);
        let certificate = of_nats.read().ok().flatten().unwrap();
        let expiry = |certificate: &NatsCertificate| {
            certificate
                .expiries()
                .into_iter()
                .map(|CertificateExpiry { file, at }| (file, at))
                .collect::<Vec<_>>()
        };
        let first = expiry(&certificate);
        assert_eq!(first, [(files.cert.clone(), 3_376_684_800)]);
        assert!(!certificate.reload_if_changed().unwrap(), "nothing has changed");
        fs::write(&files.cert, "none").unwrap();
        let told = certificate.reload_if_changed().unwrap_err().to_string();
        assert!(told.starts_with("rules.nats.tls.cert: "), "{told}");
        assert_eq!(expiry(&certificate), first);
        write(&files, 2078);
        assert!(certificate.reload_if_changed().unwrap());
        assert_eq!(expiry(&certificate), [(files.cert.clone(), 3_408_220_800)]);
    }

    #[test]
    fn each_fault_names_the_key_of_its_file() {
        let [ca, cert, key, credentials] = ["ca", "cert", "key", "credentials"].map(Path::new);
        let files = CertificateFiles { cert: cert.to_owned(), key: key.to_owned() };
        let all = NatsFiles { ca: Some(ca), certificate: Some(&files), credentials: Some(credentials) };
        let faults = all.read().err().unwrap();
        let keys: Vec<_> =
            faults.iter().map(|fault| fault.to_string().split(':').next().unwrap().to_owned()).collect();
        assert_eq!(keys, ["rules.nats.tls.ca", "rules.nats.tls.cert", "rules.nats.credentials"]);
        assert!(NatsFiles::default().read().ok().unwrap().is_none());
    }
}
