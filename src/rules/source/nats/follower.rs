//! Follower of the bucket: one session after another, for as long as the edge runs.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use jiff::Timestamp;
use rand::seq::SliceRandom;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::applying::Applier;
use super::connection::{CallFault, ServerConnection};
use super::consumer::ConsumerEnd;
use super::fault::BucketFault;
use super::following::Announced;
use super::hub::Hub;
use super::message::{UNKNOWN_ACTOR, headers};
use super::registry::key_of;
use super::report::Announcement;
use async_nats::jetstream::publish::PublishAck;

/// Pause before another session: after the first failure, and at most.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_AT_MOST: Duration = Duration::from_secs(3);

/// A session that has lasted so long counts as one that went well.
const LASTING: Duration = Duration::from_secs(10);

/// The same failure is logged again after this time.
const SAID_AGAIN: Duration = Duration::from_secs(30);

/// Time to sign off at a stop.
const SIGN_OFF: Duration = Duration::from_secs(1);

/// Follower of the bucket.
pub(super) struct BucketFollower {
    pub(super) hub: Arc<Hub>,
    pub(super) applier: Applier,
    pub(super) progress: Progress,
    /// Told once everything is in force for the first time, or a fault says that it won't be.
    started: Option<Sender<()>>,
}

/// How far the bucket was followed, over all sessions.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The sequence up to which everything was taken.
    pub(super) taken: u64,
    /// The number of the last decision that was followed.
    pub(super) followed: u64,
    /// The last announcement of this process that came back: its sequence, and when it was written.
    pub(super) announced: Option<(u64, u64)>,
    /// A restore that is not followed, as it would take something away.
    pub(super) older: Option<RefusedRestore>,
    /// Whether everything was in force once.
    pub(super) was_current: bool,
    /// Keys that are missing, where they are too many.
    pub(super) missing: Option<MissingKeys>,
    /// The keys that were last named as missing.
    pub(super) named: Vec<String>,
    /// When the whole bucket was last read because another edge has another digest.
    pub(super) doubted: Option<Instant>,
    /// When it was last kept that this edge had everything.
    pub(super) kept: Option<Instant>,
    /// The age from which this edge denies, as it was kept with that.
    pub(super) kept_limit: Option<Duration>,
}

/// Restore that this edge does not follow.
#[derive(Clone, Copy, Debug)]
pub(super) struct RefusedRestore {
    pub(super) number: u64,
    /// The bucket: when it was created.
    pub(super) created: u64,
    pub(super) fault: BucketFault,
}

/// Keys that the bucket lacks, too many to go on.
#[derive(Clone, Copy, Debug)]
pub(super) struct MissingKeys {
    pub(super) fault: BucketFault,
    /// The number of keys that it had then.
    pub(super) there: u64,
    /// When that was seen.
    pub(super) at: Instant,
}

/// Reason why a session has ended.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum SessionEnd {
    /// The edge stops, or another process follows instead.
    #[error("the follower is stopped")]
    Stopped,
    /// Everything was read anew, and is followed from there.
    #[error("the bucket was read anew")]
    Anew,
    /// Another process has the name of this edge.
    #[error("another process has the name of this edge")]
    Superseded,
    /// Something failed.
    #[error("{0}")]
    Failed(Arc<str>),
}

impl From<ConsumerEnd> for SessionEnd {
    fn from(end: ConsumerEnd) -> Self {
        Self::Failed(end.to_string().into())
    }
}

impl From<CallFault> for SessionEnd {
    fn from(fault: CallFault) -> Self {
        Self::Failed(fault.to_string().into())
    }
}

/// Failure that was logged last, so that one that lasts is not logged each time.
#[derive(Default)]
struct LastFailure(Option<(Arc<str>, Instant)>);

impl LastFailure {
    /// Whether this one is to be logged.
    fn is_news(&mut self, reason: &Arc<str>) -> bool {
        let now = Instant::now();
        let news = self.0.as_ref().is_none_or(|(last, at)| last != reason || now - *at >= SAID_AGAIN);
        if news {
            self.0 = Some((Arc::clone(reason), now));
        }
        news
    }
}

impl BucketFollower {
    /// A follower that goes on where the publisher is. `started` is told once everything is in force.
    pub(super) fn new(hub: Arc<Hub>, applier: Applier, started: Sender<()>) -> Self {
        let position = applier.position();
        let progress = Progress {
            taken: position.map_or(0, |position| position.sequence),
            followed: position.map_or(0, |position| position.followed),
            kept_limit: hub.announced_limit(),
            ..Progress::default()
        };
        hub.enforces(Some(applier.in_force()), progress.taken);
        Self { hub, applier, progress, started: Some(started) }
    }

    /// Follows the bucket until `stop` turns true or its sender is gone.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let (mut failures, mut last) = (0, LastFailure::default());
        loop {
            let began = Instant::now();
            let reason = match self.session(&mut stop).await {
                SessionEnd::Stopped => {
                    if !*stop.borrow() {
                        let bucket = &self.hub.names.bucket;
                        tracing::info!(
                            bucket,
                            "another process has taken over, and follows the bucket from now on"
                        );
                    }
                    return;
                }
                SessionEnd::Anew | SessionEnd::Superseded => continue,
                SessionEnd::Failed(reason) => reason,
            };
            failures = if began.elapsed() > LASTING { 1 } else { failures + 1 };
            if last.is_news(&reason) {
                let (bucket, name) = (&self.hub.names.bucket, "nats");
                tracing::warn!(
                    source = name,
                    bucket,
                    "the bucket is not followed, and is tried again: {reason}"
                );
            }
            let pause = (PAUSE * 2_u32.saturating_pow(failures)).min(PAUSE_AT_MOST);
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = sleep(pause.mul_f64(0.5 + rand::random::<f64>() / 2.0)) => {}
            }
        }
    }

    /// Connects, and follows the bucket for as long as that goes well.
    async fn session(&mut self, stop: &mut watch::Receiver<bool>) -> SessionEnd {
        let hub = Arc::clone(&self.hub);
        let connected = tokio::select! {
            connected = self.connect() => connected,
            _ = stop.wait_for(|stop| *stop) => return SessionEnd::Stopped,
        };
        let connection = match connected {
            Ok(connection) => Arc::new(connection),
            Err(reason) => {
                let reason: Arc<str> = format!("no connection to NATS: {reason}").into();
                hub.connect(Err(Arc::clone(&reason)));
                return SessionEnd::Failed(reason);
            }
        };
        hub.connect(Ok(Arc::clone(&connection)));
        // Ended with the session, also where that breaks down.
        let mut talk = JoinSet::new();
        talk.spawn(Arc::clone(&hub).converse(Arc::clone(&connection)));
        let end = tokio::select! {
            end = self.follow(&connection) => end,
            reason = connection.end() => SessionEnd::Failed(reason),
            _ = stop.wait_for(|stop| *stop) => SessionEnd::Stopped,
        };
        drop(talk);
        match &end {
            SessionEnd::Stopped => {
                self.sign_off(&connection).await;
                hub.take_leave(&connection.client).await;
            }
            SessionEnd::Superseded => hub.set_superseded(true),
            SessionEnd::Anew | SessionEnd::Failed(_) => {}
        }
        hub.connect(Err(end.to_string().into()));
        end
    }

    /// A connection to one of the servers, tried in random order.
    async fn connect(&self) -> Result<ServerConnection, String> {
        let mut servers: Vec<&String> = self.hub.settings.servers.iter().collect();
        servers.shuffle(&mut rand::rng());
        let mut faults = Vec::new();
        for server in servers {
            match ServerConnection::open(&self.hub.settings, server).await {
                Ok(connection) => return Ok(connection),
                Err(fault) => faults.push(format!("{}: {fault}", without_password(server))),
            }
        }
        Err(faults.join("; "))
    }

    /// Tells whoever waits for the start.
    pub(super) fn has_started(&mut self) {
        if let Some(started) = self.started.take() {
            // Nobody waits any more where that took long.
            let _ = started.send(());
        }
    }

    /// Announces this edge.
    pub(super) async fn announce(
        hub: Arc<Hub>,
        connection: Arc<ServerConnection>,
    ) -> Result<Announced, CallFault> {
        let at = Timestamp::now();
        let announcement = hub.announcement();
        let limit = announcement.max_staleness();
        let sequence = connection.write_announcement(&hub, &announcement, UNKNOWN_ACTOR).await?;
        Ok(Announced { sequence, at, limit })
    }

    /// Says that this edge stops, unless another process goes on under its name.
    async fn sign_off(&self, connection: &ServerConnection) {
        if self.hub.is_superseded() || self.applier.may_be_handed_over().await {
            return;
        }
        let announcement = Announcement { signed_off: true, ..self.hub.announcement() };
        let signed = connection.write_announcement(&self.hub, &announcement, UNKNOWN_ACTOR);
        if !matches!(timeout(SIGN_OFF, signed).await, Ok(Ok(_))) {
            let edge = self.hub.edge();
            tracing::warn!(
                "this edge could not sign off, so saves wait for it until `embedgate fleet forget {edge}`"
            );
        }
    }
}

impl ServerConnection {
    /// Writes an announcement, and gives its sequence.
    pub(super) async fn write_announcement(
        &self,
        hub: &Hub,
        announcement: &Announcement,
        actor: &str,
    ) -> Result<u64, CallFault> {
        let payload =
            serde_json::to_vec(announcement).map_err(|error| CallFault::Unsent(error.to_string()))?;
        let headers = headers(actor, Timestamp::now(), hub.edge());
        let subject = hub.names.subject(&key_of(&announcement.name));
        let ack: PublishAck = self.publish(subject, headers, payload.into()).await?;
        hub.knows_of(ack.sequence);
        Ok(ack.sequence)
    }
}

/// A server's URL without the password in it.
fn without_password(server: &str) -> String {
    match (server.split_once("://"), server.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        _ => server.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_logged() {
        assert_eq!(without_password("nats://user:secret@host:4222"), "nats://host:4222");
        assert_eq!(without_password("tls://host"), "tls://host");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_that_lasts_is_logged_now_and_then() {
        let mut last = LastFailure::default();
        let (down, refused): (Arc<str>, Arc<str>) = ("down".into(), "refused".into());
        assert!(last.is_news(&down) && !last.is_news(&down) && last.is_news(&refused));
        tokio::time::advance(SAID_AGAIN).await;
        assert!(last.is_news(&refused) && !last.is_news(&refused));
    }
}
