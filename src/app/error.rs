//! Why the edge did not start.

use std::io;
use std::path::PathBuf;

use crate::admin::TokenFault;
use crate::edge::error::EdgeError;
use crate::edge::tickets::key_file::KeyFileFault;
use crate::policy::suffix::SuffixError;
use crate::rules::error::RulesError;

/// A fault that keeps the edge from starting.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppError {
    /// Listeners, certificates, routes, upstreams.
    #[error(transparent)]
    Edge(#[from] EdgeError),
    /// The admin listener's tokens.
    #[error("admin.token_file: {0}")]
    Tokens(#[from] TokenFault),
    /// The keys of tickets.
    #[error("tickets.key_file: {0}")]
    TicketKeys(#[from] KeyFileFault),
    /// The rules.
    #[error("the rules have faults:\n{0}")]
    Rules(#[from] RulesError),
    /// The public suffix list of the configuration.
    #[error("{}: {source}", path.display())]
    Suffixes {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: SuffixError,
    },
    /// A file that can't be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A source of rules that this version has not.
    #[error("this version takes rules from `source = \"store\"` or `\"file\"` only")]
    SourceUnavailable,
    /// The system gave no thread.
    #[error("no thread to serve with: {0}")]
    Thread(io::Error),
    /// A panic in the server.
    #[error("the server broke down; what it said on standard error is a fault of embedgate's")]
    BrokeDown,
    /// Rules that can't be taken in here.
    #[error("rules come from {} here: import into those, or set `source = \"store\"` in [rules]", .0.display())]
    NoStore(PathBuf),
    /// An export that can't be written.
    #[error("the documents can't be written: {0}")]
    Export(io::Error),
    /// A configuration that asks for a demo which is not built in.
    #[error(
        "this binary has no demo: build it with the feature `demo`, or name `servers` in place of `builtin`"
    )]
    NoDemo,
    /// The demo's own listener.
    #[error("the demo can't listen on a loopback port of its own: {0}")]
    Demo(io::Error),
    /// Two metrics with the same name.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The process has a log already.
    #[error("a log is running in this process already")]
    LogTaken,
}
