//! Application of messages: they are read on all cores, and come in force through the publisher, one batch at a time.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Mutex as AsyncMutex;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::timeout;

use super::follower::SessionEnd;
use super::hub::{Hub, InForce};
use super::message::{BucketMessage, WidgetMessage};
use crate::rules::brake;
use crate::rules::error::{RuleFault, RulesError, SaveError, SourceError, StoreError, WideChange};
use crate::rules::parallel::{on_threads, shares};
use crate::rules::publisher::Publisher;
use crate::rules::shared::{BucketPosition, SharedBatch, SharedChange, SharedEntry, Taking};
use crate::rules::storage::share::KeptContact;
use embedgate_policy::suffix::PublicSuffixes;
use embedgate_policy::widget::WidgetId;

/// Messages that are worth a thread of their own.
const SHARE: usize = 200;

/// Entries that are read at once.
const PAGE: usize = 1000;

/// After this time it is said that messages wait and nothing comes in force.
const STUCK: Duration = Duration::from_secs(10);

/// Applier of messages.
#[derive(Clone)]
pub(super) struct Applier {
    publisher: Arc<Publisher>,
    suffixes: Arc<PublicSuffixes>,
    /// Held by whoever puts messages in force. One whose session has ended goes on to its end, before the next begins.
    turn: Arc<AsyncMutex<()>>,
}

/// What comes in force beside the messages.
#[derive(Debug, Default)]
pub(super) struct Beside {
    /// Widgets that the bucket doesn't know.
    pub(super) gone: Vec<WidgetId>,
    pub(super) position: Option<BucketPosition>,
    pub(super) taking: Taking,
}

/// Messages that were read.
#[derive(Default)]
struct ReadMessages {
    changes: Vec<SharedChange>,
    /// What can't be taken, each with its reason.
    refused: Vec<RuleFault>,
}

impl Applier {
    pub(super) fn new(publisher: Arc<Publisher>, suffixes: Arc<PublicSuffixes>) -> Self {
        Self { publisher, suffixes, turn: Arc::default() }
    }

    /// The position in force.
    pub(super) fn position(&self) -> Option<BucketPosition> {
        self.publisher.position()
    }

    /// Number of widgets and deletions that came from the bucket.
    pub(super) fn known_keys(&self) -> u64 {
        self.publisher.known_keys()
    }

    /// Whether everything that is in force is kept on the disk, too.
    pub(super) fn is_kept(&self) -> bool {
        self.publisher.is_kept()
    }

    /// What is in force.
    pub(super) fn in_force(&self) -> InForce {
        let digest = self.publisher.digest();
        match self.position() {
            Some(BucketPosition { created, sequence, followed, .. }) => {
                InForce { created, changed: sequence, followed, digest }
            }
            None => InForce { digest, ..InForce::default() },
        }
    }

    /// Whether another process has taken over for good.
    pub(super) fn is_handed_over(&self) -> bool {
        self.publisher.is_handed_over()
    }

    /// Whether another process has taken over, or is about to, as far as can be told.
    pub(super) async fn may_be_handed_over(&self) -> bool {
        let publisher = Arc::clone(&self.publisher);
        let nothing =
            SharedBatch { changes: Vec::new(), gone: Vec::new(), position: None, taking: Taking::Newer };
        let obeyed = timeout(Duration::from_secs(1), spawn_blocking(move || publisher.obey(nothing)));
        // Where the store is with a process that takes over, this waits.
        !matches!(obeyed.await, Ok(Ok(Ok(()))))
    }

    /// Puts messages in force, with one swap.
    pub(super) async fn apply(
        &self,
        hub: &Hub,
        messages: Vec<BucketMessage>,
        beside: Beside,
    ) -> Result<(), SessionEnd> {
        let Self { publisher, suffixes, turn } = self.clone();
        let job = async move {
            let turn = turn.lock_owned().await;
            let job = spawn_blocking(move || {
                let ReadMessages { changes, refused } = read(messages, &suffixes);
                let Beside { gone, position, taking } = beside;
                let obeyed = publisher.obey(SharedBatch { changes, gone, position, taking });
                if !refused.is_empty() {
                    publisher.reject(&RulesError::Source(SourceError::Invalid(refused.into())));
                }
                drop(turn);
                obeyed
            });
            job.await
        };
        let mut job = pin!(job);
        let mut done = timeout(STUCK, &mut job).await;
        while done.is_err() {
            tracing::error!(
                source = "nats",
                "messages of the bucket wait, and nothing has come in force for {} s: is the disk stuck?",
                STUCK.as_secs()
            );
            hub.change_link(|link| {
                link.behind_since.get_or_insert_with(Timestamp::now);
            });
            done = timeout(STUCK, &mut job).await;
        }
        match done {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(SaveError::HandedOver))) => Err(SessionEnd::Stopped),
            Ok(Ok(Err(error))) => Err(SessionEnd::Failed(error.to_string().into())),
            Ok(Err(error)) => Err(broken(&error)),
            Err(_) => Err(SessionEnd::Failed("nothing comes in force".into())),
        }
    }

    /// Tells of what is wrong with the bucket, where everybody looks for refusals.
    pub(super) async fn reject(&self, faults: Vec<RuleFault>) {
        let publisher = Arc::clone(&self.publisher);
        let told = spawn_blocking(move || {
            publisher.reject(&RulesError::Source(SourceError::Invalid(faults.into())));
        });
        if let Err(error) = told.await {
            tracing::error!(%error, "observers of the rules could not be told");
        }
    }

    /// Keeps when this edge last knew that it had everything.
    pub(super) fn keep_contact(&self, contact: KeptContact) {
        let publisher = Arc::clone(&self.publisher);
        drop(spawn_blocking(move || {
            if let Err(error) = publisher.keep_contact(contact) {
                tracing::warn!(%error, "the time of the last contact to the bucket could not be kept");
            }
        }));
    }

    /// Keeps which other edges are known, where they are others than before.
    pub(super) async fn keep_edges(&self, hub: &Hub) {
        let Some(edges) = hub.registry.lock().take_unkept() else { return };
        let publisher = Arc::clone(&self.publisher);
        let kept = spawn_blocking(move || publisher.keep_edges(&edges)).await;
        if !matches!(kept, Ok(Ok(()))) {
            // The disk may be full; what is in force says so.
            hub.registry.lock().was_not_kept();
        }
    }

    /// The ids that the bucket knew and that are not among these keys.
    pub(super) async fn not_among(&self, keys: HashSet<Box<str>>) -> Result<Vec<WidgetId>, SessionEnd> {
        let applier = self.clone();
        let found = spawn_blocking(move || {
            let mut missing = Vec::new();
            applier.each_known(|entry| {
                if !keys.contains(entry.id.as_str()) {
                    missing.push(entry.id);
                }
            })?;
            Ok::<_, StoreError>(missing)
        });
        match found.await {
            Ok(found) => found.map_err(|error| SessionEnd::Failed(error.to_string().into())),
            Err(error) => Err(broken(&error)),
        }
    }

    /// Goes through widgets and deletions in force, by id. Blocks.
    pub(super) fn each_entry(&self, mut take: impl FnMut(SharedEntry)) -> Result<(), StoreError> {
        self.each_page(|page| {
            page.into_iter().for_each(&mut take);
            Ok(())
        })
    }

    /// The same without those of which the bucket knew nothing when they came in force: deletions of this edge alone.
    pub(super) fn each_known(&self, mut take: impl FnMut(SharedEntry)) -> Result<(), StoreError> {
        self.each_page(|page| {
            let ids: Vec<&str> = page.iter().map(|entry| entry.id.as_str()).collect();
            let keys = self.publisher.shared_keys(&ids)?;
            page.into_iter().zip(keys).filter(|(_, key)| key.is_some()).for_each(|(entry, _)| take(entry));
            Ok(())
        })
    }

    fn each_page(
        &self,
        mut take: impl FnMut(Vec<SharedEntry>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut after: Option<WidgetId> = None;
        loop {
            let page = self.publisher.entries(after.as_ref().map(WidgetId::as_str), PAGE)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.id.clone());
            take(page)?;
        }
    }

    /// Whether so many missing keys are more than the brake lets pass.
    pub(super) fn is_wide(&self, missing: usize) -> bool {
        let known = usize::try_from(self.known_keys()).unwrap_or(usize::MAX);
        let wide = WideChange { confirm: missing, deleted: missing, ..WideChange::none(known) };
        brake::is_wide(&wide, self.publisher.brake())
    }

    /// The public suffix list that documents are judged by.
    pub(super) fn suffixes(&self) -> &PublicSuffixes {
        &self.suffixes
    }
}

fn broken(error: &JoinError) -> SessionEnd {
    SessionEnd::Failed(format!("the applier broke down: {error}").into())
}

/// Reads messages, in their order.
fn read(messages: Vec<BucketMessage>, suffixes: &PublicSuffixes) -> ReadMessages {
    let read = on_threads(shares(messages, SHARE), |share| {
        let mut read = ReadMessages::default();
        for message in share {
            match message.read(suffixes) {
                WidgetMessage::Change(change) => read.changes.push(change),
                WidgetMessage::Refused(fault) => {
                    read.changes.extend(message.unreadable());
                    read.refused.push(fault);
                }
                WidgetMessage::Marker => {
                    read.changes.extend(message.unreadable());
                    read.refused.push(message.deleted_by_hand());
                }
            }
        }
        read
    });
    let mut all = ReadMessages::default();
    for ReadMessages { changes, refused } in read {
        all.changes.extend(changes);
        all.refused.extend(refused);
    }
    all
}
