//! Mutual TLS of the admin listener: nobody can present a token without a certificate from
//! `admin.tls.client_ca`.

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::default_provider;
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::paced_stream::PacedStream;
use crate::certificates::{CertificateExpiry, CertificateFault, Expiring, read_pair};
use crate::files::{Reload, Watched};
use crate::telemetry::metrics::{HandshakeOutcome, Metrics};

mod clients;
mod operator;

use clients::OperatorVerifier;
use operator::OperatorStream;

/// Time limit of a client's handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// PEM files of mutual TLS.
#[derive(Clone, Debug)]
pub struct MutualTlsFiles {
    /// The listener's own chain, leaf first.
    pub cert: PathBuf,
    /// The leaf's private key.
    pub key: PathBuf,
    /// Authorities that client certificates must come from.
    pub client_ca: PathBuf,
}

/// TLS settings in force, replaced when their files change.
#[derive(Debug)]
pub struct MutualTls {
    files: MutualTlsFiles,
    watched: Watched,
    in_force: ArcSwap<TlsInForce>,
}

/// What the files said when they were last read.
#[derive(Debug)]
struct TlsInForce {
    config: Arc<ServerConfig>,
    operators: Arc<OperatorVerifier>,
    expiry: Option<CertificateExpiry>,
}

impl MutualTls {
    /// Reads the certificate with its key, and the authorities.
    ///
    /// # Errors
    ///
    /// A file can't be read or used, or the key does not belong to the certificate.
    pub fn load(files: MutualTlsFiles) -> Result<Self, CertificateFault> {
        let paths: [&PathBuf; 3] = [&files.cert, &files.key, &files.client_ca];
        let watched = Watched::new(paths.map(Clone::clone).into());
        let in_force = ArcSwap::from_pointee(TlsInForce::read(&files)?);
        Ok(Self { files, watched, in_force })
    }
}

impl Reload for MutualTls {
    fn name(&self) -> &'static str {
        "certificates"
    }

    fn reload_if_changed(&self) -> Result<bool, Box<dyn Error + Send + Sync>> {
        if !self.watched.changed() {
            return Ok(false);
        }
        self.in_force.store(Arc::new(TlsInForce::read(&self.files)?));
        Ok(true)
    }
}

impl Expiring for MutualTls {
    fn expiries(&self) -> Vec<CertificateExpiry> {
        self.in_force.load().expiry.iter().cloned().collect()
    }
}

impl TlsInForce {
    fn read(files: &MutualTlsFiles) -> Result<Self, CertificateFault> {
        let pair = read_pair(&files.cert, &files.key)?;
        let expiry = CertificateExpiry::of(&files.cert, &pair);
        let provider = Arc::new(default_provider());
        let operators = Arc::new(OperatorVerifier::read(&files.client_ca, Arc::clone(&provider))?);
        let config = configure(files, pair, Arc::clone(&operators), provider)?;
        Ok(Self { config: Arc::new(config), operators, expiry })
    }
}

fn configure(
    files: &MutualTlsFiles,
    pair: Arc<CertifiedKey>,
    operators: Arc<OperatorVerifier>,
    provider: Arc<CryptoProvider>,
) -> Result<ServerConfig, CertificateFault> {
    let builder = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| CertificateFault::new(&files.cert, error.to_string()))?;
    let mut config = builder
        .with_client_cert_verifier(operators)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // No resumption: each connection has to show its certificate to the authorities in force.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// Handshakes of the listener's callers.
#[derive(Clone)]
pub(super) struct OperatorHandshakes {
    tls: Arc<MutualTls>,
    metrics: Arc<Metrics>,
}

impl OperatorHandshakes {
    pub(super) fn new(tls: Arc<MutualTls>, metrics: Arc<Metrics>) -> Self {
        Self { tls, metrics }
    }

    /// Counts a handshake that was given up, because another connection needed its place.
    pub(super) fn made_room(&self) {
        self.metrics.admin_handshakes.count(HandshakeOutcome::MadeRoom);
    }

    /// The connection of an operator; `None` where the handshake fails or takes too long.
    pub(super) async fn shake_hands(
        &self,
        stream: PacedStream<TcpStream>,
        peer: SocketAddr,
    ) -> Option<OperatorStream> {
        let in_force = self.tls.in_force.load_full();
        let acceptor = TlsAcceptor::from(Arc::clone(&in_force.config));
        let shaken = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await;
        self.metrics.admin_handshakes.count(HandshakeOutcome::of(&shaken));
        match shaken {
            Ok(Ok(stream)) => Some(OperatorStream::new(stream, Arc::clone(&self.tls), in_force)),
            Ok(Err(error)) => {
                // Counted and not logged by default: a stranger must not be able to fill a disk.
                tracing::debug!(%peer, %error, "TLS handshake failed on the admin listener");
                None
            }
            Err(_) => None,
        }
    }
}
