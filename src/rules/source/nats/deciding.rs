//! Decisions of operators about the whole bucket: it is filled again from this edge, or is right as it is.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use async_nats::jetstream::publish::PublishAck;
use jiff::Timestamp;
use tokio::task::spawn_blocking;

use super::bucket::{BucketFacts, DECISION, EDGES, without_batches};
use super::connection::ServerConnection;
use super::consumer::BucketConsumer;
use super::fleet::{NatsFleet, ROLL_CALL, unavailable};
use super::following::consumer_name;
use super::message::{BucketMessage, NewMessage, WidgetMessage, headers};
use super::registry::key_of;
use super::report::{Announcement, DecisionKind, OperatorDecision, Report};
use crate::rules::documents::canonical;
use crate::rules::error::{SaveError, StoreError};
use crate::rules::fleet::{AcceptedBucket, FleetError, RestoredFleet};
use crate::rules::shared::{SharedChange, SharedEntry, SharedState};

/// Messages of one batch.
const BATCH: usize = 1000;

/// What a bucket says of one widget.
struct InBucket {
    sequence: u64,
    state: Option<SharedState>,
}

/// What a bucket says of all widgets, and who was announced there.
#[derive(Default)]
struct WholeBucket {
    widgets: HashMap<String, InBucket>,
    edges: Vec<String>,
}

impl NatsFleet {
    /// Fills the bucket again from what is in force here, and has the fleet follow it.
    pub(super) async fn restore_bucket(&self, by: &str) -> Result<RestoredFleet, FleetError> {
        let own = self.hub.report();
        let reports = self.hub.roll_call(ROLL_CALL).await.map_err(unavailable)?;
        if let Some(ahead) = reports.values().find(|report| is_ahead(report, &own)) {
            let (edge, ahead) = (ahead.name.clone(), ahead.changed);
            return Err(FleetError::Behind { edge, ahead, own: own.changed });
        }
        let connection = self.hub.connection().map_err(unavailable)?;
        let facts = match connection.facts(&self.hub.names).await.map_err(unavailable)? {
            Some(facts) => facts,
            None => connection.create(&self.hub.names).await.map_err(unavailable)?,
        };
        if !facts.is_atomic {
            return Err(unavailable(without_batches(&self.hub.names)));
        }
        let whole = self.read(&connection).await?;
        let (written, unchanged) = self.fill(&connection, &whole, by).await?;
        self.announce_all(&connection, &whole.edges, &reports, by).await?;
        let sequence = self.decide(&connection, facts, DecisionKind::Restore, None, by, &reports).await?;
        Ok(RestoredFleet { written, unchanged, sequence })
    }

    /// Has the whole fleet follow the bucket as it is.
    pub(super) async fn accept_bucket(
        &self,
        confirm: Option<usize>,
        by: &str,
    ) -> Result<AcceptedBucket, FleetError> {
        let reports = self.hub.roll_call(ROLL_CALL).await.map_err(unavailable)?;
        let connection = self.hub.connection().map_err(unavailable)?;
        let Some(facts) = connection.facts(&self.hub.names).await.map_err(unavailable)? else {
            return Err(FleetError::NoBucket { bucket: self.hub.names.bucket.clone() });
        };
        let WholeBucket { widgets, edges } = self.read(&connection).await?;
        let applier = self.applier.clone();
        let touched = spawn_blocking(move || touched(&applier, widgets)).await.map_err(unavailable)?;
        let touched = touched.map_err(SaveError::from)?;
        if confirm.is_none_or(|most| touched > most) {
            return Err(FleetError::Wide { touched });
        }
        self.announce_all(&connection, &edges, &reports, by).await?;
        let sequence = self.decide(&connection, facts, DecisionKind::Accept, confirm, by, &reports).await?;
        Ok(AcceptedBucket { touched, sequence })
    }

    /// Reads the last message of every key.
    async fn read(&self, connection: &Arc<ServerConnection>) -> Result<WholeBucket, FleetError> {
        let known = connection.last_existing(&self.hub.names).await.map_err(unavailable)?;
        let name = consumer_name("restore", self.hub.edge());
        let reader = BucketConsumer::begin_last(connection, &self.hub.names, name, ">", false).await;
        let mut reader = reader.map_err(unavailable)?;
        let (mut whole, mut last) = (WholeBucket::default(), 0);
        while let Some(message) = reader.next_known().await.map_err(unavailable)? {
            last = message.sequence;
            if let Some(edge) = message.key.strip_prefix(EDGES) {
                whole.edges.push(edge.to_owned());
            } else if message.is_of_widget() {
                let state = self.state(&message);
                whole.widgets.insert(message.key, InBucket { sequence: message.sequence, state });
            }
        }
        reader.end().await;
        if last < known {
            return Err(unavailable("a NATS server does not know of the last messages yet; try again"));
        }
        Ok(whole)
    }

    /// What a message says; `None` if nothing that could be taken.
    fn state(&self, message: &BucketMessage) -> Option<SharedState> {
        match message.read(self.applier.suffixes()) {
            WidgetMessage::Change(SharedChange { state, .. }) => Some(state),
            WidgetMessage::Refused(_) | WidgetMessage::Marker => None,
        }
    }

    /// Writes what the bucket lacks, or has at a lower revision. Returns how many were written, and how many were there.
    async fn fill(
        &self,
        connection: &Arc<ServerConnection>,
        whole: &WholeBucket,
        by: &str,
    ) -> Result<(usize, usize), FleetError> {
        let (mut missing, mut unchanged) = (Vec::new(), 0);
        let applier = self.applier.clone();
        let entries = spawn_blocking(move || {
            let mut entries = Vec::new();
            applier.each_entry(|entry| entries.push(entry))?;
            Ok::<_, StoreError>(entries)
        });
        let entries = entries.await.map_err(unavailable)?.map_err(SaveError::from)?;
        let at = Timestamp::now();
        for entry in entries {
            let there = whole.widgets.get(entry.id.as_str());
            match there.and_then(|there| there.state.as_ref()).map(revision) {
                Some(revision) if revision >= entry.revision => unchanged += 1,
                _ => {
                    let expected = there.map_or(0, |there| there.sequence);
                    missing.push(NewMessage::of_entry(&entry, expected, by, at, self.hub.edge()));
                }
            }
        }
        for batch in missing.chunks(BATCH) {
            connection.publish_as_one(&self.hub.names, batch, None).await.map_err(unavailable)?;
        }
        Ok((missing.len(), unchanged))
    }

    /// Announces in the bucket whom this edge knows and the bucket doesn't: saves go on waiting for them.
    async fn announce_all(
        &self,
        connection: &ServerConnection,
        edges: &[String],
        reports: &BTreeMap<String, Report>,
        by: &str,
    ) -> Result<(), FleetError> {
        let mut known: BTreeMap<String, Announcement> = {
            let registry = self.hub.registry.lock();
            registry.all().map(|(name, edge)| (name.clone(), edge.announcement.clone())).collect()
        };
        // An edge that was started after the loss knows nobody from the bucket.
        for (name, report) in reports {
            known.entry(name.clone()).or_insert_with(|| Announcement::of_live(report));
        }
        let at = Timestamp::now();
        for announcement in known.values().filter(|edge| !edges.contains(&edge.name)) {
            let payload = serde_json::to_vec(announcement).map_err(unavailable)?.into();
            let (key, headers) = (key_of(&announcement.name), headers(by, at, self.hub.edge()));
            let message = NewMessage { key, headers, payload, expected: 0 };
            // Where it is refused, the edge was faster.
            let _ = connection.publish_as_one(&self.hub.names, &[message], None).await;
        }
        Ok(())
    }

    /// Writes a decision, above all that the edges have followed, and gives its sequence.
    async fn decide(
        &self,
        connection: &ServerConnection,
        facts: BucketFacts,
        kind: DecisionKind,
        confirm: Option<usize>,
        by: &str,
        reports: &BTreeMap<String, Report>,
    ) -> Result<u64, FleetError> {
        let names = &self.hub.names;
        let last = connection.last_message(names, DECISION).await.map_err(unavailable)?;
        let last = last.and_then(|last| serde_json::from_slice::<OperatorDecision>(&last.payload).ok());
        let at = Timestamp::now();
        let followed = reports.values().map(|report| report.followed).chain([self.hub.in_force().followed]);
        // An edge that doesn't answer may have followed another one: a number of the time is above that, too.
        let now = u64::try_from(at.as_millisecond()).unwrap_or_default();
        let above = followed.chain(last.map(|last| last.number)).max().unwrap_or_default();
        let number = now.max(above + 1);
        let decision =
            OperatorDecision { number, kind, by: by.to_owned(), at, created: facts.created, confirm };
        let payload = serde_json::to_vec(&decision).map_err(unavailable)?;
        let headers = headers(by, at, self.hub.edge());
        let written =
            connection.publish::<PublishAck>(names.subject(DECISION), headers, payload.into()).await;
        Ok(written.map_err(unavailable)?.sequence)
    }
}

/// Whether an edge that follows the same bucket as this one has followed it further.
fn is_ahead(report: &Report, own: &Report) -> bool {
    report.created == own.created && report.changed > own.changed
}

fn revision(state: &SharedState) -> u64 {
    match state {
        SharedState::Document(widget) => widget.revision.unwrap_or_default(),
        SharedState::Deleted { revision, .. } => *revision,
        SharedState::Unreadable => 0,
    }
}

/// How many widgets are other ones if this bucket is followed. Blocks.
fn touched(
    applier: &super::applying::Applier,
    mut widgets: HashMap<String, InBucket>,
) -> Result<usize, StoreError> {
    let mut touched = 0;
    applier.each_entry(|entry: SharedEntry| {
        let there = widgets.remove(entry.id.as_str()).and_then(|there| there.state);
        let json = match there {
            Some(SharedState::Document(mut widget)) => Some(canonical(&mut widget)),
            Some(SharedState::Deleted { .. } | SharedState::Unreadable) | None => None,
        };
        touched += usize::from(json != entry.json);
    })?;
    let new = widgets.values().filter(|there| matches!(there.state, Some(SharedState::Document(_))));
    Ok(touched + new.count())
}
