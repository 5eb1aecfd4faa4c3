//! Why a command could not be carried out.

use std::io;

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
    /// The output.
    #[error("can't print: {0}")]
    Output(#[from] io::Error),
}
