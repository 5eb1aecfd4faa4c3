//! Agreement on the bucket: it is the one that was followed, or an operator has decided that it is right.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::applying::Beside;
use super::bucket::{BucketFacts, DECISION, without_batches};
use super::connection::{CallFault, ServerConnection};
use super::consumer::BucketConsumer;
use super::fault::{BucketFault, by_facts, by_message};
use super::follower::{BucketFollower, SessionEnd};
use super::following::consumer_name;
use super::message::BucketMessage;
use super::registry::key_of;
use super::report::{Announcement, DecisionKind, OperatorDecision};
use crate::rules::error::RuleFault;
use crate::rules::shared::BucketPosition;
use embedgate_policy::widget::WidgetId;

/// Time between two looks at a bucket with a fault.
const LOOK: Duration = Duration::from_secs(1);

/// Messages that come in force with one swap when the whole bucket is read.
const PAGE: usize = 10_000;

/// Missing keys that are named.
const NAMED: usize = 20;

impl BucketFollower {
    /// The facts of the bucket, once it is one that may be followed. Makes it where there is none and none was followed.
    pub(super) async fn agree(
        &mut self,
        connection: &Arc<ServerConnection>,
    ) -> Result<BucketFacts, SessionEnd> {
        loop {
            let facts = connection.facts(&self.hub.names).await?;
            let mut fault = self.fault_of(connection, facts).await?;
            if let (None, Some(facts)) = (fault, facts) {
                fault = self.fault_by_others(connection, facts).await?;
            } else {
                fault = fault.and(self.progress.older.map(|(_, fault)| fault)).or(fault);
            }
            let Some(fault) = fault else {
                self.mended();
                let facts = match facts {
                    Some(facts) => facts,
                    None => {
                        let facts = connection.create(&self.hub.names).await?;
                        tracing::info!(bucket = self.hub.names.bucket, "the bucket was made");
                        facts
                    }
                };
                if !facts.is_atomic {
                    return Err(SessionEnd::Failed(without_batches(&self.hub.names).into()));
                }
                return Ok(facts);
            };
            self.stands(fault).await;
            if let Some(facts) = facts
                && let Some((decision, sequence)) = self.decision(connection, facts).await?
            {
                self.obey_decision(connection, facts, &decision, sequence).await?;
                continue;
            }
            sleep(LOOK).await;
        }
    }

    /// What is wrong with the bucket.
    async fn fault_of(
        &mut self,
        connection: &ServerConnection,
        facts: Option<BucketFacts>,
    ) -> Result<Option<BucketFault>, SessionEnd> {
        let position = self.applier.position();
        let fault = by_facts(position, self.progress.taken, facts);
        let (Some(position), Some(facts), None) = (position, facts, fault) else { return Ok(fault) };
        let names = &self.hub.names;
        if position.sequence > 0 {
            let found = connection.message(names, position.sequence).await?.map(|message| message.written);
            if let Some(fault) = by_message(position.sequence, position.written, found) {
                return Ok(Some(fault));
            }
        }
        if let Some(fault) = self.fault_by_announcement(connection).await? {
            return Ok(Some(fault));
        }
        // Keys that were missing may be there again.
        let lacking = self.lacking(facts);
        self.progress.missing = self.progress.missing.filter(|_| self.applier.is_wide(lacking));
        Ok(self.progress.missing)
    }

    /// What is wrong by the last announcement of this process: nobody else replaces it, so it has to be there.
    async fn fault_by_announcement(
        &mut self,
        connection: &ServerConnection,
    ) -> Result<Option<BucketFault>, SessionEnd> {
        let Some((sequence, written)) = self.progress.announced else { return Ok(None) };
        let last = connection.last_message(&self.hub.names, &key_of(self.hub.edge())).await?;
        let rewritten = Ok(Some(BucketFault::Rewritten { sequence }));
        let Some(last) = last else { return rewritten };
        if last.sequence < sequence || last.sequence == sequence && last.written != written {
            return rewritten;
        }
        let later = serde_json::from_slice::<Announcement>(&last.payload).ok();
        if later.is_some_and(|later| later.is_waited_for() && later.instance != self.hub.instance) {
            return Err(SessionEnd::Superseded);
        }
        Ok(None)
    }

    /// Number of keys in force here that a bucket of so many keys lacks at least.
    fn lacking(&self, facts: BucketFacts) -> usize {
        let widgets = facts.keys.saturating_sub(self.hub.registry.lock().keys());
        usize::try_from(self.applier.known_keys().saturating_sub(widgets)).unwrap_or(usize::MAX)
    }

    /// Says that a fault stands, where it is another one than before.
    async fn stands(&mut self, fault: BucketFault) {
        let told = fault.told(&self.hub.names.bucket);
        let before = self.hub.fault();
        if before.as_ref().is_none_or(|before| before.code != told.code || before.detail != told.detail) {
            tracing::error!(source = "nats", code = fault.code(), "{}", told.detail);
            self.applier.reject(vec![bucket_fault(fault.code(), told.detail.clone())]).await;
            let since = before.map_or(told.since, |before| before.since);
            self.hub.change_link(|link| link.fault = Some(crate::rules::fleet::FleetFault { since, ..told }));
        }
        // An edge without rules goes on waiting for them.
        if self.applier.position().is_some() {
            self.has_started();
        }
    }

    /// The bucket may be followed.
    fn mended(&self) {
        if self.hub.fault().is_some() {
            tracing::info!(
                bucket = self.hub.names.bucket,
                "the fault of the bucket is mended, and it is followed"
            );
            self.hub.change_link(|link| link.fault = None);
        }
    }

    /// A decision about this bucket that was not followed yet, and its sequence.
    async fn decision(
        &self,
        connection: &ServerConnection,
        facts: BucketFacts,
    ) -> Result<Option<(OperatorDecision, u64)>, CallFault> {
        let Some(message) = connection.last_message(&self.hub.names, DECISION).await? else {
            return Ok(None);
        };
        let decision = serde_json::from_slice::<OperatorDecision>(&message.payload).ok();
        let decision = decision
            .filter(|decision| decision.created == facts.created && decision.number > self.progress.followed)
            .filter(|decision| self.progress.older.is_none_or(|(refused, _)| decision.number > refused));
        Ok(decision.map(|decision| (decision, message.sequence)))
    }

    /// Follows the bucket as it is, because an operator has decided so.
    pub(super) async fn obey_decision(
        &mut self,
        connection: &Arc<ServerConnection>,
        facts: BucketFacts,
        decision: &OperatorDecision,
        sequence: u64,
    ) -> Result<(), SessionEnd> {
        let OperatorDecision { number, by, kind, .. } = decision;
        if *kind == DecisionKind::Restore {
            let lost = self.lost_by(connection).await?;
            if lost > 0 {
                // A restore takes nothing away.
                let known = usize::try_from(self.applier.known_keys()).unwrap_or(usize::MAX);
                self.progress.older = Some((*number, BucketFault::RestoredOlder { lost, known }));
                return Ok(());
            }
        }
        tracing::warn!(bucket = self.hub.names.bucket, number, by, ?kind, "the bucket is followed as it is");
        self.take_whole(connection, facts, *number, sequence, true).await?;
        self.progress.announced = None;
        self.progress.missing = None;
        self.progress.older = None;
        Ok(())
    }

    /// Reads the last message of every key and puts it in force. `sequence`: one that has to be among them, so that no
    /// replica answers that lags behind. `removes`: what the bucket doesn't know is gone.
    pub(super) async fn take_whole(
        &mut self,
        connection: &Arc<ServerConnection>,
        facts: BucketFacts,
        followed: u64,
        sequence: u64,
        removes: bool,
    ) -> Result<(), SessionEnd> {
        let names = &self.hub.names;
        let name = consumer_name("whole", self.hub.edge());
        let mut reader = BucketConsumer::begin_last(connection, names, name, ">", false).await?;
        let mut keys = HashSet::new();
        let mut page = Vec::new();
        let mut position = BucketPosition { created: facts.created, sequence: 0, written: 0, followed };
        let mut last = 0;
        while let Some(message) = reader.next_known().await? {
            last = message.sequence;
            if !message.is_of_widget() {
                continue;
            }
            (position.sequence, position.written) = (message.sequence, message.written);
            // An operator's word makes up for what was deleted by hand.
            if !message.is_marker() {
                keys.insert(Box::from(message.key.as_str()));
            }
            page.push(message);
            if page.len() >= PAGE {
                let beside = Beside { anew: true, ..Beside::default() };
                self.applier.apply(&self.hub, std::mem::take(&mut page), beside).await?;
                reader.listens_again();
            }
        }
        reader.end().await;
        if last < sequence {
            return Err(SessionEnd::Failed("a NATS server does not know of the last messages yet".into()));
        }
        let gone = if removes { self.applier.not_among(keys).await? } else { Vec::new() };
        let beside = Beside { gone, position: Some(position), anew: true };
        self.applier.apply(&self.hub, page, beside).await?;
        (self.progress.taken, self.progress.followed) = (last, followed);
        self.hub.counts_from(last);
        self.hub.enforces(Some(self.applier.in_force()), last);
        Ok(())
    }

    /// Counts the bucket's keys. Where some are missing, they are named; more than the brake lets pass are a fault.
    pub(super) async fn count_keys(&mut self, connection: &Arc<ServerConnection>) -> Result<(), SessionEnd> {
        let Some(facts) = connection.facts(&self.hub.names).await? else {
            return Err(SessionEnd::Failed("the bucket is gone".into()));
        };
        if self.lacking(facts) == 0 {
            self.progress.named.clear();
            return Ok(());
        }
        let missing = self.missing_keys(connection).await?;
        let known = usize::try_from(self.applier.known_keys()).unwrap_or(usize::MAX);
        if self.applier.is_wide(missing.len()) {
            self.progress.missing = Some(BucketFault::KeysMissing { missing: missing.len(), known });
            return Err(SessionEnd::Failed("the bucket lacks many keys".into()));
        }
        let named: Vec<String> = missing.iter().map(ToString::to_string).collect();
        if !named.is_empty() && named != self.progress.named {
            let shown = named.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
            let more = if named.len() > NAMED { ", and more" } else { "" };
            let detail = format!(
                "the bucket `{}` lacks {} of the {known} widgets and deletions in force here: {shown}{more}; they stay: \
                 `embedgate fleet restore` writes them again, `embedgate fleet accept --confirm {}` takes them away",
                self.hub.names.bucket,
                named.len(),
                named.len()
            );
            self.applier.reject(vec![bucket_fault("keys_missing", detail)]).await;
        }
        self.progress.named = named;
        Ok(())
    }

    /// The keys in force here that the bucket lacks.
    async fn missing_keys(&self, connection: &Arc<ServerConnection>) -> Result<Vec<WidgetId>, SessionEnd> {
        let name = consumer_name("keys", self.hub.edge());
        let mut reader = BucketConsumer::begin_last(connection, &self.hub.names, name, ">", true).await?;
        let mut keys = HashSet::new();
        while let Some(BucketMessage { key, .. }) = reader.next_known().await? {
            keys.insert(key.into_boxed_str());
        }
        reader.end().await;
        self.applier.not_among(keys).await
    }

    /// Says that this edge has other rules than another one.
    pub(super) async fn doubt(&self) {
        let detail =
            "another edge has other rules at the same message of the bucket: it is read again".to_owned();
        self.applier.reject(vec![bucket_fault("digest_differs", detail)]).await;
    }
}

/// A fault of the bucket as a whole.
fn bucket_fault(code: &'static str, detail: String) -> RuleFault {
    RuleFault { index: None, widget: None, place: None, pointer: String::new(), code, detail }
}
