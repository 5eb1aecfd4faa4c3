//! Storage of what a publisher publishes: the seam between the writer and what is durable.

pub(in crate::rules) mod memory;
pub(in crate::rules) mod redb;

use std::sync::Arc;

use super::documents::{Documents, Json};
use super::error::StoreError;
use super::tombstone::Tombstone;
use embedgate_policy::widget::WidgetId;

/// Storage of documents and of what the book is made of.
pub(in crate::rules) trait Storage: Send + Sync {
    /// The documents that are kept.
    fn documents(&self) -> &dyn Documents;

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

    /// Writes everything and leaves the commit: where the pending commit is dropped, nothing of it has happened.
    fn prepare<'a>(&'a self, commit: &'a Commit) -> Result<Box<dyn Pending + 'a>, StoreError>;
}

/// Pending commit: written, and neither durable nor in force.
pub(in crate::rules) trait Pending {
    /// What each write found, in their order; `None` where there was no document.
    fn previous(&self) -> Vec<Option<PreviousDocument>>;

    /// Commits: durable when it returns, or it hasn't happened.
    fn commit(self: Box<Self>) -> Result<(), StoreError>;
}

/// Document that a write replaces.
#[derive(Clone, Debug)]
pub(in crate::rules) struct PreviousDocument {
    pub(in crate::rules) revision: u64,
    pub(in crate::rules) json: Json,
}

/// Commit of one swap: everything that it writes.
#[derive(Debug, Default)]
pub(in crate::rules) struct Commit {
    /// The generation of the book that holds it.
    pub(in crate::rules) generation: u64,
    /// In their order; a widget may be in it several times, the last one holds.
    pub(in crate::rules) writes: Vec<Write>,
}

/// Write of one widget.
#[derive(Debug)]
pub(in crate::rules) struct Write {
    pub(in crate::rules) id: WidgetId,
    pub(in crate::rules) state: WidgetState,
}

/// State of a widget after a commit.
#[derive(Debug)]
pub(in crate::rules) enum WidgetState {
    /// It has this document, and in the book this record.
    Put { revision: u64, json: Json, record: Arc<[u8]> },
    /// It is gone, and this is remembered.
    Deleted(Tombstone),
}
