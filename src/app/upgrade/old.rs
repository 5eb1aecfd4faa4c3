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
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

use super::link::{Link, unexpected};
use super::message::Message;
use super::on_thread;
use super::program::{NewProcess, Program};
use super::relief::Relief;
use super::socket::{Arrival, UpgradeSocket};
use crate::admin::{Gate, PageSessions, Successor};
use crate::app::lent::Departure;
use crate::database::Lendable;
use crate::files::private;
use crate::limits::limiter::Limiter;
use crate::notifications::remembered::RememberedSessions;
use crate::rules::error::WideChange;
use crate::rules::publisher::Publisher;
use crate::rules::source::{RulesFile, SourceFollower};

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
    #[error(
        "the rules file says what is held, and a new process would put that in force: it would {wide}; put it in force \
         with `embedgate apply --confirm {}`, or undo the edit, and upgrade then",
        wide.confirm
    )]
    Held { wide: WideChange },
    #[error("the edge stops")]
    Stops,
}

/// What is handed over.
pub(in crate::app) struct HandOver<'a> {
    pub(in crate::app) program: &'a Program,
    pub(in crate::app) socket: &'a mut UpgradeSocket,
    pub(in crate::app) listeners: Vec<(SocketAddr, BorrowedFd<'a>)>,
    pub(in crate::app) gate: &'a Gate,
    /// People at the operator's page.
    pub(in crate::app) page_sessions: &'a PageSessions,
    pub(in crate::app) publisher: &'a Arc<Publisher>,
    /// The database files beside the rules.
    pub(in crate::app) files: &'a [Arc<dyn Lendable>],
    /// What is used of limits.
    pub(in crate::app) limiter: &'a Arc<Limiter>,
    /// Sessions that have left the edge.
    pub(in crate::app) remembered: &'a Arc<RememberedSessions>,
    /// What keeps the rules current.
    pub(in crate::app) follower: &'a mut Option<RunningFollower>,
    /// The files that they come from.
    pub(in crate::app) file: Option<&'a Arc<dyn RulesFile>>,
}

/// New process on its way.
struct Candidate {
    process: NewProcess,
    arrival: Arrival,
    /// The database files are the last that it gets.
    departure: Departure,
}

/// New process that serves.
struct ServingProcess {
    /// Who may call its admin API.
    control: String,
    /// Whether it is told what this one counts from now on.
    takes_counts: bool,
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
        if let Some(wide) = self.file.and_then(|file| file.held()) {
            return Err(UpgradeError::Held { wide });
        }
        tokio::pin!(stop);
        let mut candidate = tokio::select! {
            prepared = self.prepared() => prepared?,
            () = &mut stop => return Err(UpgradeError::Stops),
        };
        self.gate.close().await;
        // Not broken off by a stop: whatever is lent is taken back.
        let lent = self.lent().await;
        let taken = match &lent {
            Ok(()) => tokio::select! {
                taken = self.taken(&mut candidate) => taken,
                () = &mut stop => Err(UpgradeError::Stops),
            },
            Err(error) => Err(UpgradeError::Store(error.clone())),
        };
        let ServingProcess { control, takes_counts } = match taken {
            Ok(serving) => serving,
            Err(error) => {
                self.give_up(candidate, lent.is_ok()).await;
                return Err(error);
            }
        };
        self.publisher.hand_over();
        if let Some(follower) = self.follower.take() {
            follower.end();
        }
        let Candidate { process, arrival: Arrival { link, version, socket }, departure: _ } = candidate;
        match self.socket.desk().lets_in_by(&control) {
            true => self.gate.pass_on(Arc::new(SuccessorSocket { path: socket, control })),
            // Whoever was let in by the old requirement may not be by the new one.
            false => self.gate.refuse(),
        }
        let pid = process.id().unwrap_or_default();
        process.let_go();
        if !takes_counts {
            self.limiter.keep_counts();
        }
        let limiter = takes_counts.then(|| Arc::clone(self.limiter));
        Ok(Relief::new(link, (limiter, Arc::clone(self.remembered)), pid, version))
    }

    /// Starts the program, and waits until it has prepared everything but the rules.
    async fn prepared(&mut self) -> Result<Candidate, UpgradeError> {
        let start = |source| UpgradeError::Start { path: self.program.path().to_owned(), source };
        let random = private::random::<16>().map_err(|error| start(io::Error::other(error.to_string())))?;
        let secret: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let arrival = self.socket.desk().await_process(&secret);
        let mut process = self.program.start(&secret, self.socket.path()).map_err(start)?;
        let arrived = async { arrival.await.map_err(io::Error::other) };
        let mut arrival = watched(&mut process, PREPARING, PREPARE, arrived).await?;
        let (addresses, sockets): (Vec<_>, Vec<_>) = self.listeners.iter().copied().unzip();
        let wants_store = async {
            arrival.link.send_with(&Message::Listeners { addresses }, &sockets).await?;
            match arrival.link.receive().await? {
                Message::WantsStore => Ok(()),
                other => Err(unexpected(&other)),
            }
        };
        watched(&mut process, PREPARING, PREPARE, wants_store).await?;
        Ok(Candidate { process, arrival, departure: Departure::default() })
    }

    /// Closes the store.
    async fn lent(&self) -> Result<(), String> {
        let publisher = Arc::clone(self.publisher);
        let lent = on_thread(move || publisher.lend()).await;
        lent.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }

    /// Waits until the new process serves.
    async fn taken(&self, candidate: &mut Candidate) -> Result<ServingProcess, UpgradeError> {
        let Candidate { process, arrival, departure } = candidate;
        let serving = async {
            let book = self.publisher.book_name();
            // Nothing else is taken over: a later edit is not judged yet, or held.
            let files = self.file.map(|file| file.in_force());
            let limiter = Arc::clone(self.limiter);
            let counts = spawn_blocking(move || limiter.hand_over()).await.map_err(io::Error::other)?;
            // Calls wait, so none begins or ends meanwhile.
            let page_sessions = self.page_sessions.hand_over();
            let free = Message::StoreIsFree { book, files, counts: Some(counts), page_sessions };
            arrival.link.send(&free).await?;
            match arrival.link.receive().await? {
                Message::Serving { control, takes_counts } => {
                    // Only now: until then, this process is the one that sees. If it takes longer, the new one tries again.
                    departure.begin(self.files).await;
                    arrival.link.send(&Message::Yours).await?;
                    Ok(ServingProcess { control, takes_counts })
                }
                other => Err(unexpected(&other)),
            }
        };
        watched(process, TAKING, TAKE, serving).await
    }

    /// Ends the new process, and goes on as before.
    async fn give_up(&mut self, candidate: Candidate, lent: bool) {
        let Candidate { process, arrival: _, departure } = candidate;
        process.kill().await;
        self.limiter.keep_counts();
        departure.undo(self.files);
        if let Err(error) = self.socket.again() {
            tracing::error!(%error, "no upgrade is possible any more");
        }
        if lent {
            let publisher = Arc::clone(self.publisher);
            if let Ok(Err(error)) = on_thread(move || publisher.take_back()).await {
                tracing::error!(%error, "the store could not be taken back");
            }
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

/// Time for a follower to say that it stops.
const FOLLOWER_ENDS: Duration = Duration::from_secs(2);

/// Follower of a source of rules, as it runs.
pub(in crate::app) struct RunningFollower {
    stop: watch::Sender<bool>,
    running: JoinHandle<()>,
}

impl RunningFollower {
    /// Lets a follower run.
    pub(in crate::app) fn start(follower: Box<dyn SourceFollower>) -> Self {
        let (stop, stopped) = watch::channel(false);
        Self { stop, running: tokio::spawn(follower.follow(stopped)) }
    }

    /// Ends it when the edge stops, and waits until it has said so where others wait for this edge.
    pub(in crate::app) async fn stop(self) {
        self.stop.send_replace(true);
        if timeout(FOLLOWER_ENDS, self.running).await.is_err() {
            tracing::warn!("what keeps the rules current has not ended in time");
        }
    }

    /// Ends it: the process that has taken over follows the source. It can't change anything any more.
    fn end(self) {
        self.stop.send_replace(true);
    }
}

/// Way to the process that has taken over.
struct SuccessorSocket {
    path: PathBuf,
    /// By whose rules its calls were let in.
    control: String,
}

#[async_trait]
impl Successor for SuccessorSocket {
    async fn connect(&self) -> io::Result<UnixStream> {
        let mut link = Link::connect(&self.path).await?;
        link.send(&Message::Call { control: self.control.clone() }).await?;
        Ok(link.into_stream())
    }
}
