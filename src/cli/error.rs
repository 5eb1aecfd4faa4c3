//! Why a command could not be carried out.

use std::io;
use std::path::PathBuf;

use crate::app::AppError;
use crate::config::ConfigError;
use crate::rules::import::ImportError;

/// A fault that ends a command.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CliError {
    /// The configuration.
    #[error("the configuration has faults:\n{0}")]
    Config(#[from] ConfigError),
    /// What the configuration names: the rules, certificates, upstreams.
    #[error(transparent)]
    App(#[from] AppError),
    /// A file of `--admin` that can't be used.
    #[error("{}: {detail}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// An https listener whose certificate could not be checked.
    #[error("an https listener needs --ca FILE, the authority of its certificate")]
    NoAuthority,
    /// A running edge that was asked.
    #[error("{url}: {detail}")]
    Remote {
        /// Its admin listener.
        url: String,
        /// What it said, or what kept it from saying anything.
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
        /// What the system said.
        source: io::Error,
    },
    /// The output.
    #[error("can't print: {0}")]
    Output(#[from] io::Error),
}
