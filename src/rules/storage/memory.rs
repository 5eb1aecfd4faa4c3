//! Storage in memory, for sources that hold the truth elsewhere.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::{Author, Commit, Pending, SignedWrite, Storage, StoredDocument};
use crate::rules::documents::{Documents, HistoryEntry, HistoryState, restore};
use crate::rules::error::StoreError;
use embedgate_policy::suffix::PublicSuffixes;
use embedgate_policy::widget::{Widget, WidgetId};

/// Storage in memory, for sources that hold the truth elsewhere.
#[derive(Default)]
pub(in crate::rules) struct InMemory(Mutex<BTreeMap<WidgetId, SignedDocument>>);

/// Document with its author.
#[derive(Clone)]
struct SignedDocument {
    document: StoredDocument,
    author: Arc<Author>,
}

impl InMemory {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<WidgetId, SignedDocument>> {
        self.0.lock()
    }
}

impl SignedDocument {
    fn read(&self) -> Result<Widget, StoreError> {
        restore(&self.document.json, self.document.revision, PublicSuffixes::shipped())
    }
}

impl Documents for InMemory {
    fn get(&self, id: &str) -> Result<Option<Widget>, StoreError> {
        let stored = self.lock().get(id).cloned();
        stored.map(|stored| stored.read()).transpose()
    }

    fn page(&self, after: Option<&str>, limit: usize) -> Result<Vec<Widget>, StoreError> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let page: Vec<SignedDocument> = self
            .lock()
            .range::<str, _>((from, Bound::Unbounded))
            .take(limit)
            .map(|(_, stored)| stored.clone())
            .collect();
        page.iter().map(SignedDocument::read).collect()
    }

    /// The one in force: what was before is where the rules come from.
    fn history(&self, id: &str) -> Result<Vec<HistoryEntry>, StoreError> {
        let Some(stored) = self.lock().get(id).cloned() else { return Ok(Vec::new()) };
        Ok(vec![HistoryEntry {
            revision: stored.document.revision,
            at: Some(stored.author.at),
            actor: Some((*stored.author.name).into()),
            state: HistoryState::Document(stored.read()?),
        }])
    }
}

impl Storage for InMemory {
    fn documents(&self) -> &dyn Documents {
        self
    }

    fn stored(&self, id: &str) -> Result<Option<StoredDocument>, StoreError> {
        Ok(self.lock().get(id).map(|stored| stored.document.clone()))
    }

    fn suffixes(&self) -> &PublicSuffixes {
        PublicSuffixes::shipped()
    }

    fn prepare<'a>(&'a self, commit: &'a Commit) -> Result<Box<dyn Pending + 'a>, StoreError> {
        Ok(Box::new(LockedDocuments { documents: self.lock(), commit }))
    }
}

/// Pending commit in memory: nobody reads while it holds the lock.
struct LockedDocuments<'a> {
    documents: MutexGuard<'a, BTreeMap<WidgetId, SignedDocument>>,
    commit: &'a Commit,
}

impl Pending for LockedDocuments<'_> {
    fn previous(&self) -> Vec<Option<StoredDocument>> {
        let mut now = BTreeMap::new();
        let previous = self.commit.writes.iter().map(|SignedWrite { write, .. }| {
            let before = match now.get(&write.id) {
                Some(before) => Option::clone(before),
                None => self.documents.get(&write.id).map(|stored| stored.document.clone()),
            };
            now.insert(&write.id, write.state.document());
            before
        });
        previous.collect()
    }

    fn commit(mut self: Box<Self>) -> Result<(), StoreError> {
        for SignedWrite { write, author } in &self.commit.writes {
            match write.state.document() {
                Some(document) => {
                    let signed = SignedDocument { document, author: Arc::clone(author) };
                    self.documents.insert(write.id.clone(), signed);
                }
                None => drop(self.documents.remove(&write.id)),
            }
        }
        Ok(())
    }
}
