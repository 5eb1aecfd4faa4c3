//! Errors of commands.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use super::remote::ReceivedProblem;
use crate::app::AppError;
use crate::config::ConfigError;
use crate::rules::error::{RulesError, StoreError};
use crate::rules::import::ImportError;

/// The exit code of a wrong call.
pub(super) const WRONG_USAGE: u8 = 2;

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
    /// A file with credentials for a running edge that can't be used.
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
    /// Files for TLS, and a listener without it: the token would go out in the clear.
    #[error(
        "{url}: --ca and --client-cert are for https, and this is http; name the listener with --admin \
         https://HOST:PORT, or leave them out"
    )]
    NotHttps {
        /// The edge's admin listener.
        url: String,
    },
    /// A running edge said no.
    #[error("{url}: {problem}{}", advised(advice.as_deref()))]
    Refused {
        /// The edge's admin listener.
        url: String,
        /// Its answer.
        problem: Box<ReceivedProblem>,
        /// What to type next.
        advice: Option<String>,
    },
    /// A running edge that could not be asked.
    #[error("{url}: can't be asked: {detail}")]
    Unreachable {
        /// The edge's admin listener.
        url: String,
        /// The error of the call, or of the answer.
        detail: String,
    },
    /// An upgrade that failed: the running process goes on.
    #[error("the upgrade failed, and the running process goes on: {0}")]
    NotUpgraded(String),
    /// An admin listener with mutual TLS, for which the configuration has no client's certificate.
    #[error(
        "the admin listener on {listen} has mutual TLS: add --ca FILE --client-cert FILE (and --client-key FILE)"
    )]
    MutualTls {
        /// The listener's address.
        listen: SocketAddr,
    },
    /// A document that can't be told from something else.
    #[error("{}: {detail}", path.display())]
    Document {
        /// The file.
        path: PathBuf,
        /// What is wrong and what would be right.
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
    /// An output that would take the place of a file that the edge needs.
    #[error("{}: this is {what}; name another file", path.display())]
    OwnFile {
        /// The file.
        path: PathBuf,
        /// What it is to the edge.
        what: &'static str,
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
    /// The exit code of a command that ends with this error. An edge that was asked and says no is a 1; one that could
    /// not be asked, for whatever reason, is a 3.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::NoAuthority | Self::NotHttps { .. } => ExitCode::from(WRONG_USAGE),
            Self::Unreachable { .. } | Self::Unusable { .. } | Self::MutualTls { .. } => {
                ExitCode::from(NOT_ASKED)
            }
            _ => ExitCode::FAILURE,
        }
    }

    /// Whether a running edge refused by this code.
    pub(super) fn has_code(&self, code: &str) -> bool {
        matches!(self, Self::Refused { problem, .. } if problem.is(code))
    }

    /// Whether the reader of the output has seen enough, such as `head`.
    pub(super) fn is_closed_output(&self) -> bool {
        let (Self::Output(error) | Self::App(AppError::Export(error))) = self else { return false };
        error.kind() == io::ErrorKind::BrokenPipe
    }

    /// Whether the configured store is open in another process, most likely a running edge.
    pub(super) fn is_store_in_use(&self) -> bool {
        matches!(
            self,
            Self::App(
                AppError::Rules(RulesError::Store(StoreError::Locked { .. }))
                    | AppError::Store(StoreError::Locked { .. })
            )
        )
    }

    /// The same with other advice, where the edge gave this code.
    pub(super) fn advised(mut self, code: &str, instead: &str) -> Self {
        let is_it = self.has_code(code);
        if let Self::Refused { advice, .. } = &mut self
            && is_it
        {
            *advice = Some(instead.to_owned());
        }
        self
    }
}

fn advised(advice: Option<&str>) -> String {
    advice.map(|advice| format!("\n  {advice}")).unwrap_or_default()
}
