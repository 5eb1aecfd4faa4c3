//! Handshakes of a TLS listener.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::edge::connection::stream::Stream;

/// The server's side of the handshakes of one listener.
#[derive(Clone)]
pub struct Handshakes(TlsAcceptor);

impl Handshakes {
    /// Handshakes with this configuration.
    pub fn new(config: Arc<ServerConfig>) -> Self {
        Self(TlsAcceptor::from(config))
    }

    /// TLS over an accepted connection; `None` where the client does not come that far within `limit`.
    pub async fn shake_hands(
        &self,
        stream: TcpStream,
        client: SocketAddr,
        limit: Duration,
    ) -> Option<Stream> {
        match tokio::time::timeout(limit, self.0.accept(stream)).await.ok()? {
            Ok(stream) => Some(Stream::Tls(Box::new(stream))),
            Err(error) => {
                // Who hangs up is no news: probes only look whether the port is open.
                if !matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) {
                    tracing::warn!(peer = %client, %error, "a TLS handshake failed");
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
