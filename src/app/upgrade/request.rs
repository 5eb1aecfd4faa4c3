//! Request for an upgrade, by a command.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::message::Message;

/// Time for an upgrade, more than all its parts together.
const LIMIT: Duration = Duration::from_secs(180);

/// Process that has taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgraded {
    /// Its id.
    pub pid: u32,
    /// The version of its program.
    pub version: String,
}

/// Failure of a request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestFault {
    /// No process listens there.
    #[error("{0}")]
    Unreachable(io::Error),
    /// The process goes on.
    #[error("{0}")]
    Failed(String),
}

/// Asks the edge that listens at this path for an upgrade, and waits for its outcome.
///
/// # Errors
///
/// The edge can't be asked, or goes on because its upgrade failed.
pub fn request(path: &Path) -> Result<Upgraded, RequestFault> {
    match ask(path).map_err(RequestFault::Unreachable)? {
        Message::Upgraded { pid, version } => Ok(Upgraded { pid, version }),
        Message::Failed { detail } => Err(RequestFault::Failed(detail)),
        other => Err(RequestFault::Unreachable(super::link::unexpected(&other))),
    }
}

fn ask(path: &Path) -> io::Result<Message> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(&Message::Upgrade.to_bytes()?)?;
    Message::read_from(&mut stream)
}
