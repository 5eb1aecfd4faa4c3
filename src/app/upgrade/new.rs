//! Side of the process that takes over.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::feed::{Feed, HeardOut};
use super::link::{Link, unexpected};
use super::message::Message;
use super::{on_thread, program};
use crate::admin::{PageSessions, PassedPageSessions};
use crate::app::AppError;
use crate::limits::handover::PassedCounts;
use crate::rules::publisher::Publisher;
use crate::rules::source::FilesInForce;
use embedgate_policy::decision::EdgePolicy;

/// Time for each answer of the old process, which may have to let calls and readers end first.
const ANSWER: Duration = Duration::from_secs(30);

/// Process that this one relieves.
pub(in crate::app) struct Predecessor {
    link: Link,
    /// The name of its book.
    book: String,
    /// The rules files in force there.
    files: Option<FilesInForce>,
    /// What is used of limits there.
    counts: Option<PassedCounts>,
    /// The sessions of people at the operator's page there.
    page_sessions: PassedPageSessions,
}

/// Process that this one relieves, once everything is ready for that.
pub(in crate::app) struct Relieving {
    feed: Arc<Feed>,
    relieved: oneshot::Receiver<()>,
    book: String,
}

/// Process that this one has relieved.
pub(in crate::app) struct Relieved {
    feed: Arc<Feed>,
    book: String,
}

impl Predecessor {
    /// The process that has started this one to take over, and its listening sockets; `None` if this is a start like any
    /// other. `socket`: where this process will listen for upgrades.
    ///
    /// # Errors
    ///
    /// The process can't be reached.
    pub(in crate::app) async fn find(
        socket: &Path,
    ) -> Result<Option<(Self, Vec<(SocketAddr, TcpListener)>)>, AppError> {
        let Some((secret, path)) = program::take_over() else { return Ok(None) };
        let found = async {
            let mut link = Link::connect(&path).await?;
            let (version, socket) = (env!("CARGO_PKG_VERSION").to_owned(), socket.to_owned());
            link.send(&Message::TakeOver { secret, version, socket }).await?;
            let (message, sockets) = link.receive_with().await?;
            let Message::Listeners { addresses } = message else { return Err(unexpected(&message)) };
            if addresses.len() != sockets.len() {
                return Err(io::Error::other("not every listener was handed over"));
            }
            let sockets = sockets.into_iter().map(TcpListener::from);
            let page_sessions = PassedPageSessions::default();
            let found = Self { link, book: String::new(), files: None, counts: None, page_sessions };
            Ok((found, addresses.into_iter().zip(sockets).collect()))
        };
        within(found).await.map(Some).map_err(|source| AppError::TakeOver { path, source })
    }

    /// Waits until the store is closed there.
    ///
    /// # Errors
    ///
    /// The process does not hand over.
    pub(in crate::app) async fn store(&mut self) -> Result<(), AppError> {
        let Self { link, book, files, counts, page_sessions } = self;
        let freed = async {
            link.send(&Message::WantsStore).await?;
            match link.receive().await? {
                Message::StoreIsFree { book: name, files: read, counts: counted, page_sessions: open } => {
                    (*book, *files, *counts, *page_sessions) = (name, read, counted, open);
                }
                other => return Err(unexpected(&other)),
            }
            Ok(())
        };
        within(freed).await.map_err(AppError::Predecessor)
    }

    /// The rules files in force there, once the store is closed there.
    pub(in crate::app) fn files(&self) -> Option<&FilesInForce> {
        self.files.as_ref()
    }

    /// What is used of limits there, once the store is closed there; `None` of a version that had none.
    pub(in crate::app) fn take_counts(&mut self) -> Option<PassedCounts> {
        self.counts.take()
    }

    /// The sessions of people at the operator's page, as they were when the store was closed there.
    pub(in crate::app) fn take_page_sessions(&mut self) -> PageSessions {
        PageSessions::taken_over(std::mem::take(&mut self.page_sessions))
    }

    /// Prepares everything for the relief, so that nothing can fail after it. `heard`: what the old process tells until it
    /// ends.
    ///
    /// # Errors
    ///
    /// The system refuses a thread.
    pub(in crate::app) fn prepare(
        self,
        feed: &Arc<Feed>,
        publisher: &Arc<Publisher>,
        heard: HeardOut,
    ) -> Result<Relieving, AppError> {
        let Self { link, book, files: _, counts: _, page_sessions: _ } = self;
        let relieved = feed.connect(link, Arc::clone(publisher), heard).map_err(AppError::Predecessor)?;
        Ok(Relieving { feed: Arc::clone(feed), relieved, book })
    }
}

impl Relieving {
    /// Says that this process serves, and waits until it is the edge. `control`: who may call the admin API.
    ///
    /// # Errors
    ///
    /// The process does not hand over.
    pub(in crate::app) async fn relieve(self, control: String) -> Result<Relieved, AppError> {
        let Self { feed, relieved, book } = self;
        feed.say(&Message::Serving { control, takes_counts: true }).map_err(AppError::Predecessor)?;
        let yours = async { relieved.await.map_err(io::Error::other) };
        within(yours).await.map_err(AppError::Predecessor)?;
        Ok(Relieved { feed, book })
    }
}

impl Relieved {
    /// Puts rules and policy in force in the old process, too.
    pub(in crate::app) async fn begin(self, policy: Arc<ArcSwap<EdgePolicy>>) {
        let Self { feed, book } = self;
        // If no thread can be started, the old process is told with the next change.
        let _ = on_thread(move || feed.begin(&book, &policy)).await;
    }
}

async fn within<T>(answer: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(ANSWER, answer).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
