//! Errors of commands.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::app::AppError;
use crate::config::ConfigError;
use crate::rules::import::ImportError;

/// The exit code where a running edge could not be asked.
const NOT_ASKED: u8 = 3;

/// Error that ends a command.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CliError {
    /// The configuration.
    #[error("the configuration has errors:\n{0}")]
    Config(#[from] ConfigError),
    /// The rules, certificates or upstreams of the configuration.
    #[error(transparent)]
    App(#[from] AppError),
    /// A file of `--admin` that can't be used.
    #[error("{}: {detail}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// The error.
        detail: String,
    },
    /// An https listener whose certificate could not be checked.
    #[error("an https listener needs --ca FILE, the authority that signed its certificate")]
    NoAuthority,
    /// The answer of a running edge.
    #[error("{url}: {detail}")]
    Remote {
        /// The edge's admin listener.
        url: String,
        /// The edge's error, or the error of the call.
        detail: String,
    },
    /// A running edge that could not be asked.
    #[error("{url}: can't be asked: {detail}")]
    Unreachable {
        /// The edge's admin listener.
        url: String,
        /// The error of the call.
        detail: String,
    },
    /// An upgrade that failed: the running process goes on.
    #[error("the upgrade failed, and the running process goes on: {0}")]
    NotUpgraded(String),
    /// An admin listener with mutual TLS, for which the configuration has no client's certificate.
    #[error(
        "the admin listener on {listen} has mutual TLS: name it with --admin https://HOST:PORT --ca FILE \
         --client-cert FILE --client-key FILE"
    )]
    MutualTls {
        /// The listener's address.
        listen: SocketAddr,
    },
    /// A bulk import.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// A file that was named.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// A backup that would take the place of the store.
    #[error("{}: this is the store itself; name another file for its copy", path.display())]
    BackupOntoStore {
        /// The file.
        path: PathBuf,
    },
    /// A backup that did not arrive whole.
    #[error("{}: nothing was written, as what the edge has sent is no whole store: {detail}", path.display())]
    BadBackup {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The output.
    #[error("can't print: {0}")]
    Output(#[from] io::Error),
}

impl CliError {
    /// The exit code of a command that ends with this error.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Unreachable { .. } => ExitCode::from(NOT_ASKED),
            _ => ExitCode::FAILURE,
        }
    }
}
