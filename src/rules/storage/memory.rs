//! Storage in memory, for sources that hold the truth elsewhere.

use std::collections::BTreeMap;
use std::ops::Bound;

use parking_lot::{Mutex, MutexGuard};

use super::{Commit, Pending, PreviousDocument, Storage, WidgetState};
use crate::rules::documents::{Documents, Json, restore};
use crate::rules::error::StoreError;
use embedgate_policy::suffix::PublicSuffixes;
use embedgate_policy::widget::{Widget, WidgetId};

/// Storage in memory, for sources that hold the truth elsewhere.
#[derive(Default)]
pub(in crate::rules) struct InMemory(Mutex<BTreeMap<WidgetId, (u64, Json)>>);

impl InMemory {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<WidgetId, (u64, Json)>> {
        self.0.lock()
    }
}

impl Documents for InMemory {
    fn get(&self, id: &str) -> Result<Option<Widget>, StoreError> {
        let stored = self.lock().get(id).cloned();
        stored.map(|(revision, json)| restore(&json, revision, PublicSuffixes::shipped())).transpose()
    }

    fn page(&self, after: Option<&str>, limit: usize) -> Result<Vec<Widget>, StoreError> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let page: Vec<(u64, Json)> = self
            .lock()
            .range::<str, _>((from, Bound::Unbounded))
            .take(limit)
            .map(|(_, stored)| stored.clone())
            .collect();
        page.into_iter().map(|(revision, json)| restore(&json, revision, PublicSuffixes::shipped())).collect()
    }
}

impl Storage for InMemory {
    fn documents(&self) -> &dyn Documents {
        self
    }

    fn prepare<'a>(&'a self, commit: &'a Commit) -> Result<Box<dyn Pending + 'a>, StoreError> {
        Ok(Box::new(LockedDocuments { documents: self.lock(), commit }))
    }
}

/// Pending commit in memory: nobody reads while it holds the lock.
struct LockedDocuments<'a> {
    documents: MutexGuard<'a, BTreeMap<WidgetId, (u64, Json)>>,
    commit: &'a Commit,
}

impl Pending for LockedDocuments<'_> {
    fn previous(&self) -> Vec<Option<PreviousDocument>> {
        let mut now = BTreeMap::new();
        let previous = self.commit.writes.iter().map(|write| {
            let before = match now.get(&write.id) {
                Some(before) => Option::clone(before),
                None => self.documents.get(&write.id).cloned(),
            };
            let after = match &write.state {
                WidgetState::Put { revision, json, .. } => Some((*revision, json.clone())),
                WidgetState::Deleted(_) => None,
            };
            now.insert(&write.id, after);
            before
        });
        previous.map(|before| before.map(|(revision, json)| PreviousDocument { revision, json })).collect()
    }

    fn commit(mut self: Box<Self>) -> Result<(), StoreError> {
        for write in &self.commit.writes {
            match &write.state {
                WidgetState::Put { revision, json, .. } => {
                    self.documents.insert(write.id.clone(), (*revision, json.clone()));
                }
                WidgetState::Deleted(_) => {
                    self.documents.remove(&write.id);
                }
            }
        }
        Ok(())
    }
}
