//! Where a publisher keeps what it publishes: the seam between the writer and what is durable.

use std::sync::Arc;

use super::book::Tombstone;
use super::documents::{Documents, Json};
use super::error::RulesError;
use crate::policy::widget::WidgetId;

/// Keeps documents and what the book is made of, so that it is there again after a restart.
pub(in crate::rules) trait Storage: Send + Sync {
    /// The documents that are kept.
    fn documents(&self) -> &dyn Documents;

    /// Writes everything but the last stroke: dropped, nothing of it has happened.
    fn prepare<'a>(&'a self, commit: &'a Commit) -> Result<Box<dyn Pending + 'a>, RulesError>;
}

/// Written, but not in force.
pub(in crate::rules) trait Pending {
    /// What each write found, in their order; `None` where there was no document.
    fn previous(&self) -> Vec<Option<Previous>>;

    /// The last stroke: durable when it returns, or it hasn't happened.
    fn commit(self: Box<Self>) -> Result<(), RulesError>;
}

/// A document that a write replaces.
#[derive(Clone, Debug)]
pub(in crate::rules) struct Previous {
    pub(in crate::rules) revision: u64,
    pub(in crate::rules) json: Json,
}

/// What one swap writes.
#[derive(Debug, Default)]
pub(in crate::rules) struct Commit {
    /// The generation of the book that holds it.
    pub(in crate::rules) generation: u64,
    /// In their order; a widget may be in it several times, the last one holds.
    pub(in crate::rules) writes: Vec<Write>,
}

/// What became of a widget.
#[derive(Debug)]
pub(in crate::rules) struct Write {
    pub(in crate::rules) id: WidgetId,
    pub(in crate::rules) state: State,
}

#[derive(Debug)]
pub(in crate::rules) enum State {
    /// It has this document, and in the book this record.
    Put { revision: u64, json: Json, record: Arc<[u8]> },
    /// It is gone, and this is remembered.
    Deleted(Tombstone),
}
