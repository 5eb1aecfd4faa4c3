//! Storage of what a publisher publishes: the seam between the writer and what is durable.

pub(in crate::rules) mod memory;
pub(in crate::rules) mod redb;
pub(in crate::rules) mod share;
pub(in crate::rules) mod stops;
pub(in crate::rules) mod unkept;

use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use super::change::Actor;
use super::documents::{Documents, HistoryEntry, HistoryState, Json, restore};
use super::error::StoreError;
use super::shared::SharedEntry;
use super::tombstone::Tombstone;
use embedgate_policy::suffix::PublicSuffixes;
use embedgate_policy::widget::WidgetId;

use self::share::{KeptContact, KeptShare, ShareCommit, SharedKey};

/// The keys behind this one.
fn behind(after: Option<&str>) -> (Bound<&str>, Bound<&str>) {
    (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded)
}

/// Storage of documents and of what the book is made of.
pub(in crate::rules) trait Storage: Send + Sync {
    /// The documents that are kept.
    fn documents(&self) -> &dyn Documents;

    /// A widget's document as it is kept, not read as one.
    ///
    /// # Errors
    ///
    /// Where the store can't be read.
    fn stored(&self, id: &str) -> Result<Option<StoredDocument>, StoreError>;

    /// The public suffix list that documents are judged by.
    fn suffixes(&self) -> &PublicSuffixes;

    /// Lets another process open what is kept here. Until it is taken back, nothing can be read or written.
    ///
    /// # Errors
    ///
    /// Somebody reads and does not stop. Nothing has changed then.
    fn lend(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Takes back what was lent. `generation`: that of the book in force.
    ///
    /// # Errors
    ///
    /// The other process still has it, or has changed it.
    fn take_back(&self, generation: u64) -> Result<(), StoreError> {
        let _ = generation;
        Ok(())
    }

    /// Gives a store that is new its name: it is there from now on, with all that is in it.
    ///
    /// # Errors
    ///
    /// The system doesn't let it have the name.
    fn establish(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Takes a store away that is new and has no name yet. Nothing else is to be done with it then.
    fn discard(&self) {}

    /// Writes a copy of everything to this path, as it is at one instant.
    ///
    /// # Errors
    ///
    /// It is not kept in a file, can't be read, or the copy can't be written. There is no copy then.
    fn backup(&self, to: &Path) -> Result<(), StoreError> {
        let _ = to;
        Err(StoreError::NoStore { name: "memory".into() })
    }

    /// Looks whether these writes can be made at all: what they replace may be damaged.
    ///
    /// # Errors
    ///
    /// They can't, and whatever else is written with them would fail with them.
    fn may_write(&self, writes: &[Write]) -> Result<(), StoreError> {
        let _ = writes;
        Ok(())
    }

    /// What is kept of a bucket that a fleet shares; where it can't be read, what was kept when the storage was opened.
    fn share(&self) -> KeptShare;

    /// What is kept of the last message about each of these widgets.
    ///
    /// # Errors
    ///
    /// Where the store can't be read.
    fn shared_keys(&self, ids: &[&str]) -> Result<Vec<Option<SharedKey>>, StoreError>;

    /// Documents and deletions, in the order of ids (of their bytes), after `after`, at most `limit`.
    ///
    /// # Errors
    ///
    /// Where the store can't be read.
    fn entries(&self, after: Option<&str>, limit: usize) -> Result<Vec<SharedEntry>, StoreError>;

    /// Keeps the last contact to the bucket.
    ///
    /// # Errors
    ///
    /// It can't be written.
    fn keep_contact(&self, contact: KeptContact) -> Result<(), StoreError>;

    /// The edges that this one knew of, as they were kept; nothing where none were.
    ///
    /// # Errors
    ///
    /// Where the store can't be read.
    fn edges(&self) -> Result<Vec<u8>, StoreError>;

    /// Keeps which edges this one knows of.
    ///
    /// # Errors
    ///
    /// It can't be written.
    fn keep_edges(&self, edges: &[u8]) -> Result<(), StoreError>;

    /// Writes everything and leaves the commit: where the pending commit is dropped, nothing of it has happened.
    fn prepare<'a>(&'a self, commit: &'a Commit) -> Result<Box<dyn Pending + 'a>, StoreError>;
}

/// Pending commit: written, and neither durable nor in force.
pub(in crate::rules) trait Pending {
    /// What each write found, in their order; `None` where there was no document.
    fn previous(&self) -> Vec<Option<StoredDocument>>;

    /// Commits: durable when it returns, or it hasn't happened.
    fn commit(self: Box<Self>) -> Result<(), StoreError>;
}

/// Document as it is kept.
#[derive(Clone, Debug)]
pub(in crate::rules) struct StoredDocument {
    pub(in crate::rules) revision: u64,
    pub(in crate::rules) json: Json,
}

/// Commit of one swap: everything that it writes.
#[derive(Debug, Default)]
pub(in crate::rules) struct Commit {
    /// The generation of the book that holds it.
    pub(in crate::rules) generation: u64,
    /// In their order; a widget may be in it several times, the last one holds.
    pub(in crate::rules) writes: Vec<SignedWrite>,
    /// What is to be kept of a bucket with them; `None` where rules are not shared.
    pub(in crate::rules) share: Option<ShareCommit>,
}

/// Write of one widget, with its author.
#[derive(Clone, Debug)]
pub(in crate::rules) struct SignedWrite {
    pub(in crate::rules) write: Write,
    pub(in crate::rules) author: Arc<Author>,
}

/// Author of writes: who asked for them, when, and with which generation they are in force.
#[derive(Debug)]
pub(in crate::rules) struct Author {
    pub(in crate::rules) actor: Actor,
    /// The actor as the audit log and the history call them.
    pub(in crate::rules) name: Arc<str>,
    /// In whole microseconds, as they are kept.
    pub(in crate::rules) at: Timestamp,
    pub(in crate::rules) generation: u64,
}

impl Author {
    /// Somebody who asks now.
    pub(in crate::rules) fn now(actor: Actor, generation: u64) -> Arc<Self> {
        Self::at(actor, Timestamp::now(), generation)
    }

    /// Somebody who asked then.
    pub(in crate::rules) fn at(actor: Actor, at: Timestamp, generation: u64) -> Arc<Self> {
        let at = Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at);
        let name = match &actor {
            Actor::Elsewhere(name) => Arc::clone(name),
            actor => actor.to_string().into(),
        };
        Arc::new(Self { name, actor, at, generation })
    }
}

/// Write of one widget.
#[derive(Clone, Debug)]
pub(in crate::rules) struct Write {
    pub(in crate::rules) id: WidgetId,
    pub(in crate::rules) state: WidgetState,
}

/// State of a widget after a commit.
#[derive(Clone, Debug)]
pub(in crate::rules) enum WidgetState {
    /// It has this document, and in the book this record.
    Put { revision: u64, json: Json, record: Arc<[u8]> },
    /// It is gone, and this is remembered.
    Deleted(Tombstone),
}

impl WidgetState {
    /// The document, where there is one.
    pub(in crate::rules) fn document(&self) -> Option<StoredDocument> {
        match self {
            Self::Put { revision, json, .. } => {
                Some(StoredDocument { revision: *revision, json: Arc::clone(json) })
            }
            Self::Deleted(_) => None,
        }
    }
}

impl SignedWrite {
    /// What it is in the history.
    pub(in crate::rules) fn entry(&self, suffixes: &PublicSuffixes) -> Result<HistoryEntry, StoreError> {
        let (revision, state) = match &self.write.state {
            WidgetState::Put { revision, json, .. } => {
                (*revision, HistoryState::Document(restore(json, *revision, suffixes)?))
            }
            WidgetState::Deleted(tombstone) => (tombstone.revision, HistoryState::Deleted),
        };
        let Author { name, at, .. } = &*self.author;
        Ok(HistoryEntry { revision, at: Some(*at), actor: Some((**name).into()), state })
    }
}
