//! TLS handshakes of a listener.

use std::io::{self, ErrorKind};
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
        match shaken.map_err(|_| HandshakeOutcome::TimedOut)? {
            Ok(stream) => Ok(Stream::Tls(Box::new(stream))),
            Err(error) => {
                tracing::debug!(%error, "TLS handshake failed");
                Err(outcome_of(&error))
            }
        }
    }
}

fn outcome_of(error: &io::Error) -> HandshakeOutcome {
    let of_library = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    match (error.kind(), of_library) {
        (ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe, _) => {
            HandshakeOutcome::Left
        }
        (_, Some(rustls::Error::InvalidMessage(_))) => HandshakeOutcome::NotTls,
        _ => HandshakeOutcome::Refused,
    }
}

impl std::fmt::Debug for Handshakes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handshakes").finish_non_exhaustive()
    }
}
