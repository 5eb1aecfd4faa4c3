//! What can keep the edge from starting. Each says which file or address, and what would be right.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::certificates::CertificateFault;

/// A fault found while the edge is put together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EdgeError {
    /// A certificate authority file of an upstream.
    #[error("{}: not usable as certificate authorities: {detail}; it must hold PEM certificates", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// A health check's path.
    #[error("health check path {path:?}: {detail}; it must be an absolute path such as `/healthz`")]
    HealthCheckPath {
        /// The path.
        path: String,
        /// What is wrong with it.
        detail: String,
    },
    /// A certificate or key of a TLS listener.
    #[error(transparent)]
    Certificate(#[from] CertificateFault),
    /// A TLS listener that the TLS library won't set up.
    #[error("TLS listener: {detail}")]
    Tls {
        /// What it said.
        detail: String,
    },
    /// Two routes that some path would fit both.
    #[error("route {path}: {detail}")]
    Route {
        /// The later route.
        path: String,
        /// What it collides with.
        detail: String,
    },
    /// An address that can't be listened on.
    #[error("cannot listen on {addr}: {source}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}
