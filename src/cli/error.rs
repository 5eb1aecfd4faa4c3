//! Why a command could not be carried out.

use std::io;
use std::path::PathBuf;

use crate::app::AppError;
use crate::config::ConfigError;

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
    /// A file that the command was given.
    #[error("{}: {detail}", path.display())]
    File {
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
    /// The output.
    #[error("can't print: {0}")]
    Output(#[from] io::Error),
}
