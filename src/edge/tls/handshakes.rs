//! Handshakes of a TLS listener. The library's listeners take no settings for resumption (they keep 256 sessions in
//! memory), so they accept plain connections, and its own acceptor is given them here with a configuration of ours.

use std::sync::Arc;
use std::time::Duration;

use pingora::listeners::tls::Acceptor;
use pingora::protocols::Stream;
use pingora::protocols::l4::stream::Stream as Connection;
use rustls::ServerConfig;

/// How an error ends where the client closed the connection: the library hands on no more than this text.
const HUNG_UP: &str = "tls handshake eof";

/// The server's side of the handshakes of one listener.
pub struct Handshakes(Acceptor);

impl Handshakes {
    /// Handshakes with this configuration.
    pub fn new(config: Arc<ServerConfig>) -> Self {
        Self(Acceptor::from_server_config(config))
    }

    /// TLS over an accepted connection; `None` where the client does not come that far within `limit`.
    pub async fn shake_hands(&self, stream: Stream, limit: Duration) -> Option<Stream> {
        let digest = stream.get_socket_digest();
        // What a listener without TLS accepts. The library's box is left behind: one call less for every read.
        let connection: Connection = *stream.into_any().downcast().ok()?;
        match tokio::time::timeout(limit, self.0.tls_handshake(connection)).await.ok()? {
            Ok(stream) => Some(Box::new(stream)),
            Err(error) => {
                // Who hangs up is no news: probes only look whether the port is open.
                if !error.to_string().ends_with(HUNG_UP) {
                    let peer = digest.as_ref().and_then(|digest| digest.peer_addr()?.as_inet());
                    tracing::warn!(peer = peer.map(tracing::field::display), %error, "a TLS handshake failed");
                }
                None
            }
        }
    }
}
