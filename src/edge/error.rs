//! Errors at the start of the edge. Each names its file or address, and says what would be right.

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
    #[error("can't listen on {addr}: {source}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// The error of the system.
        source: std::io::Error,
    },
}
