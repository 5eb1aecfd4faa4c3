//! Whole bucket: read at once, and looked through for what it lacks.

use std::collections::HashSet;
use std::mem;
use std::sync::Arc;

use tokio::time::Instant;

use super::agreement::bucket_fault;
use super::applying::Beside;
use super::bucket::BucketFacts;
use super::connection::ServerConnection;
use super::consumer::BucketConsumer;
use super::fault::BucketFault;
use super::follower::{BucketFollower, MissingKeys, SessionEnd};
use super::following::consumer_name;
use super::message::BucketMessage;
use super::registry::is_decision;
use super::report::{DecisionKind, OperatorDecision};
use crate::rules::shared::{BucketPosition, Taking};
use embedgate_policy::widget::WidgetId;

/// Messages that come in force with one swap.
const PAGE: usize = 10_000;

/// Missing keys that are named.
const NAMED: usize = 20;

impl BucketFollower {
    /// Reads the last message of every key and puts it in force. `sequence`: one that has to be among them, so that no
    /// replica answers that lags behind. `decided`: what an operator has decided; only where the bucket was accepted, what
    /// it doesn't know is gone. `None`: it is the same one as before, and nothing goes backwards.
    pub(super) async fn take_whole(
        &mut self,
        connection: &Arc<ServerConnection>,
        facts: BucketFacts,
        mut followed: u64,
        sequence: u64,
        decided: Option<DecisionKind>,
    ) -> Result<(), SessionEnd> {
        let removes = decided.is_some();
        let names = &self.hub.names;
        let name = consumer_name("whole", self.hub.edge());
        let mut reader = BucketConsumer::begin_last(connection, names, name, ">", false).await?;
        let taking = if removes { Taking::All } else { Taking::NotOlder };
        let mut keys = HashSet::new();
        let (mut page, mut markers) = (Vec::new(), Vec::new());
        let (mut last, mut written) = (0, (0, 0));
        if removes {
            self.hub.turns_to((facts.created, followed));
        }
        while let Some(message) = reader.next_known().await? {
            last = message.sequence;
            if is_decision(&message.key) {
                followed = self.passed(&message, facts, followed, removes)?;
            }
            if !message.is_of_widget() {
                continue;
            }
            written = (message.sequence, message.written);
            if message.is_marker() {
                // An operator's word makes up for what was deleted by hand; whoever writes the key next has to know of the
                // mark all the same, so it comes after that.
                markers.push(message);
                continue;
            }
            keys.insert(Box::from(message.key.as_str()));
            page.push(message);
            if page.len() >= PAGE {
                let beside = Beside { taking, ..Beside::default() };
                self.applier.apply(&self.hub, mem::take(&mut page), beside).await?;
                reader.listens_again();
            }
        }
        reader.end().await;
        if last < sequence {
            return Err(SessionEnd::Failed("a NATS server does not know of the last messages yet".into()));
        }
        page.append(&mut markers);
        let read =
            BucketPosition { created: facts.created, sequence: written.0, written: written.1, followed };
        // The last message may have been purged: what was in force stays so.
        let before = self.applier.position().filter(|before| !removes && before.sequence > read.sequence);
        let gone = if removes { self.applier.not_among(keys).await? } else { Vec::new() };
        if decided == Some(DecisionKind::Restore) && !gone.is_empty() {
            // Another look finds that it is not followed.
            return Err(SessionEnd::Failed("the bucket has lost keys since it was filled again".into()));
        }
        let beside = Beside { gone, position: Some(before.unwrap_or(read)), taking };
        self.applier.apply(&self.hub, page, beside).await?;
        (self.progress.taken, self.progress.followed) = (last, followed);
        self.hub.counts_from(last);
        let in_force = Some(self.applier.in_force());
        match self.applier.is_kept() {
            true => self.hub.enforces(in_force, last),
            // A process that is killed now would begin with what was before, so nobody is told that it is enforced here.
            false => self.hub.notes(in_force),
        }
        Ok(())
    }

    /// The number of the last decision that is followed with the whole bucket, in which this one is.
    fn passed(
        &self,
        message: &BucketMessage,
        facts: BucketFacts,
        followed: u64,
        removes: bool,
    ) -> Result<u64, SessionEnd> {
        let decision = serde_json::from_slice::<OperatorDecision>(&message.payload).ok();
        let number = decision.filter(|decision| decision.created == facts.created).map(|told| told.number);
        match number.filter(|number| *number > followed) {
            None => Ok(followed),
            Some(number) if removes => Ok(number),
            Some(_) => {
                Err(SessionEnd::Failed("an operator has decided about the bucket, which comes first".into()))
            }
        }
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
        let missing = self.look_for_missing(connection, facts).await?;
        if self.progress.missing.is_some() {
            return Err(SessionEnd::Failed("the bucket lacks many keys".into()));
        }
        let named: Vec<String> = missing.iter().map(ToString::to_string).collect();
        if !named.is_empty() && named != self.progress.named {
            let shown = named.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
            let more = if named.len() > NAMED { ", and more" } else { "" };
            let (count, known) = (named.len(), self.applier.known_keys());
            let detail = format!(
                "the bucket `{}` lacks {count} of the {known} widgets and deletions in force here: {shown}{more}; they stay: \
                 `embedgate fleet restore` writes them again, `embedgate fleet accept --confirm {count}` takes them away",
                self.hub.names.bucket,
            );
            self.applier.reject(vec![bucket_fault("keys_missing", detail)]).await;
        }
        self.progress.named = named;
        Ok(())
    }

    /// Number of keys in force here that a bucket of so many keys lacks at least.
    fn lacking(&self, facts: BucketFacts) -> u64 {
        let widgets = facts.keys.saturating_sub(self.hub.registry.lock().keys());
        self.applier.known_keys().saturating_sub(widgets)
    }

    /// The keys in force here that the bucket lacks; whether they are too many is known from then on.
    pub(super) async fn look_for_missing(
        &mut self,
        connection: &Arc<ServerConnection>,
        facts: BucketFacts,
    ) -> Result<Vec<WidgetId>, SessionEnd> {
        let name = consumer_name("keys", self.hub.edge());
        let mut reader = BucketConsumer::begin_last(connection, &self.hub.names, name, ">", true).await?;
        let mut keys = HashSet::new();
        while let Some(BucketMessage { key, .. }) = reader.next_known().await? {
            keys.insert(key.into_boxed_str());
        }
        reader.end().await;
        let missing = self.applier.not_among(keys).await?;
        let known = usize::try_from(self.applier.known_keys()).unwrap_or(usize::MAX);
        let fault = BucketFault::KeysMissing { missing: missing.len(), known };
        let too_many = MissingKeys { fault, there: facts.keys, at: Instant::now() };
        self.progress.missing = self.applier.is_wide(missing.len()).then_some(too_many);
        Ok(missing)
    }
}
