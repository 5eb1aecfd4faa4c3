//! Errors of commands.

use std::io;
use std::path::PathBuf;

use crate::app::AppError;
use crate::config::ConfigError;
use crate::rules::import::ImportError;

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
    /// The output.
    #[error("can't print: {0}")]
    Output(#[from] io::Error),
}
