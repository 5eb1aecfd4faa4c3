//! Side of the process that is relieved.

use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::link::{Link, unexpected};
use super::message::Message;
use super::program::{NewProcess, Program};
use super::socket::{Incoming, UpgradeSocket};
use crate::admin::{Gate, Successor};
use crate::files::private;
use crate::rules::publisher::Publisher;

/// Time for the new process to read its configuration and to look up upstreams.
const PREPARE: Duration = Duration::from_secs(60);

/// Time for the new process to read the store. Saves wait meanwhile.
const TAKE: Duration = Duration::from_secs(30);

/// Reason why an upgrade failed. The old process goes on.
#[derive(Debug, thiserror::Error)]
pub(in crate::app) enum UpgradeError {
    #[error("{}: can't be started: {source}", path.display())]
    Start { path: PathBuf, source: io::Error },
    #[error("the new process ended {during}: {status}; its log says why")]
    Ended { during: &'static str, status: ExitStatus },
    #[error("the new process was not ready {during} within {} s", limit.as_secs())]
    Slow { during: &'static str, limit: Duration },
    #[error("the new process broke off {during}: {source}")]
    Link { during: &'static str, source: io::Error },
    #[error("the store could not be handed over: {0}")]
    Store(String),
    #[error("the edge stops")]
    Stops,
}

/// What is handed over.
pub(in crate::app) struct HandOver<'a> {
    pub(in crate::app) program: &'a Program,
    pub(in crate::app) socket: &'a mut UpgradeSocket,
    pub(in crate::app) incoming: &'a mut mpsc::Receiver<Incoming>,
    pub(in crate::app) listeners: Vec<(SocketAddr, BorrowedFd<'a>)>,
    pub(in crate::app) gate: &'a Gate,
    pub(in crate::app) publisher: &'a Arc<Publisher>,
}

/// Process that has taken over.
pub(in crate::app) struct Relief {
    link: Link,
    pub(in crate::app) pid: u32,
    pub(in crate::app) version: String,
}

/// New process on its way.
struct Candidate {
    process: NewProcess,
    link: Link,
    version: String,
}

/// Parts of an upgrade, for its errors.
const PREPARING: &str = "while it prepared";
const TAKING: &str = "while it took over the store";

impl HandOver<'_> {
    /// Starts the program and hands everything over. `stop` resolves when the edge has to stop.
    ///
    /// # Errors
    ///
    /// The new process does not become ready. It is ended then, and this one is as it was.
    pub(in crate::app) async fn hand_over(
        mut self,
        stop: impl Future<Output = ()>,
    ) -> Result<Relief, UpgradeError> {
        tokio::pin!(stop);
        let mut candidate = tokio::select! {
            prepared = self.prepared() => prepared?,
            () = &mut stop => return Err(UpgradeError::Stops),
        };
        self.gate.close().await;
        let taken = tokio::select! {
            taken = self.taken(&mut candidate) => taken,
            () = &mut stop => Err(UpgradeError::Stops),
        };
        if let Err(error) = taken {
            self.take_back(candidate).await;
            return Err(error);
        }
        self.publisher.hand_over();
        self.gate.pass_on(Arc::new(SuccessorSocket(self.socket.path().to_owned())));
        let Candidate { process, link, version } = candidate;
        let pid = process.id().unwrap_or_default();
        process.let_go();
        Ok(Relief { link, pid, version })
    }

    /// Starts the program, and waits until it has prepared everything but the rules.
    async fn prepared(&mut self) -> Result<Candidate, UpgradeError> {
        let start = |source| UpgradeError::Start { path: self.program.path().to_owned(), source };
        let random = private::random::<16>().map_err(|error| start(io::Error::other(error.to_string())))?;
        let secret: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut process = self.program.start(&secret).map_err(start)?;
        let asked = async {
            loop {
                match self.incoming.recv().await {
                    Some(Incoming::TakeOver { link, secret: said, version }) if said == secret => {
                        return (link, version);
                    }
                    Some(Incoming::Upgrade(mut link)) => {
                        let detail = "an upgrade is under way".to_owned();
                        // An error means that whoever asked has left.
                        let _ = link.send(&Message::Failed { detail }).await;
                    }
                    Some(_) => {}
                    None => std::future::pending().await,
                }
            }
        };
        let (link, version) = watched(&mut process, PREPARING, PREPARE, async { Ok(asked.await) }).await?;
        let mut candidate = Candidate { process, link, version };
        let (addresses, sockets): (Vec<_>, Vec<_>) = self.listeners.iter().copied().unzip();
        let Candidate { process, link, .. } = &mut candidate;
        let wants_store = async {
            link.send_with(&Message::Listeners { addresses }, &sockets).await?;
            match link.receive().await? {
                Message::WantsStore => Ok(()),
                message => Err(unexpected(&message)),
            }
        };
        watched(process, PREPARING, PREPARE, wants_store).await?;
        Ok(candidate)
    }

    /// Closes the store, and waits until the new process serves.
    async fn taken(&self, candidate: &mut Candidate) -> Result<(), UpgradeError> {
        let publisher = Arc::clone(self.publisher);
        let lent = tokio::task::spawn_blocking(move || publisher.lend()).await;
        let lent = lent.map_err(|error| UpgradeError::Store(error.to_string()))?;
        lent.map_err(|error| UpgradeError::Store(error.to_string()))?;
        let Candidate { process, link, .. } = candidate;
        let serving = async {
            link.send(&Message::StoreIsFree).await?;
            match link.receive().await? {
                Message::Serving => link.send(&Message::Yours).await,
                message => Err(unexpected(&message)),
            }
        };
        watched(process, TAKING, TAKE, serving).await
    }

    /// Ends the new process, and goes on as before.
    async fn take_back(&mut self, candidate: Candidate) {
        candidate.process.kill().await;
        if let Err(error) = self.socket.again() {
            tracing::error!(%error, "no upgrade is possible any more");
        }
        let publisher = Arc::clone(self.publisher);
        let taken = tokio::task::spawn_blocking(move || publisher.take_back()).await;
        if let Ok(Err(error)) = taken {
            tracing::error!(%error, "the store could not be taken back");
        }
        self.gate.open();
    }
}

/// Waits for the new process to do something, unless it ends or takes too long.
async fn watched<T>(
    process: &mut NewProcess,
    during: &'static str,
    limit: Duration,
    done: impl Future<Output = io::Result<T>>,
) -> Result<T, UpgradeError> {
    let done = timeout(limit, done);
    tokio::select! {
        biased;
        done = done => match done {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(source)) => Err(match timeout(Duration::from_secs(1), process.ended()).await {
                Ok(Ok(status)) => UpgradeError::Ended { during, status },
                _ => UpgradeError::Link { during, source },
            }),
            Err(_) => Err(UpgradeError::Slow { during, limit }),
        },
        ended = process.ended() => Err(match ended {
            Ok(status) => UpgradeError::Ended { during, status },
            Err(source) => UpgradeError::Link { during, source },
        }),
    }
}

impl Relief {
    /// Puts the changes in force that the new process makes, for as long as it is there.
    pub(in crate::app) async fn follow(mut self, publisher: Arc<Publisher>) {
        while let Ok(Message::Swap { generation, changes }) = self.link.receive().await {
            let publisher = Arc::clone(&publisher);
            let followed = tokio::task::spawn_blocking(move || publisher.follow(changes, generation)).await;
            match followed {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return tracing::error!(%error, "the new process's rules can't be followed"),
                Err(error) => return tracing::error!(%error, "the new process's rules can't be followed"),
            }
            if self.link.send(&Message::Followed).await.is_err() {
                return;
            }
        }
    }
}

/// Way to the process that has taken over.
struct SuccessorSocket(PathBuf);

#[async_trait]
impl Successor for SuccessorSocket {
    async fn connect(&self) -> io::Result<UnixStream> {
        let mut link = Link::connect(&self.0).await?;
        link.send(&Message::Call).await?;
        Ok(link.into_stream())
    }
}
