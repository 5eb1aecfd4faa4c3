//! Certificates of the NATS servers and of the edges that connect to them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};

/// A day, by which clocks may differ.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// An authority that all of them trust.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Authority of a fleet");
        Ok(Self(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?))
    }

    /// Writes its own certificate, `ca.pem`.
    pub fn write(&self, folder: &Path) -> Result<()> {
        Ok(fs::write(folder.join("ca.pem"), self.0.as_ref().pem())?)
    }

    /// Issues `NAME.pem` and `NAME.key` for loopback, good for so long from now on.
    pub fn issue(&self, folder: &Path, name: &str, good_for: Duration) -> Result<()> {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()])?;
        let now = date_time_ymd(1970, 1, 1) + SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        (params.not_before, params.not_after) = (now - DAY, now + good_for);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.0)?;
        let (certificate_file, key_file) =
            (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
        fs::write(&key_file, key.serialize_pem())?;
        fs::set_permissions(key_file, fs::Permissions::from_mode(0o600))?;
        Ok(fs::write(certificate_file, certificate.pem())?)
    }
}
