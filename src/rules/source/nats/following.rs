//! One session of following: agree on the bucket, announce this edge, learn of the others, and take messages as they come.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::DeliverPolicy;
use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::applying::Beside;
use super::assembly::BatchAssembly;
use super::bucket::BucketFacts;
use super::connection::{CallFault, ServerConnection};
use super::consumer::{BucketConsumer, Delivery};
use super::follower::{BucketFollower, SessionEnd};
use super::message::BucketMessage;
use super::registry::is_decision;
use super::report::OperatorDecision;
use crate::rules::shared::BucketPosition;
use crate::rules::storage::share::KeptContact;

/// Most messages, and bytes, that come in force with one swap, unless one batch is larger.
const MESSAGES: usize = 10_000;
const BYTES: usize = 32 << 20;

/// Time between two counts of the bucket's keys, and between two times that the whole bucket is read in doubt.
const CHECK: Duration = Duration::from_secs(60);

/// An announcement is repeated after a quarter of `max_staleness`, within these bounds.
const REPEAT_AT_LEAST: Duration = Duration::from_millis(500);
const REPEAT_AT_MOST: Duration = Duration::from_secs(60);

/// The time of a contact is kept this often at most.
const KEEP: Duration = Duration::from_secs(1);

/// Announcement that the bucket has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Announced {
    pub(super) sequence: u64,
    /// The time before it was sent.
    pub(super) at: Timestamp,
    /// The age of the rules from which this edge denies, as it says.
    pub(super) limit: Option<Duration>,
}

/// State of one session.
struct Following {
    connection: Arc<ServerConnection>,
    facts: BucketFacts,
    assembly: BatchAssembly,
    /// The last message that came.
    last: u64,
    /// The announcement at which this edge knows that it had everything when it was sent.
    awaited: Option<Announced>,
    is_current: bool,
}

impl BucketFollower {
    /// Follows the bucket until something ends it.
    pub(super) async fn follow(&mut self, connection: &Arc<ServerConnection>) -> SessionEnd {
        match self.try_to_follow(connection).await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn try_to_follow(&mut self, connection: &Arc<ServerConnection>) -> Result<Infallible, SessionEnd> {
        if self.hub.is_superseded() {
            self.wait_until_alone().await?;
        }
        let facts = self.agree(connection).await?;
        let hub = Arc::clone(&self.hub);
        hub.change_link(|link| {
            link.behind_since.get_or_insert_with(Timestamp::now);
        });
        let announced = Self::announce(Arc::clone(&hub), Arc::clone(connection)).await?;
        self.learn(connection, facts, announced.sequence).await?;
        let from = self.progress.taken + 1;
        let policy = DeliverPolicy::ByStartSequence { start_sequence: from };
        let name = consumer_name("edge", hub.edge());
        let consumer = BucketConsumer::begin(connection, &hub.names, name, ">", policy).await?;
        hub.change_link(|link| link.connected = true);
        tracing::info!(bucket = hub.names.bucket, from, "the bucket is followed");
        let following = Following {
            connection: Arc::clone(connection),
            facts,
            assembly: BatchAssembly::default(),
            last: self.progress.taken,
            awaited: Some(announced),
            is_current: false,
        };
        self.take_all(following, consumer).await
    }

    /// Takes messages as they come.
    async fn take_all(
        &mut self,
        mut following: Following,
        mut consumer: BucketConsumer,
    ) -> Result<Infallible, SessionEnd> {
        let hub = Arc::clone(&self.hub);
        let mut limit = hub.max_staleness.subscribe();
        // Ended with the session: nothing is announced by one that is over.
        let mut announcing: JoinSet<Result<Announced, CallFault>> = JoinSet::new();
        let mut announce_at = self.next_announcement();
        let mut check_at = Instant::now();
        loop {
            tokio::select! {
                delivery = consumer.next() => {
                    let delivery = delivery?;
                    // A batch is seen while the server still stores it, so that nothing more is there for now says nothing.
                    let is_idle = matches!(delivery, Delivery::Heartbeat);
                    if let Delivery::Message(message) = delivery {
                        self.take(&mut following, message).await?;
                        while following.assembly.len() < MESSAGES && following.assembly.bytes() < BYTES {
                            match consumer.ready().await? {
                                Some(Delivery::Message(message)) => self.take(&mut following, message).await?,
                                Some(Delivery::Heartbeat) => {}
                                None => break,
                            }
                        }
                    }
                    if is_idle {
                        following.assembly.end_batch();
                    }
                    self.flush(&mut following).await?;
                    consumer.listens_again();
                    self.settle(&mut following).await?;
                }
                Some(announced) = announcing.join_next() => {
                    match announced {
                        Ok(Ok(announced)) => following.awaited = Some(announced),
                        Ok(Err(fault)) => tracing::warn!("this edge could not announce itself, and tries again: {fault}"),
                        Err(error) => tracing::error!(%error, "this edge could not announce itself"),
                    }
                    self.settle(&mut following).await?;
                }
                () = sleep_until(announce_at), if announcing.is_empty() => {
                    announce_at = self.next_announcement();
                    announcing.spawn(Self::announce(Arc::clone(&hub), Arc::clone(&following.connection)));
                }
                _ = limit.changed() => announce_at = Instant::now(),
                () = hub.announce_again.notified() => announce_at = Instant::now(),
                () = hub.doubt.notified() => self.read_again(&following).await?,
                () = sleep_until(check_at), if following.is_current => {
                    check_at = Instant::now() + CHECK;
                    self.count_keys(&following.connection).await?;
                    consumer.listens_again();
                }
            }
        }
    }

    /// When this edge announces itself again; with rules that may be of any age, it doesn't for a long time.
    fn next_announcement(&self) -> Instant {
        let repeat = match *self.hub.max_staleness.borrow() {
            Some(limit) => (limit / 4).clamp(REPEAT_AT_LEAST, REPEAT_AT_MOST),
            None => Duration::from_secs(24 * 3600),
        };
        Instant::now() + repeat
    }

    /// Takes one message.
    async fn take(&mut self, following: &mut Following, message: BucketMessage) -> Result<(), SessionEnd> {
        let sequence = message.sequence;
        self.hub.knows_of(sequence);
        if message.is_of_widget() {
            following.assembly.push(message);
            following.last = sequence;
            return Ok(());
        }
        following.assembly.end_batch();
        following.last = sequence;
        if is_decision(&message.key) {
            self.flush(following).await?;
            self.hub.registry.lock().note_key(&message.key);
            return self.decided(following, &message).await;
        }
        self.note_of_fleet(&message)
    }

    /// Puts in force what is whole.
    async fn flush(&mut self, following: &mut Following) -> Result<(), SessionEnd> {
        let messages = following.assembly.take();
        let mut flushed = self.progress.taken;
        let mut in_force = None;
        if let Some(BucketMessage { sequence, written, .. }) = messages.last() {
            flushed = *sequence;
            let (created, followed) = (following.facts.created, self.progress.followed);
            let position = BucketPosition { created, sequence: *sequence, written: *written, followed };
            let beside = Beside { position: Some(position), ..Beside::default() };
            self.applier.apply(&self.hub, messages, beside).await?;
            in_force = Some(self.applier.in_force());
        }
        // What came behind an open batch is not in force before it.
        self.progress.taken = if following.assembly.is_open() { flushed } else { following.last };
        if !self.applier.is_kept() {
            // A process that is killed now would begin behind it, so nobody is told that it is enforced here.
            self.hub.notes(in_force);
        } else if in_force.is_some() || *self.hub.enforced.borrow() != self.progress.taken {
            self.hub.enforces(in_force, self.progress.taken);
        }
        Ok(())
    }

    /// Says how current the rules are, now that messages up to here are in force.
    async fn settle(&mut self, following: &mut Following) -> Result<(), SessionEnd> {
        self.applier.keep_edges(&self.hub).await;
        let limit = *self.hub.max_staleness.borrow();
        let is_in_force = |announced: &mut Announced| announced.sequence <= self.progress.taken;
        if let Some(Announced { at, limit, .. }) = following.awaited.take_if(is_in_force) {
            self.is_current_at(at, limit);
            if !following.is_current {
                following.is_current = true;
                self.progress.was_current = true;
                self.caught_up(following).await?;
            }
        } else if following.is_current && limit.is_none() && self.hub.announced_limit().is_none() {
            self.is_current_at(Timestamp::now(), limit);
        }
        Ok(())
    }

    /// Everything that was published before this edge announced itself is in force.
    async fn caught_up(&mut self, following: &Following) -> Result<(), SessionEnd> {
        if self.applier.position().is_none() {
            // An empty bucket: it is the one that is followed from now on.
            let (created, followed) = (following.facts.created, self.progress.followed);
            let position = BucketPosition { created, sequence: 0, written: 0, followed };
            let beside = Beside { position: Some(position), ..Beside::default() };
            self.applier.apply(&self.hub, Vec::new(), beside).await?;
            self.hub.enforces(Some(self.applier.in_force()), self.progress.taken);
        }
        self.hub.change_link(|link| link.behind_since = None);
        tracing::info!(
            bucket = self.hub.names.bucket,
            sequence = self.progress.taken,
            "everything that the bucket has is in force"
        );
        self.has_started();
        Ok(())
    }

    fn is_current_at(&mut self, at: Timestamp, limit: Option<Duration>) {
        self.hub.change_link(|link| {
            (link.current_at, link.announced_limit) = (Some(at), limit);
            link.behind_since = None;
        });
        let now = Instant::now();
        let is_due = limit.is_some() && self.progress.kept.is_none_or(|kept| now - kept >= KEEP);
        if self.applier.is_kept() && (is_due || limit != self.progress.kept_limit) {
            (self.progress.kept, self.progress.kept_limit) = (Some(now), limit);
            self.applier.keep_contact(KeptContact { at, limit });
        }
    }

    /// Follows an operator's decision, once.
    async fn decided(
        &mut self,
        following: &mut Following,
        message: &BucketMessage,
    ) -> Result<(), SessionEnd> {
        let Ok(decision) = serde_json::from_slice::<OperatorDecision>(&message.payload) else {
            tracing::warn!("key '{}' of the bucket is no decision, and is left out", message.key);
            return Ok(());
        };
        if decision.created != following.facts.created || decision.number <= self.progress.followed {
            return Ok(());
        }
        if self.applier.position().is_none() {
            // Whoever reads everything for the first time follows it anyway.
            self.progress.followed = decision.number;
            return Ok(());
        }
        self.obey_decision(&following.connection, following.facts, &decision, message.sequence).await?;
        Err(SessionEnd::Anew)
    }

    /// Reads the whole bucket again, as another edge has other rules at the same sequence.
    async fn read_again(&mut self, following: &Following) -> Result<(), SessionEnd> {
        let now = Instant::now();
        if !following.is_current || self.progress.doubted.is_some_and(|at| now - at < CHECK) {
            return Ok(());
        }
        self.progress.doubted = Some(now);
        self.doubt().await;
        let connection = &following.connection;
        let last = connection.last_existing(&self.hub.names).await?;
        self.take_whole(connection, following.facts, self.progress.followed, last, None).await?;
        Err(SessionEnd::Anew)
    }
}

/// The name of a consumer of this edge, for this purpose: it can't have dots.
pub(super) fn consumer_name(purpose: &str, edge: &str) -> String {
    format!("{purpose}-{}", edge.replace('.', "="))
}
