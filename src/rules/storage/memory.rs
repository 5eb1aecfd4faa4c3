//! Storage in memory, for sources that hold the truth elsewhere.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::share::{KeptContact, KeptShare, SharedKey};
use super::{Author, Commit, Pending, SignedWrite, Storage, StoredDocument, WidgetState, behind};
use crate::rules::documents::{Documents, HistoryEntry, HistoryState, restore};
use crate::rules::error::StoreError;
use crate::rules::shared::SharedEntry;
use crate::rules::tombstone::Tombstone;
use embedgate_policy::suffix::PublicSuffixes;
use embedgate_policy::widget::{Widget, WidgetId};

/// Storage in memory, for sources that hold the truth elsewhere.
#[derive(Default)]
pub(in crate::rules) struct InMemory(Mutex<MemoryTables>);

/// Everything that is in memory.
#[derive(Default)]
struct MemoryTables {
    documents: BTreeMap<WidgetId, SignedDocument>,
    /// Only where a fleet shares the rules: elsewhere nobody asks for them.
    deleted: BTreeMap<WidgetId, Tombstone>,
    keys: BTreeMap<WidgetId, SharedKey>,
    share: KeptShare,
    edges: Vec<u8>,
}

/// Document with its author.
#[derive(Clone)]
struct SignedDocument {
    document: StoredDocument,
    author: Arc<Author>,
}

impl InMemory {
    fn lock(&self) -> MutexGuard<'_, MemoryTables> {
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
        let stored = self.lock().documents.get(id).cloned();
        stored.map(|stored| stored.read()).transpose()
    }

    fn page(&self, after: Option<&str>, limit: usize) -> Result<Vec<Widget>, StoreError> {
        let page: Vec<SignedDocument> = self
            .lock()
            .documents
            .range::<str, _>(behind(after))
            .take(limit)
            .map(|(_, stored)| stored.clone())
            .collect();
        page.iter().map(SignedDocument::read).collect()
    }

    fn ids(&self, after: Option<&str>, limit: usize) -> Result<Vec<WidgetId>, StoreError> {
        let tables = self.lock();
        let later = tables.documents.range::<str, _>(behind(after));
        Ok(later.take(limit).map(|(id, _)| id.clone()).collect())
    }

    /// The one in force: what was before is where the rules come from.
    fn history(&self, id: &str) -> Result<Vec<HistoryEntry>, StoreError> {
        let Some(stored) = self.lock().documents.get(id).cloned() else { return Ok(Vec::new()) };
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
        Ok(self.lock().documents.get(id).map(|stored| stored.document.clone()))
    }

    fn suffixes(&self) -> &PublicSuffixes {
        PublicSuffixes::shipped()
    }

    fn share(&self) -> KeptShare {
        self.lock().share
    }

    fn shared_keys(&self, ids: &[&str]) -> Result<Vec<Option<SharedKey>>, StoreError> {
        let tables = self.lock();
        Ok(ids.iter().map(|id| tables.keys.get(*id).copied()).collect())
    }

    fn entries(&self, after: Option<&str>, limit: usize) -> Result<Vec<SharedEntry>, StoreError> {
        let tables = self.lock();
        let documents = tables.documents.range::<str, _>(behind(after)).take(limit);
        let documents = documents.map(|(id, SignedDocument { document, .. })| SharedEntry {
            id: id.clone(),
            revision: document.revision,
            json: Some(Arc::clone(&document.json)),
            was_restricted: false,
        });
        let deleted = tables.deleted.range::<str, _>(behind(after)).take(limit);
        let deleted = deleted.map(|(id, tombstone)| SharedEntry {
            id: id.clone(),
            revision: tombstone.revision,
            json: None,
            was_restricted: tombstone.was_restricted,
        });
        let mut entries: Vec<SharedEntry> = documents.chain(deleted).collect();
        entries.sort_by(|a, b| a.id.cmp(&b.id));
        entries.truncate(limit);
        Ok(entries)
    }

    fn keep_contact(&self, contact: KeptContact) -> Result<(), StoreError> {
        self.lock().share.contact = Some(contact);
        Ok(())
    }

    fn edges(&self) -> Result<Vec<u8>, StoreError> {
        Ok(self.lock().edges.clone())
    }

    fn keep_edges(&self, edges: &[u8]) -> Result<(), StoreError> {
        self.lock().edges = edges.into();
        Ok(())
    }

    fn prepare<'a>(&'a self, commit: &'a Commit) -> Result<Box<dyn Pending + 'a>, StoreError> {
        Ok(Box::new(LockedDocuments { tables: self.lock(), commit }))
    }
}

/// Pending commit in memory: nobody reads while it holds the lock.
struct LockedDocuments<'a> {
    tables: MutexGuard<'a, MemoryTables>,
    commit: &'a Commit,
}

impl Pending for LockedDocuments<'_> {
    fn previous(&self) -> Vec<Option<StoredDocument>> {
        let mut now = BTreeMap::new();
        let previous = self.commit.writes.iter().map(|SignedWrite { write, .. }| {
            let before = match now.get(&write.id) {
                Some(before) => Option::clone(before),
                None => self.tables.documents.get(&write.id).map(|stored| stored.document.clone()),
            };
            now.insert(&write.id, write.state.document());
            before
        });
        previous.collect()
    }

    fn commit(mut self: Box<Self>) -> Result<(), StoreError> {
        let tables = &mut *self.tables;
        for SignedWrite { write, author } in &self.commit.writes {
            match &write.state {
                WidgetState::Put { revision, json, .. } => {
                    let document = StoredDocument { revision: *revision, json: Arc::clone(json) };
                    let signed = SignedDocument { document, author: Arc::clone(author) };
                    tables.documents.insert(write.id.clone(), signed);
                    tables.deleted.remove(&write.id);
                }
                WidgetState::Deleted(tombstone) => {
                    tables.documents.remove(&write.id);
                    if self.commit.share.is_some() {
                        tables.deleted.insert(write.id.clone(), *tombstone);
                    }
                }
            }
        }
        let Some(share) = &self.commit.share else { return Ok(()) };
        tables.share.position = share.position.or(tables.share.position);
        for (id, key) in &share.keys {
            let before = match key {
                Some(key) => tables.keys.insert(id.clone(), *key),
                None => tables.keys.remove(id),
            };
            tables.share.turn(before, *key);
        }
        Ok(())
    }
}
