//! What a measured process stands on: a folder, ports, a certificate, the upstream behind it.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

use crate::ports;

/// The name in the certificate, and the host of every request.
pub const HOST: &str = "edge.example";

/// All of it is gone when this is dropped.
pub struct Ground {
    folder: TempDir,
    /// Where the process listens for HTTP, for HTTPS, and for changes of its rules.
    pub plain: SocketAddr,
    pub tls: SocketAddr,
    pub control: SocketAddr,
    pub upstream: SocketAddr,
}

impl Ground {
    /// A new one within this folder, before this upstream.
    pub fn new(within: impl AsRef<Path>, upstream: SocketAddr) -> Result<Self> {
        let folder = tempfile::tempdir_in(within).context("a temporary folder")?;
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(vec![HOST.to_owned()])?.self_signed(&key)?;
        fs::write(folder.path().join("site.pem"), certificate.pem())?;
        let key_file = folder.path().join("site.key");
        fs::write(&key_file, key.serialize_pem())?;
        fs::set_permissions(key_file, fs::Permissions::from_mode(0o600))?;
        let (plain, tls, control) = (ports::free(), ports::free(), ports::free());
        Ok(Self { folder, plain, tls, control, upstream })
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file of the folder, with the folders above it.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap_or(self.folder()))?;
        fs::write(&path, text).with_context(|| path.display().to_string())?;
        Ok(path)
    }
}
