//! TLS handshakes of a listener.

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::edge::stream::Stream;
use crate::telemetry::metrics::HandshakeOutcome;

/// Server side of the TLS handshakes of one listener.
#[derive(Clone)]
pub struct Handshakes(TlsAcceptor);

impl Handshakes {
    /// Handshakes with this configuration.
    pub fn new(config: Arc<ServerConfig>) -> Self {
        Self(TlsAcceptor::from(config))
    }

    /// Does the handshake on an accepted connection, within `limit`.
    ///
    /// # Errors
    ///
    /// There is no connection. It is counted and not logged by default: a client must not be able to fill a disk.
    pub async fn shake_hands(&self, stream: TcpStream, limit: Duration) -> Result<Stream, HandshakeOutcome> {
        let shaken = tokio::time::timeout(limit, self.0.accept(stream)).await;
        let outcome = HandshakeOutcome::of(&shaken);
        match shaken {
            Ok(Ok(stream)) => Ok(Stream::Tls(Box::new(stream))),
            Ok(Err(error)) => {
                tracing::debug!(%error, "TLS handshake failed");
                Err(outcome)
            }
            Err(_) => Err(outcome),
        }
    }
}

impl std::fmt::Debug for Handshakes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handshakes").finish_non_exhaustive()
    }
}
