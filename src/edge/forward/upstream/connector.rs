//! Connector: opens connections to servers.

use std::io::{self, ErrorKind};

use http::StatusCode;
use pingora_core::connectors::{ConnectorOptions, TransportConnector};
use pingora_core::server::configuration::ServerConf;
use pingora_core::upstreams::peer::Peer;
use pingora_core::{BError, Error, ErrorType, Result};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Server;
use crate::edge::descriptors::DescriptorShare;
use crate::edge::stream::Stream;

/// Connector. The edge opens connections without TLS itself, so that nothing is between it and the socket.
pub struct Connector {
    library: TransportConnector,
    descriptors: DescriptorShare,
}

impl Connector {
    /// A connector for servers of any kind, within this share of the process's descriptors.
    pub fn new(conf: &ServerConf, descriptors: DescriptorShare) -> Self {
        let library = TransportConnector::new(Some(ConnectorOptions::from_server_conf(conf)));
        Self { library, descriptors }
    }

    /// Opens a connection to this server, within the time limit. `http1`: only HTTP/1.1 may be negotiated.
    ///
    /// # Errors
    /// The server can't be reached, or its certificate is not valid; or the edge has no descriptor left, which is nobody
    /// else's failure.
    pub async fn open(&self, server: &Server, http1: bool) -> Result<Stream> {
        if let (false, Some(addr)) = (server.tls(), server.address().as_inet()) {
            let connected = match server.options().connection_timeout {
                Some(limit) => timeout(limit, TcpStream::connect(addr)).await,
                None => Ok(TcpStream::connect(addr).await),
            };
            let connected = connected.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()));
            let stream = connected.and_then(at_once).map_err(|error| unreachable(error, server))?;
            return if self.descriptors.has(&stream) { Ok(Stream::Tcp(stream)) } else { Err(none_left()) };
        }
        let stream = if http1 {
            Box::pin(self.library.new_stream(server.http1())).await
        } else {
            Box::pin(self.library.new_stream(server)).await
        };
        let stream = stream.map_err(|error| error.into_up())?;
        if self.descriptors.has_number(stream.id()) {
            Ok(Stream::Connected(stream))
        } else {
            Err(none_left())
        }
    }
}

/// Disables Nagle's algorithm, so that writes are sent at once.
fn at_once(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The error: the edge has used its descriptors up.
fn none_left() -> BError {
    let unavailable = ErrorType::HTTPStatus(StatusCode::SERVICE_UNAVAILABLE.as_u16());
    Error::explain(unavailable, "the process may not open more files").into_in()
}

/// The error as pingora's connector would report it.
fn unreachable(error: io::Error, server: &Server) -> BError {
    let kind = match error.kind() {
        ErrorKind::ConnectionRefused => ErrorType::ConnectRefused,
        ErrorKind::TimedOut => ErrorType::ConnectTimedout,
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => ErrorType::ConnectNoRoute,
        _ => ErrorType::ConnectError,
    };
    Error::because(kind, format!("connecting to {server}"), error).into_up()
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}
