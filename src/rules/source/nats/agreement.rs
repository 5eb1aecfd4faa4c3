//! Agreement on the bucket: it is the one that was followed, or an operator has decided that it is right.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::bucket::{BucketFacts, DECISION, without_batches};
use super::connection::{CallFault, ServerConnection};
use super::fault::{BucketFault, by_announcement, by_facts, by_message};
use super::follower::{BucketFollower, MissingKeys, RefusedRestore, SessionEnd};
use super::registry::key_of;
use super::report::{Announcement, DecisionKind, OperatorDecision};
use crate::rules::error::RuleFault;
use crate::rules::fleet::FleetFault;

/// Time between two looks at a bucket with a fault.
const LOOK: Duration = Duration::from_secs(1);

/// Time after which missing keys are looked for again, although there are as many as before.
const LOOK_FOR_KEYS: Duration = Duration::from_secs(10);

impl BucketFollower {
    /// The facts of the bucket, once it is one that may be followed. Makes it where there is none and none was followed.
    pub(super) async fn agree(
        &mut self,
        connection: &Arc<ServerConnection>,
    ) -> Result<BucketFacts, SessionEnd> {
        loop {
            let facts = connection.facts(&self.hub.names).await?;
            let mut fault = self.fault_of(connection, facts).await?;
            if let Some(facts) = facts {
                fault = self.refused_restore(facts).or(fault);
                if fault.is_none() {
                    if self.obey_passed(connection, facts).await? {
                        continue;
                    }
                    fault = self.fault_by_others(connection, facts).await?;
                }
            }
            let Some(fault) = fault else {
                self.mended();
                let facts = match facts {
                    Some(facts) => facts,
                    None => connection.create(&self.hub.names).await?,
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
        connection: &Arc<ServerConnection>,
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
        if let Some(MissingKeys { there, at, .. }) = self.progress.missing
            && (there != facts.keys || at.elapsed() >= LOOK_FOR_KEYS)
        {
            // They may be there again.
            self.look_for_missing(connection, facts).await?;
        }
        Ok(self.progress.missing.map(|missing| missing.fault))
    }

    /// What is wrong with the bucket by a restore that this edge doesn't follow.
    fn refused_restore(&self, facts: BucketFacts) -> Option<BucketFault> {
        let refused = self.progress.older.filter(|refused| refused.created == facts.created);
        refused.map(|refused| refused.fault)
    }

    /// What is wrong by the last announcement of this process: nobody else replaces it, so it has to be there.
    async fn fault_by_announcement(
        &mut self,
        connection: &ServerConnection,
    ) -> Result<Option<BucketFault>, SessionEnd> {
        let Some(published) = self.progress.announced else { return Ok(None) };
        let last = connection.last_message(&self.hub.names, &key_of(self.hub.edge())).await?;
        let fault = by_announcement(published, last.as_ref().map(|last| (last.sequence, last.written)));
        if fault.is_some() {
            return Ok(fault);
        }
        let later = last.and_then(|last| serde_json::from_slice::<Announcement>(&last.payload).ok());
        if later.is_some_and(|later| later.is_waited_for() && later.instance != self.hub.instance) {
            return Err(SessionEnd::Superseded);
        }
        Ok(None)
    }

    /// Says that a fault stands, where it is another one than before.
    async fn stands(&mut self, fault: BucketFault) {
        let told = fault.told(&self.hub.names.bucket);
        let before = self.hub.fault();
        if before.as_ref().is_none_or(|before| before.code != told.code || before.detail != told.detail) {
            tracing::error!(source = "nats", code = fault.code(), "{}", told.detail);
            let since = before.map_or(told.since, |before| before.since);
            let detail = told.detail.clone();
            self.hub.change_link(|link| link.fault = Some(FleetFault { since, ..told }));
            self.applier.reject(vec![bucket_fault(fault.code(), detail)]).await;
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
            .filter(|decision| self.progress.older.is_none_or(|refused| decision.number > refused.number));
        Ok(decision.map(|decision| (decision, message.sequence)))
    }

    /// Follows a decision that was passed in the bucket and not followed. What comes later is followed in its turn.
    async fn obey_passed(
        &mut self,
        connection: &Arc<ServerConnection>,
        facts: BucketFacts,
    ) -> Result<bool, SessionEnd> {
        if self.applier.position().is_none() {
            return Ok(false);
        }
        match self.decision(connection, facts).await? {
            Some((decision, sequence)) if sequence <= self.progress.taken => {
                self.obey_decision(connection, facts, &decision, sequence).await?;
                Ok(true)
            }
            _ => Ok(false),
        }
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
                let (created, fault) = (facts.created, BucketFault::RestoredOlder { lost, known });
                self.progress.older = Some(RefusedRestore { number: *number, created, fault });
                return Ok(());
            }
        }
        tracing::warn!(
            bucket = self.hub.names.bucket,
            number,
            by,
            kind = kind.as_str(),
            "the bucket is followed as it is"
        );
        self.take_whole(connection, facts, *number, sequence, Some(*kind)).await?;
        self.progress.announced = None;
        self.progress.missing = None;
        self.progress.older = None;
        Ok(())
    }

    /// Says that this edge has other rules than another one.
    pub(super) async fn doubt(&self) {
        let detail =
            "another edge has other rules at the same message of the bucket: it is read again".to_owned();
        self.applier.reject(vec![bucket_fault("digest_differs", detail)]).await;
    }
}

/// A fault of the bucket as a whole.
pub(super) fn bucket_fault(code: &'static str, detail: String) -> RuleFault {
    RuleFault { index: None, widget: None, place: None, pointer: String::new(), code, detail }
}
