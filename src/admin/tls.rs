//! Mutual TLS of the admin listener: nobody can present a token without a certificate from
//! `admin.tls.client_ca`.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::serve::Listener;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::default_provider;
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::listener::{CountedStream, StoppableListener};
use crate::certificates::{CertificateExpiry, CertificateFault, Expiring, read_pair};
use crate::files::{Reload, Watched};
use crate::telemetry::metrics::{HandshakeOutcome, Metrics};

mod clients;
mod operator;

use clients::OperatorVerifier;
use operator::OperatorStream;

/// Time limit of a client's handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum number of clients in their handshake at once; others wait.
const HANDSHAKES: usize = 64;

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

/// Listener that does many handshakes at once, so that a slow client does not delay the others.
pub(super) struct TlsListener {
    listener: StoppableListener,
    tls: Arc<MutualTls>,
    metrics: Arc<Metrics>,
    handshakes: JoinSet<Option<(OperatorStream, SocketAddr)>>,
}

impl TlsListener {
    pub(super) fn new(listener: StoppableListener, tls: Arc<MutualTls>, metrics: Arc<Metrics>) -> Self {
        Self { listener, tls, metrics, handshakes: JoinSet::new() }
    }

    fn shake_hands(&mut self, stream: CountedStream, peer: SocketAddr) {
        let (tls, metrics) = (Arc::clone(&self.tls), Arc::clone(&self.metrics));
        self.handshakes.spawn(async move {
            let in_force = tls.in_force.load_full();
            let acceptor = TlsAcceptor::from(Arc::clone(&in_force.config));
            let shaken = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await;
            let outcome = HandshakeOutcome::of(&shaken);
            metrics.admin_handshakes.count(outcome);
            match shaken {
                Ok(Ok(stream)) => Some((OperatorStream::new(stream, tls, in_force), peer)),
                Ok(Err(error)) => {
                    // Counted and not logged by default: a stranger must not be able to fill a disk.
                    tracing::debug!(%peer, %error, "TLS handshake failed on the admin listener");
                    None
                }
                Err(_) => None,
            }
        });
    }
}

impl Listener for TlsListener {
    type Io = OperatorStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let room = self.handshakes.len() < HANDSHAKES;
            tokio::select! {
                (stream, peer) = Listener::accept(&mut self.listener), if room => self.shake_hands(stream, peer),
                Some(done) = self.handshakes.join_next() => {
                    if let Ok(Some(connection)) = done {
                        return connection;
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}
