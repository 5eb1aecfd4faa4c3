//! Errors at start.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::admin::TokenFault;
use crate::certificates::CertificateFault;
use crate::edge::admission::tickets::key_file::KeyFileFault;
use crate::edge::error::EdgeError;
use crate::notifications::secret_file::SecretFileFault;
use crate::rules::error::{RestoreError, RulesError, StoreError};
use embedgate_policy::suffix::SuffixError;

/// Error that keeps the edge from starting.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppError {
    /// Several errors, one a line.
    #[error("{}", lines(.0))]
    Several(Vec<AppError>),
    /// A file that the edge writes, and could not.
    #[error("{key}: {}: {source}", path.display())]
    Unwritable {
        /// The key that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system would refuse, and what would be right.
        source: io::Error,
    },
    /// A file that two keys name.
    #[error("{key}: {} is also {other}; give each its own", path.display())]
    SameFile {
        /// The later key.
        key: &'static str,
        /// The earlier key.
        other: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// Listeners, certificates, routes, upstreams.
    #[error(transparent)]
    Edge(#[from] EdgeError),
    /// The admin listener's tokens.
    #[error("admin.token_file: {0}")]
    Tokens(#[from] TokenFault),
    /// The keys of tickets.
    #[error("tickets.key_file: {0}")]
    TicketKeys(#[from] KeyFileFault),
    /// The secrets that sign notifications.
    #[error("notify.secret_file: {0}")]
    NotifySecrets(#[from] SecretFileFault),
    /// A file that the connection to NATS is made with.
    #[error("{key}: {source}")]
    NatsFile {
        /// The key that names it.
        key: &'static str,
        /// The file, with what is wrong.
        source: CertificateFault,
    },
    /// The rules.
    #[error("the rules can't be read:\n{0}")]
    Rules(#[from] RulesError),
    /// The public suffix list of the configuration.
    #[error("policy.public_suffix_list: {}: {source}", path.display())]
    Suffixes {
        /// The file.
        path: PathBuf,
        /// The error.
        source: SuffixError,
    },
    /// The file of a public suffix list that can't be read.
    #[error(
        "policy.public_suffix_list: {}: {source}; name a file with such a list, or leave the key out for the one compiled in",
        path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The system refused threads.
    #[error("can't start the edge's threads: {0}")]
    Runtime(io::Error),
    /// The system refused to have signals listened to.
    #[error("can't listen for signals: {0}")]
    Signals(io::Error),
    /// The socket for upgrades.
    #[error(
        "edge.upgrade_socket: can't listen on {}: {source}; set another path, of at most 90 bytes", path.display()
    )]
    UpgradeSocket {
        /// The path.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The socket for upgrades is another edge's.
    #[error("edge.upgrade_socket: another edge listens on {}; give each its own", .0.display())]
    UpgradeSocketTaken(PathBuf),
    /// The process that is to be relieved.
    #[error("edge.upgrade_socket: can't take over from the process at {}: {source}", path.display())]
    TakeOver {
        /// The path.
        path: PathBuf,
        /// The error of the link.
        source: io::Error,
    },
    /// The process that is to be relieved, later on.
    #[error("the process that is to be relieved does not hand over: {0}")]
    Predecessor(io::Error),
    /// The program of this process.
    #[error("can't tell which program this is: {0}")]
    Program(io::Error),
    /// A socket that systemd has opened, of another kind.
    #[error(
        "LISTEN_FDS has a socket that is no listening TCP socket: {0}; use ListenStream= with an IP address and port"
    )]
    UnusableSocket(io::Error),
    /// A socket that systemd has opened, and nobody wants.
    #[error(
        "LISTEN_FDS has a socket for {0}, but no listener is configured there; change edge.listen or the socket unit"
    )]
    UnknownSocket(SocketAddr),
    /// A panic at start.
    #[error("the start failed: {0}; please report this")]
    Internal(String),
    /// An import although the rules come from a file.
    #[error("the rules come from {}: edit them there, or set `source = \"store\"` in [rules]", .0)]
    NoStore(String),
    /// An import although the rules come from a bucket.
    #[error(
        "the rules come from the bucket {0}, which a fleet shares: send the documents to a running edge, with POST \
         /v1/batch?chunked=true"
    )]
    SharedRules(String),
    /// The store, where its copies are made.
    #[error(transparent)]
    Store(StoreError),
    /// A copy of the store that is to be put back.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// A store that is to be replaced while an edge runs.
    #[error("an edge is running here, it listens on {}: stop it first; nothing was changed", .0.display())]
    EdgeRuns(PathBuf),
    /// An export that can't be written.
    #[error("can't write the documents: {0}")]
    Export(io::Error),
    /// A configuration that asks for a demo which is not built in.
    #[error(
        "this binary has no demo: build it with the feature `demo`, or set `servers` instead of `builtin`"
    )]
    NoDemo,
    /// The demo's own listener.
    #[error("the demo can't listen on a loopback port of its own: {0}")]
    Demo(io::Error),
    /// Two metrics with the same name.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The process has a log already.
    #[error("this process already has a log")]
    LogTaken,
}

impl From<Vec<EdgeError>> for AppError {
    fn from(errors: Vec<EdgeError>) -> Self {
        Self::Several(errors.into_iter().map(Self::from).collect())
    }
}

fn lines(errors: &[AppError]) -> String {
    errors.iter().map(AppError::to_string).collect::<Vec<_>>().join("\n")
}
