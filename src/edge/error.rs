//! Errors at the start of the edge. Each names its file or address, and says what would be right.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::certificates::CertificateFault;

/// Error at the start of the edge.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EdgeError {
    /// A certificate authority file of an upstream.
    #[error("{}: not usable as certificate authorities: {detail}; the file must have PEM certificates", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// The error.
        detail: String,
    },
    /// A health check's path.
    #[error("health check path {path:?}: {detail}; it must be an absolute path such as `/healthz`")]
    HealthCheckPath {
        /// The path.
        path: String,
        /// The error.
        detail: String,
    },
    /// A certificate or key of a TLS listener.
    #[error(transparent)]
    Certificate(#[from] CertificateFault),
    /// A TLS listener that the TLS library won't set up.
    #[error("TLS listener: {detail}")]
    Tls {
        /// The error of the library.
        detail: String,
    },
    /// Two routes match the same path.
    #[error("route {path}: {detail}")]
    Route {
        /// The later route.
        path: String,
        /// The conflict.
        detail: String,
    },
    /// An address that can't be listened on.
    #[error("{key}: can't listen on {addr}: {}", refusal(*.addr, .source))]
    Listen {
        /// The key that names the listener.
        key: &'static str,
        /// The address.
        addr: SocketAddr,
        /// The error of the system.
        source: io::Error,
    },
}

/// Why an address can't be listened on, and what would be right.
fn refusal(addr: SocketAddr, source: &io::Error) -> String {
    match source.kind() {
        ErrorKind::AddrInUse => {
            "it is in use by another process, which may be an edge or systemd for a socket unit; stop that, or set \
             another port"
                .to_owned()
        }
        ErrorKind::AddrNotAvailable => {
            let all = if addr.is_ipv4() { "0.0.0.0" } else { "[::]" };
            format!("this machine does not have that address; set one that it has, or {all} for all of them")
        }
        ErrorKind::PermissionDenied => {
            "ports below 1024 need the capability CAP_NET_BIND_SERVICE; give it to the process, or set a port from 1024 on"
                .to_owned()
        }
        _ => source.to_string(),
    }
}
