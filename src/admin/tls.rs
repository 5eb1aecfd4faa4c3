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
use rustls::crypto::ring::default_provider;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::listener::{CountedStream, StoppableListener};
use crate::certificates::{CertificateFault, read_authorities, read_pair};
use crate::files::{Reload, Watched};

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
    config: ArcSwap<ServerConfig>,
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
        let config = ArcSwap::from_pointee(configure(&files)?);
        Ok(Self { files, watched, config })
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
        self.config.store(Arc::new(configure(&self.files)?));
        Ok(true)
    }
}

fn configure(files: &MutualTlsFiles) -> Result<ServerConfig, CertificateFault> {
    let provider = Arc::new(default_provider());
    let pair = read_pair(&files.cert, &files.key)?;
    let authorities = Arc::new(read_authorities(&files.client_ca)?);
    let fault = |detail: String| CertificateFault::new(&files.client_ca, detail);
    let clients = WebPkiClientVerifier::builder_with_provider(authorities, Arc::clone(&provider))
        .build()
        .map_err(|error| fault(error.to_string()))?;
    let builder = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| fault(error.to_string()))?;
    let mut config =
        builder.with_client_cert_verifier(clients).with_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
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
    handshakes: JoinSet<Option<(TlsStream<CountedStream>, SocketAddr)>>,
}

impl TlsListener {
    pub(super) fn new(listener: StoppableListener, tls: Arc<MutualTls>) -> Self {
        Self { listener, tls, handshakes: JoinSet::new() }
    }

    fn shake_hands(&mut self, stream: CountedStream, peer: SocketAddr) {
        let acceptor = TlsAcceptor::from(self.tls.config.load_full());
        self.handshakes.spawn(async move {
            match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => Some((stream, peer)),
                Ok(Err(error)) => {
                    tracing::warn!(%peer, %error, "TLS handshake failed on the admin listener");
                    None
                }
                Err(_) => None,
            }
        });
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<CountedStream>;
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
