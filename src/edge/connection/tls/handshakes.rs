//! TLS handshakes of a listener.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::edge::stream::Stream;

/// Server side of the TLS handshakes of one listener.
#[derive(Clone)]
pub struct Handshakes(TlsAcceptor);

impl Handshakes {
    /// Handshakes with this configuration.
    pub fn new(config: Arc<ServerConfig>) -> Self {
        Self(TlsAcceptor::from(config))
    }

    /// Does the handshake on an accepted connection; `None` if the client does not complete it within
    /// `limit`.
    pub async fn shake_hands(
        &self,
        stream: TcpStream,
        client: SocketAddr,
        limit: Duration,
    ) -> Option<Stream> {
        match tokio::time::timeout(limit, self.0.accept(stream)).await.ok()? {
            Ok(stream) => Some(Stream::Tls(Box::new(stream))),
            Err(error) => {
                // A client that hangs up is not worth a log line: probes only check whether the port is open.
                if !matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) {
                    tracing::warn!(peer = %client, %error, "TLS handshake failed");
                }
                None
            }
        }
    }
}

impl std::fmt::Debug for Handshakes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handshakes").finish_non_exhaustive()
    }
}
