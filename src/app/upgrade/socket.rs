//! Socket `edge.upgrade_socket`, on which a process is asked for an upgrade, found by the one that takes over, and given
//! calls that an older one passes on.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::link::Link;
use super::message::Message;
use crate::app::AppError;

/// Time for a process to say what it wants.
const FIRST_WORD: Duration = Duration::from_secs(5);

/// Pause after the system had no room for another connection.
const PAUSE: Duration = Duration::from_millis(100);

/// Somebody who wants something.
pub(in crate::app) enum Incoming {
    /// An upgrade.
    Upgrade(Link),
    /// To take over, with this secret.
    TakeOver {
        /// The link.
        link: Link,
        /// What it said.
        secret: String,
        /// The version of its program.
        version: String,
    },
    /// To pass a call on.
    Call(UnixStream),
}

/// Listening socket.
pub(in crate::app) struct UpgradeSocket {
    path: PathBuf,
    incoming: mpsc::Sender<Incoming>,
    /// Accepts; ends with this.
    _task: AbortOnDropHandle<()>,
}

impl UpgradeSocket {
    /// Listens at this path, in the place of a socket that is there.
    ///
    /// # Errors
    ///
    /// The path can't be used.
    pub(in crate::app) fn listen(path: &Path, incoming: mpsc::Sender<Incoming>) -> Result<Self, AppError> {
        let fault = |source| AppError::UpgradeSocket { path: path.to_owned(), source };
        let listener = bind(path).map_err(fault)?;
        let task = tokio::spawn(accept(listener, incoming.clone()));
        Ok(Self { path: path.to_owned(), incoming, _task: AbortOnDropHandle::new(task) })
    }

    /// Whether a process listens at this path.
    pub(in crate::app) fn is_taken(path: &Path) -> bool {
        StdUnixStream::connect(path).is_ok()
    }

    /// Listens again, where a process that failed to take over has put its own.
    pub(super) fn again(&mut self) -> Result<(), AppError> {
        *self = Self::listen(&self.path, self.incoming.clone())?;
        Ok(())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the socket.
    pub(in crate::app) fn remove(self) {
        // An error means that it is gone already.
        let _ = fs::remove_file(&self.path);
    }
}

/// Binds under another name first, so that nobody ever finds a socket that others may use, or none.
fn bind(path: &Path) -> io::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    let unfinished = PathBuf::from(name);
    // One of this process's number may have been left behind.
    let _ = fs::remove_file(&unfinished);
    let listener = UnixListener::bind(&unfinished)?;
    fs::set_permissions(&unfinished, Permissions::from_mode(0o600))?;
    fs::rename(&unfinished, path)?;
    Ok(listener)
}

async fn accept(listener: UnixListener, incoming: mpsc::Sender<Incoming>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let incoming = incoming.clone();
        drop(tokio::spawn(async move {
            match timeout(FIRST_WORD, heard(Link::new(stream))).await {
                // An error means that the process is ending.
                Ok(Ok(wanted)) => drop(incoming.send(wanted).await),
                Ok(Err(error)) => tracing::warn!(%error, "refused on the upgrade socket"),
                Err(_) => {}
            }
        }));
    }
}

async fn heard(mut link: Link) -> io::Result<Incoming> {
    if !link.is_of_this_user() {
        return Err(io::Error::other("the process belongs to another user"));
    }
    match link.receive().await? {
        Message::Upgrade => Ok(Incoming::Upgrade(link)),
        Message::TakeOver { secret, version } => Ok(Incoming::TakeOver { link, secret, version }),
        Message::Call => Ok(Incoming::Call(link.into_stream())),
        message => Err(super::link::unexpected(&message)),
    }
}
