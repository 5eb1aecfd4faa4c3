//! Fleet as this edge sees it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::Instant;

use super::applying::Applier;
use super::hub::Hub;
use super::report::{Announcement, Report};
use super::shares::NatsNotes;
use crate::rules::change::Actor;
use crate::rules::fleet::{
    AcceptedBucket, AnswersPeers, EdgeFacts, EdgeState, EdgeStatus, Fleet, FleetError, FleetLink, FleetNotes,
    FleetStatus, HearsPeers, OwnEdge, PeerAnswers, PeerQuestion, PeerWord, RestoredFleet,
};

/// Time for edges to answer before something is done that a live one may forbid.
pub(super) const ROLL_CALL: Duration = Duration::from_secs(1);

/// Fleet of edges that follow one bucket.
pub(super) struct NatsFleet {
    pub(super) hub: Arc<Hub>,
    pub(super) applier: Applier,
    pub(super) notes: Arc<NatsNotes>,
}

#[async_trait]
impl Fleet for NatsFleet {
    fn describe(&self, edge: Arc<dyn EdgeFacts>) {
        // The first is the only one: there is one edge in a process.
        let _ = self.hub.facts.set(edge);
    }

    fn answer_by(&self, answerer: Arc<dyn AnswersPeers>) {
        self.hub.peers.add(answerer);
    }

    async fn ask(&self, question: PeerQuestion, within: Duration) -> PeerAnswers {
        self.hub.ask_peers(question, within).await
    }

    fn hear_by(&self, hearer: Arc<dyn HearsPeers>) {
        self.hub.words.add(hearer);
    }

    fn tell_peers(&self, word: PeerWord) {
        self.hub.words.say(word);
    }

    fn notes(&self) -> Option<Arc<dyn FleetNotes>> {
        Some(Arc::clone(&self.notes) as Arc<dyn FleetNotes>)
    }

    fn set_max_staleness(&self, limit: Option<Duration>) {
        self.hub.max_staleness.send_if_modified(|before| std::mem::replace(before, limit) != limit);
    }

    async fn status(&self, within: Duration) -> FleetStatus {
        let target = self.hub.in_force().changed;
        let reports = self.hub.reports(within).await;
        let link = self.hub.link.borrow().clone();
        FleetStatus {
            bucket: self.hub.names.bucket.clone(),
            edge: self.hub.edge().to_owned(),
            connected: link.connected,
            last_sequence: self.hub.last_sequence(),
            fault: link.fault,
            edges: self.edges(&reports, target),
        }
    }

    async fn enforced(&self, sequence: u64, within: Duration) -> Vec<String> {
        self.hub.wait_for_all(sequence, within).await
    }

    async fn restore(&self, actor: Actor) -> Result<RestoredFleet, FleetError> {
        self.restore_bucket(&actor.to_string()).await
    }

    async fn accept(&self, confirm: Option<usize>, actor: Actor) -> Result<AcceptedBucket, FleetError> {
        self.accept_bucket(confirm, &actor.to_string()).await
    }

    async fn forget(&self, edge: &str, actor: Actor) -> Result<(), FleetError> {
        let announcement = self.hub.registry.lock().get(edge).map(|known| known.announcement.clone());
        let Some(announcement) = announcement else {
            return Err(FleetError::UnknownEdge { edge: edge.to_owned() });
        };
        if edge == self.hub.edge() || self.hub.reports(ROLL_CALL).await.contains_key(edge) {
            return Err(FleetError::Alive { edge: edge.to_owned() });
        }
        let connection = self.hub.connection().map_err(unavailable)?;
        let mark = Announcement { forgotten: true, ..announcement };
        let written = connection.write_announcement(&self.hub, &mark, &actor.to_string()).await;
        let sequence = written.map_err(unavailable)?;
        // It comes through the bucket, too; whoever asks next sees it already.
        self.hub.registry.lock().announce(mark, sequence);
        Ok(())
    }

    fn link(&self) -> watch::Receiver<FleetLink> {
        self.hub.link.subscribe()
    }

    fn own(&self) -> OwnEdge {
        OwnEdge {
            bucket: self.hub.names.bucket.clone(),
            name: self.hub.edge().to_owned(),
            sequence: *self.hub.enforced.borrow(),
        }
    }

    fn states(&self) -> BTreeMap<EdgeState, usize> {
        let interval = self.hub.report_interval();
        let mut states = self.hub.registry.lock().states(self.hub.edge(), interval);
        *states.entry(self.hub.own_state()).or_default() += 1;
        states
    }
}

impl NatsFleet {
    /// All edges, by name. `target`: the sequence that a current one enforces.
    fn edges(&self, reports: &BTreeMap<String, Report>, target: u64) -> Vec<EdgeStatus> {
        let now = Instant::now();
        let mut edges: BTreeMap<String, EdgeStatus> = BTreeMap::new();
        let registry = self.hub.registry.lock();
        for (name, known) in registry.all() {
            let answer = reports.get(name);
            let state =
                answer.map_or_else(|| known.unanswered(now), |report| self.hub.state_of(report, target));
            let version = known.announcement.version.clone();
            let status = match answer.cloned().or_else(|| known.report()) {
                Some(report) => told(&report, state),
                None => EdgeStatus { version: Some(version), ..unheard(name, state) },
            };
            edges.insert(name.clone(), EdgeStatus { heard_at: known.heard_at, ..status });
        }
        drop(registry);
        // Where the bucket is lost, nobody is announced in it, and those that answer are there all the same.
        for (name, report) in reports {
            let heard_at = Some(jiff::Timestamp::now());
            let state = self.hub.state_of(report, target);
            edges.entry(name.clone()).or_insert_with(|| EdgeStatus { heard_at, ..told(report, state) });
        }
        let own = told(&self.hub.report(), self.hub.own_state());
        edges.insert(own.name.clone(), EdgeStatus { heard_at: Some(jiff::Timestamp::now()), ..own });
        edges.into_values().collect()
    }
}

fn unheard(name: &str, state: EdgeState) -> EdgeStatus {
    EdgeStatus {
        name: name.to_owned(),
        state,
        version: None,
        sequence: None,
        age_seconds: None,
        sessions: None,
        ticket_keys: None,
        digest: None,
        heard_at: None,
    }
}

fn told(report: &Report, state: EdgeState) -> EdgeStatus {
    let ticket_keys = Some(report.ticket_keys.clone()).filter(|keys| !keys.is_empty());
    EdgeStatus {
        version: Some(report.version.clone()),
        sequence: Some(report.sequence),
        age_seconds: report.age_seconds,
        sessions: Some(report.sessions),
        ticket_keys,
        digest: Some(report.digest.clone()),
        ..unheard(&report.name, state)
    }
}

/// The error of a bucket that can't be reached.
pub(super) fn unavailable(detail: impl std::fmt::Display) -> FleetError {
    FleetError::Unavailable { detail: detail.to_string() }
}
