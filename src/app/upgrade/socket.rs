//! Socket `edge.upgrade_socket`, on which a process is asked for an upgrade, found by the one that takes over, and given
//! calls that an older one passes on.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::link::{Link, unexpected};
use super::message::Message;
use crate::app::AppError;

/// Time for a process to say what it wants.
const FIRST_WORD: Duration = Duration::from_secs(5);

/// Pause after the system had no room for another connection.
const PAUSE: Duration = Duration::from_millis(100);

/// Calls that may wait to be taken.
const CALLS: usize = 1024;

/// New process that has arrived.
pub(super) struct Arrival {
    pub(super) link: Link,
    pub(super) version: String,
    pub(super) socket: PathBuf,
}

/// Desk at which connections to the socket say what they want. It works at any time, also during an upgrade and after it.
pub(in crate::app) struct Desk {
    /// Calls of an older process, for the admin API.
    calls: mpsc::Sender<UnixStream>,
    /// Requests for an upgrade.
    upgrades: mpsc::Sender<Link>,
    /// Who may call the admin API here.
    control: String,
    /// Whether an upgrade is under way.
    busy: AtomicBool,
    /// The new process that is expected, by its secret.
    expected: Mutex<Option<(String, oneshot::Sender<Arrival>)>>,
}

impl Desk {
    /// A desk, with the calls and the requests that come there.
    pub(in crate::app) fn new(
        control: String,
    ) -> (Arc<Self>, mpsc::Receiver<UnixStream>, mpsc::Receiver<Link>) {
        let (calls, taken) = mpsc::channel(CALLS);
        let (upgrades, asked) = mpsc::channel(1);
        let expected = Mutex::new(None);
        let busy = AtomicBool::new(false);
        (Arc::new(Self { calls, upgrades, control, busy, expected }), taken, asked)
    }

    /// Marks whether an upgrade is under way.
    pub(in crate::app) fn set_busy(&self, busy: bool) {
        self.busy.store(busy, Ordering::Release);
    }

    /// Waits for a new process with this secret from now on.
    pub(super) fn await_process(&self, secret: &str) -> oneshot::Receiver<Arrival> {
        let (arrived, arrival) = oneshot::channel();
        *self.expected.lock() = Some((secret.to_owned(), arrived));
        arrival
    }

    /// Whether calls are let in here by these rules.
    pub(super) fn lets_in_by(&self, control: &str) -> bool {
        self.control == control
    }

    async fn hear(&self, mut link: Link) -> io::Result<()> {
        if !link.is_of_this_user() {
            return Err(io::Error::other("the process belongs to another user"));
        }
        match link.receive_first().await? {
            Message::Call { control } if !self.lets_in_by(&control) => {
                return Err(io::Error::other("the call was let in by other rules"));
            }
            // If too many wait, the caller is told to try again.
            Message::Call { .. } => drop(self.calls.try_send(link.into_stream())),
            Message::Upgrade if self.busy.load(Ordering::Acquire) => refuse(link).await,
            Message::Upgrade => {
                if let Err(refused) = self.upgrades.try_send(link) {
                    refuse(refused.into_inner()).await;
                }
            }
            Message::TakeOver { secret, version, socket } => {
                let expected = self.expected.lock().take_if(|(expected, _)| *expected == secret);
                let (_, arrived) = expected.ok_or_else(|| io::Error::other("no such process is expected"))?;
                // An error means that it is not waited for any more.
                let _ = arrived.send(Arrival { link, version, socket });
            }
            other => return Err(unexpected(&other)),
        }
        Ok(())
    }
}

async fn refuse(link: Link) {
    link.answer(Err("an upgrade is under way".to_owned())).await;
}

/// Listening socket.
pub(in crate::app) struct UpgradeSocket {
    path: PathBuf,
    desk: Arc<Desk>,
    /// Accepts; ends with this.
    _task: AbortOnDropHandle<()>,
}

impl UpgradeSocket {
    /// Listens at this path, in the place of a socket that is there.
    ///
    /// # Errors
    ///
    /// The path can't be used.
    pub(in crate::app) fn listen(path: &Path, desk: Arc<Desk>) -> Result<Self, AppError> {
        let fault = |source| AppError::UpgradeSocket { path: path.to_owned(), source };
        let listener = bind(path).map_err(fault)?;
        let task = tokio::spawn(accept(listener, Arc::clone(&desk)));
        Ok(Self { path: path.to_owned(), desk, _task: AbortOnDropHandle::new(task) })
    }

    /// Whether a process listens at this path.
    pub(in crate::app) fn is_taken(path: &Path) -> bool {
        StdUnixStream::connect(path).is_ok()
    }

    /// Listens again, where a process that failed to take over has put its own.
    ///
    /// # Errors
    ///
    /// The path can't be used any more.
    pub(super) fn again(&mut self) -> Result<(), AppError> {
        *self = Self::listen(&self.path, Arc::clone(&self.desk))?;
        Ok(())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(in crate::app) fn desk(&self) -> &Desk {
        &self.desk
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

async fn accept(listener: UnixListener, desk: Arc<Desk>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let desk = Arc::clone(&desk);
        drop(tokio::spawn(async move {
            if let Ok(Err(error)) = timeout(FIRST_WORD, desk.hear(Link::new(stream))).await {
                tracing::debug!(%error, "refused on the upgrade socket");
            }
        }));
    }
}
