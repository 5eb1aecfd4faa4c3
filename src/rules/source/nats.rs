//! Rules from a bucket of NATS JetStream that a fleet of edges shares.
//!
//! Every edge follows the bucket in its order and keeps what it has taken in a local store, the cache: it starts and
//! serves from there while NATS is away, and goes on from the message after the last one. What is saved through any edge
//! is published first, and is in force when it comes back. A bucket that is not the one that was followed is a fault,
//! and the rules in force stay: they never go backwards unless an operator says so.
//!
//! | module | is |
//! |---|---|
//! | [`connection`], [`credentials`] | the connection to a server, and calls to JetStream |
//! | [`bucket`], [`message`] | the stream, and what is in its messages |
//! | [`consumer`], [`assembly`] | messages in their order, and batches as a whole |
//! | [`follower`], [`following`], [`agreement`], [`whole`], [`announced`], [`fault`] | one session after another, and what keeps one from following |
//! | [`applying`] | the way to the publisher |
//! | [`publishing`] | the way from the publisher to the bucket |
//! | [`shares`] | the notes of the fleet, in a bucket of their own |
//! | [`registry`], [`report`], [`asking`], [`peers`], [`words`], [`fleet`], [`deciding`] | the other edges |

use std::io;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use self::applying::Applier;
use self::fleet::NatsFleet;
use self::follower::BucketFollower;
use self::hub::Hub;
use self::publishing::NatsBucket;
use self::shares::NatsNotes;
use super::store::pages;
use super::{DocumentPages, RuleSource, SourceFollower, SourceKind, StartedSource};
use crate::rules::error::{RulesError, SourceError, StoreError};
use crate::rules::publisher::Publisher;
use crate::rules::storage::redb::{Reading, RuleStore, StoreUse};
use embedgate_policy::suffix::PublicSuffixes;

mod agreement;
mod announced;
mod applying;
mod asking;
mod assembly;
mod bucket;
mod comparing;
mod connection;
mod consumer;
mod credentials;
mod deciding;
mod fault;
mod fleet;
mod follower;
mod following;
mod hub;
mod message;
mod peers;
mod publishing;
mod registry;
mod report;
mod shares;
mod whole;
mod words;

pub use self::connection::NatsConnection;
pub use self::credentials::check_credentials;

/// Time of a start to catch up with the bucket, where there is a cache to serve from.
const CATCH_UP: Duration = Duration::from_secs(2);

/// Pause before another follower begins where one has broken down.
const BROKEN_DOWN: Duration = Duration::from_secs(1);

/// Time after which a start that waits says so again.
const STILL_WAITING: Duration = Duration::from_secs(10);

/// Bucket of NATS JetStream as a source of rules.
pub struct NatsSource {
    settings: NatsConnection,
    reading: Reading,
}

impl NatsSource {
    /// The bucket of these settings.
    pub fn new(settings: NatsConnection) -> Self {
        Self { settings, reading: Reading::Whole }
    }

    /// The same, which another process has followed until now. A start follows nothing before its follower runs.
    #[must_use]
    pub fn handed_over(self) -> Self {
        Self { reading: Reading::RulesAlone, ..self }
    }
}

impl RuleSource for NatsSource {
    fn kind(&self) -> SourceKind {
        SourceKind::NATS
    }

    fn name(&self) -> String {
        self.settings.bucket.clone()
    }

    fn location(&self) -> String {
        self.settings.cache.display().to_string()
    }

    fn start(
        &self,
        publisher: Publisher,
        suffixes: Arc<PublicSuffixes>,
    ) -> Result<StartedSource, RulesError> {
        let Self { settings, reading } = self;
        let opened = RuleStore::open(&settings.cache, Arc::clone(&suffixes), StoreUse::Edge, *reading);
        let (store, book) = opened.map_err(StoreError::of_a_fleet)?;
        let store = Arc::new(store);
        let is_new = store.is_new();
        let publisher = publisher.with_storage(store, book);
        let edges = publisher.edges().unwrap_or_else(|error| {
            tracing::warn!(%error, "the other edges are not known until the bucket is followed");
            Vec::new()
        });
        let hub = Arc::new(Hub::new(settings.clone(), publisher.contact(), &edges));
        let runtime = Handle::current();
        let notes = Arc::new(NatsNotes::new(Arc::clone(&hub)));
        let bucket = NatsBucket { hub: Arc::clone(&hub), runtime: runtime.clone() };
        let publisher = Arc::new(publisher.with_bucket(Arc::new(bucket)));
        let applier = Applier::new(Arc::clone(&publisher), suffixes);
        let fleet = Arc::new(NatsFleet { hub: Arc::clone(&hub), applier: applier.clone(), notes });
        let (started, has_started) = mpsc::channel();
        let (stop, stopped) = watch::channel(false);
        let follower = KeptFollower::new(hub, applier, started);
        let followed = match reading {
            // Only one process follows, and the other one has the fleet's word until it is relieved. Where there is
            // nothing to serve, the other one has followed something else.
            Reading::RulesAlone if publisher.position().is_some() => {
                Followed::Later(Box::new(follower), stopped)
            }
            Reading::RulesAlone | Reading::Whole => {
                let running = runtime.spawn(follower.run(stopped));
                self.wait(&publisher, &has_started)?;
                Followed::Already(running)
            }
        };
        if is_new {
            publisher.establish()?;
        }
        let follower = Box::new(NatsFollower { stop, followed });
        Ok(StartedSource { publisher, follower: Some(follower), file: None, fleet: Some(fleet) })
    }

    fn documents(&self, suffixes: Arc<PublicSuffixes>) -> Result<DocumentPages, RulesError> {
        if !self.settings.cache.exists() {
            // Nothing was followed yet; what the bucket has, a start will read.
            return Ok(Box::new(std::iter::empty()));
        }
        let opened = RuleStore::open_existing(&self.settings.cache, suffixes, StoreUse::Edge, Reading::Whole);
        Ok(Box::new(pages(opened.map_err(StoreError::of_a_fleet)?.0)))
    }
}

impl NatsSource {
    /// Waits until the bucket is in force, or for a moment where there are rules to serve meanwhile.
    fn wait(&self, publisher: &Publisher, has_started: &mpsc::Receiver<()>) -> Result<(), RulesError> {
        let bucket = &self.settings.bucket;
        if publisher.position().is_some() {
            if has_started.recv_timeout(CATCH_UP).is_err() {
                let cache = self.settings.cache.display();
                tracing::warn!(
                    source = "nats",
                    bucket,
                    "the bucket could not be caught up with yet, so the rules of {cache} are served meanwhile"
                );
            }
            return Ok(());
        }
        loop {
            match has_started.recv_timeout(STILL_WAITING) {
                Ok(()) => return Ok(()),
                Err(mpsc::RecvTimeoutError::Timeout) => tracing::warn!(
                    source = "nats",
                    bucket,
                    "this edge has no rules yet, and waits for the bucket to start"
                ),
                // Better no edge than one with an empty book.
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    let source =
                        Arc::new(io::Error::other("it is not followed any more, and no rules were read"));
                    return Err(SourceError::Unreadable { path: bucket.into(), source }.into());
                }
            }
        }
    }
}

/// Follower in whose place comes another one where it breaks down.
struct KeptFollower {
    hub: Arc<Hub>,
    applier: Applier,
    started: mpsc::Sender<()>,
    first: BucketFollower,
}

impl KeptFollower {
    fn new(hub: Arc<Hub>, applier: Applier, started: mpsc::Sender<()>) -> Self {
        let first = BucketFollower::new(Arc::clone(&hub), applier.clone(), started.clone());
        Self { hub, applier, started, first }
    }

    /// Follows the bucket until `stop` turns true or its sender is gone.
    async fn run(self, mut stop: watch::Receiver<bool>) {
        let Self { hub, applier, started, first: mut follower } = self;
        loop {
            let Err(error) = tokio::spawn(follower.run(stop.clone())).await else {
                hub.has_left.send_replace(true);
                return;
            };
            hub.connect(Err("the follower of the bucket broke down".into()));
            tracing::error!(
                bucket = hub.names.bucket,
                %error,
                "the follower of the bucket broke down, and another one begins; the last good rules stay in force"
            );
            if applier.position().is_none() {
                // Whoever waits for the first rules is told by the end of the channel.
                return;
            }
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = sleep(BROKEN_DOWN) => {}
            }
            follower = BucketFollower::new(Arc::clone(&hub), applier.clone(), started.clone());
        }
    }
}

/// Follower of the bucket, which may run already.
struct NatsFollower {
    stop: watch::Sender<bool>,
    followed: Followed,
}

/// State of a follower before somebody lets it run.
enum Followed {
    Already(JoinHandle<()>),
    Later(Box<KeptFollower>, watch::Receiver<bool>),
}

#[async_trait]
impl SourceFollower for NatsFollower {
    async fn follow(self: Box<Self>, mut shutdown: watch::Receiver<bool>) {
        let Self { stop, followed } = *self;
        let mut running = match followed {
            Followed::Already(running) => running,
            Followed::Later(follower, stopped) => tokio::spawn(follower.run(stopped)),
        };
        tokio::select! {
            ended = &mut running => {
                if let Err(error) = ended {
                    tracing::error!(%error, "the bucket is followed no longer; the last good rules stay in force");
                }
                return;
            }
            _ = shutdown.wait_for(|shutdown| *shutdown) => {}
        }
        stop.send_replace(true);
        if let Err(error) = running.await {
            tracing::error!(%error, "the follower of the bucket broke down");
        }
    }
}
