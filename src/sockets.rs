//! Sockets: what listeners of both sides, the edge and the control plane, have in common.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use crate::telemetry::tally::Tally;

/// Pause after the system had no room for another connection, as where the process has no descriptor left.
const PAUSE: Duration = Duration::from_millis(100);

/// The next connection of a listener. Where the system can't give one, `failed` tells of it, and it is tried again.
pub async fn accept(listener: &TcpListener, failed: &Tally) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            // Only this connection failed, so there is no reason to wait.
            Err(error) if is_of_connection(&error) => {}
            Err(error) => {
                let at = listener.local_addr().map_or_else(|_| String::new(), |addr| format!("{addr}: "));
                failed.count(format!("{at}{error}"));
                sleep(PAUSE).await;
            }
        }
    }
}

/// Whether the accepted connection failed, and not the listener.
fn is_of_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused
    )
}

/// What is counted as one address: of IPv6, the network of 64 bits, which is what one customer usually gets at least.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
    }
}
