//! State that the parts of the source share: the connection, how far the bucket is in force here, the other edges.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use uuid::Builder;

use super::bucket::BucketNames;
use super::connection::{NatsConnection, ServerConnection};
use super::peers::PeerDesk;
use super::registry::EdgeRegistry;
use super::report::{Announcement, Report};
use super::words::PeerWords;
use crate::rules::fleet::{EdgeFacts, EdgeState, FleetFault, FleetLink};
use crate::rules::storage::share::KeptContact;

/// Code of the fault of an edge whose name another process has.
pub(super) const NAME_TAKEN: &str = "name_taken";

/// Shared state of the source.
pub(super) struct Hub {
    pub(super) settings: NatsConnection,
    pub(super) names: BucketNames,
    /// This process, as others tell it from one of the same name.
    pub(super) instance: String,
    pub(super) link: watch::Sender<FleetLink>,
    /// The sequence up to which the bucket is in force here.
    pub(super) enforced: watch::Sender<u64>,
    pub(super) max_staleness: watch::Sender<Option<Duration>>,
    pub(super) registry: Mutex<EdgeRegistry>,
    pub(super) facts: OnceLock<Arc<dyn EdgeFacts>>,
    pub(super) peers: PeerDesk,
    pub(super) words: PeerWords,
    /// Somebody has reason to read the whole bucket again: another edge has another digest.
    pub(super) doubt: Notify,
    /// This edge is to announce itself again.
    pub(super) announce_again: Notify,
    /// This process follows the bucket no longer: it ends, or another one has taken over.
    pub(super) has_left: watch::Sender<bool>,
    connection: watch::Sender<Result<Arc<ServerConnection>, Arc<str>>>,
    in_force: Mutex<InForce>,
    /// The last sequence of the bucket that this edge knows of.
    last_sequence: AtomicU64,
    /// Another process has its name.
    superseded: Mutex<bool>,
}

/// What of the bucket is in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct InForce {
    /// The bucket: when it was created.
    pub(super) created: u64,
    /// The sequence of the last message about a widget.
    pub(super) changed: u64,
    /// The number of the last decision that was followed.
    pub(super) followed: u64,
    /// The digest of all widgets.
    pub(super) digest: u128,
}

impl InForce {
    /// The bucket, and the last decision about it: sequences mean the same only where both are the same.
    pub(super) fn lineage(&self) -> (u64, u64) {
        (self.created, self.followed)
    }
}

impl Hub {
    /// The state before the first connection. `contact`: the last one, as it was kept, and `edges`: those known then.
    pub(super) fn new(settings: NatsConnection, contact: Option<KeptContact>, edges: &[u8]) -> Self {
        let link = FleetLink {
            connected: false,
            current_at: contact.map(|contact| contact.at),
            announced_limit: contact.and_then(|contact| contact.limit),
            behind_since: None,
            fault: None,
        };
        Self {
            names: BucketNames::of(&settings.bucket),
            instance: Builder::from_random_bytes(rand::random()).into_uuid().to_string(),
            link: watch::Sender::new(link),
            enforced: watch::Sender::new(0),
            max_staleness: watch::Sender::new(settings.max_staleness),
            registry: Mutex::new(EdgeRegistry::of_kept(edges)),
            facts: OnceLock::new(),
            peers: PeerDesk::default(),
            words: PeerWords::default(),
            doubt: Notify::new(),
            announce_again: Notify::new(),
            has_left: watch::Sender::new(false),
            connection: watch::Sender::new(Err("there was no connection to NATS yet".into())),
            in_force: Mutex::default(),
            last_sequence: AtomicU64::new(0),
            superseded: Mutex::new(false),
            settings,
        }
    }

    /// The name of this edge.
    pub(super) fn edge(&self) -> &str {
        &self.settings.edge
    }

    /// The open connection, or why there is none.
    pub(super) fn connection(&self) -> Result<Arc<ServerConnection>, Arc<str>> {
        self.connection.borrow().clone()
    }

    /// Waits until there is a connection. `false`: there won't be one any more.
    pub(super) async fn is_connected(&self) -> bool {
        let (mut connection, mut has_left) = (self.connection.subscribe(), self.has_left.subscribe());
        tokio::select! {
            biased;
            _ = has_left.wait_for(|has_left| *has_left) => false,
            connected = connection.wait_for(Result::is_ok) => connected.is_ok(),
        }
    }

    /// Notes the connection, or why there is none.
    pub(super) fn connect(&self, connection: Result<Arc<ServerConnection>, Arc<str>>) {
        if connection.is_err() {
            self.change_link(|link| link.connected = false);
        }
        drop(self.connection.send_replace(connection));
    }

    /// Changes the state of the link; whoever follows it is told if it is another one then.
    pub(super) fn change_link(&self, change: impl FnOnce(&mut FleetLink)) {
        self.link.send_if_modified(|link| {
            let before = link.clone();
            change(link);
            *link != before
        });
    }

    /// What is wrong with the bucket.
    pub(super) fn fault(&self) -> Option<FleetFault> {
        self.link.borrow().fault.clone()
    }

    /// The age of the rules from which this edge denies, as others know it.
    pub(super) fn announced_limit(&self) -> Option<Duration> {
        self.link.borrow().announced_limit
    }

    /// Whether another process has the name of this edge.
    pub(super) fn is_superseded(&self) -> bool {
        *self.superseded.lock()
    }

    pub(super) fn set_superseded(&self, superseded: bool) {
        *self.superseded.lock() = superseded;
    }

    /// What of the bucket is in force.
    pub(super) fn in_force(&self) -> InForce {
        *self.in_force.lock()
    }

    /// Notes what is in force. A sequence of another lineage is not enforced any more, before that is known.
    pub(super) fn notes(&self, in_force: Option<InForce>) {
        if let Some(in_force) = in_force {
            self.turns_to(in_force.lineage());
            *self.in_force.lock() = in_force;
        }
    }

    /// Forgets up to where the bucket is in force, where something of this lineage is to be in force and another one was.
    pub(super) fn turns_to(&self, lineage: (u64, u64)) {
        if self.in_force().lineage() != lineage {
            self.enforced.send_replace(0);
        }
    }

    /// Up to which sequence the bucket is in force, and what: both of the same lineage.
    fn state(&self) -> (u64, InForce) {
        loop {
            let before = self.in_force().lineage();
            let sequence = *self.enforced.borrow();
            // In this order: what is in force may be newer than the sequence says, and never older.
            let in_force = self.in_force();
            if in_force.lineage() == before {
                return (sequence, in_force);
            }
        }
    }

    /// Notes what is in force, and then up to which sequence, for those who wait for it.
    pub(super) fn enforces(&self, in_force: Option<InForce>, sequence: u64) {
        self.notes(in_force);
        self.knows_of(sequence);
        self.enforced.send_replace(sequence);
    }

    /// Notes that the bucket has a message of this sequence.
    pub(super) fn knows_of(&self, sequence: u64) {
        self.last_sequence.fetch_max(sequence, Ordering::Relaxed);
    }

    /// Begins to count anew: the bucket is another one, or has lost its end.
    pub(super) fn counts_from(&self, sequence: u64) {
        self.last_sequence.store(sequence, Ordering::Relaxed);
    }

    /// The last sequence of the bucket that this edge knows of.
    pub(super) fn last_sequence(&self) -> u64 {
        self.last_sequence.load(Ordering::Relaxed)
    }

    /// The announcement of this edge.
    pub(super) fn announcement(&self) -> Announcement {
        Announcement {
            name: self.edge().to_owned(),
            instance: self.instance.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            max_staleness_seconds: self.max_staleness.borrow().map(|limit| limit.as_secs_f64()),
            signed_off: false,
            forgotten: false,
        }
    }

    /// The report of this edge.
    pub(super) fn report(&self) -> Report {
        let (sequence, InForce { created, changed, followed, digest }) = self.state();
        let link = self.link.borrow().clone();
        let fault = match self.is_superseded() {
            true => Some(NAME_TAKEN.to_owned()),
            false => link.fault.map(|fault| fault.code),
        };
        let age = link.current_at.map(|at| Timestamp::now().duration_since(at).as_secs());
        Report {
            name: self.edge().to_owned(),
            instance: self.instance.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            created,
            sequence,
            changed,
            digest: format!("{digest:032x}"),
            followed,
            age_seconds: age.map(|age| u64::try_from(age).unwrap_or_default()),
            sessions: self.facts.get().map_or(0, |facts| facts.sessions()),
            ticket_keys: self.facts.get().map(|facts| facts.ticket_keys()).unwrap_or_default(),
            fault,
            ended: false,
        }
    }

    /// The state of an edge by its report.
    pub(super) fn state_of(&self, report: &Report, target: u64) -> EdgeState {
        match report.fault {
            Some(_) => EdgeState::Fault,
            None if report.created == self.in_force().created && report.sequence < target => {
                EdgeState::Behind
            }
            None => EdgeState::Current,
        }
    }

    /// The state of this edge.
    pub(super) fn own_state(&self) -> EdgeState {
        let link = self.link.borrow();
        match (&link.fault, link.connected) {
            (Some(_), _) => EdgeState::Fault,
            (None, true) if link.behind_since.is_none() && !self.is_superseded() => EdgeState::Current,
            _ => EdgeState::Behind,
        }
    }

    /// Time between two reports of each edge: all hear all, so edges of a large fleet tell of themselves less often.
    pub(super) fn report_interval(&self) -> Duration {
        let edges = self.registry.lock().waited_for(Instant::now()).len();
        Duration::from_secs((edges as u64 / 10).clamp(5, 60))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub() -> Hub {
        let settings = NatsConnection {
            servers: Vec::new(),
            bucket: "rules".into(),
            cache: "fleet.redb".into(),
            tls: false,
            ca: None,
            certificate: None,
            credentials: None,
            edge: "edge-1".into(),
            max_staleness: None,
        };
        Hub::new(settings, None, b"")
    }

    #[test]
    fn a_sequence_is_told_with_the_bucket_that_it_is_of() {
        let hub = hub();
        let told = |hub: &Hub| {
            let report = hub.report();
            (report.created, report.followed, report.sequence)
        };
        let first = InForce { created: 1, changed: 9, followed: 0, digest: 0 };
        hub.enforces(Some(first), 10);
        hub.notes(Some(InForce { changed: 8, ..first }));
        assert_eq!(told(&hub), (1, 0, 10));
        // Another bucket, and a decision: nobody knows yet up to where it is kept.
        for next in [InForce { created: 2, ..first }, InForce { created: 2, followed: 1, ..first }] {
            hub.notes(Some(next));
            assert_eq!(told(&hub), (2, next.followed, 0));
            hub.enforces(Some(next), 4);
            assert_eq!(told(&hub), (2, next.followed, 4));
        }
    }

    #[test]
    fn a_start_knows_the_limit_that_others_know() {
        let (at, limit) = (Timestamp::now(), Some(Duration::from_secs(10)));
        let link = Hub::new(hub().settings, Some(KeptContact { at, limit }), b"").link.borrow().clone();
        assert_eq!((link.current_at, link.announced_limit), (Some(at), limit));
    }
}
