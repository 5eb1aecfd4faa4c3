//! Changes from a bucket in front of the storage: they are in force, and are not kept yet.
//!
//! Whoever reads sees them as if they were kept. The bucket has them, so a process that ends reads them there again.

use std::collections::BTreeMap;
use std::mem;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};

use super::share::{KeptContact, KeptShare, SharedKey};
use super::{Commit, Pending, SignedWrite, Storage, StoredDocument, WidgetState, Write};
use crate::rules::documents::{Documents, HistoryEntry, HistoryState, restore};
use crate::rules::error::StoreError;
use crate::rules::shared::SharedEntry;
use embedgate_policy::suffix::PublicSuffixes;
use embedgate_policy::widget::{Widget, WidgetId};

/// Change that is in force and not kept yet.
#[derive(Clone, Debug)]
pub(in crate::rules) struct UnkeptChange {
    /// The last write of the widget; `None` where only the message is another one.
    pub(in crate::rules) write: Option<SignedWrite>,
    /// The last message about it; `None`: the bucket knows nothing of it.
    pub(in crate::rules) key: Option<SharedKey>,
    /// Since when it could not be kept; `None`: nobody has tried yet.
    pub(in crate::rules) since: Option<Timestamp>,
}

/// Storage with the changes in front of it that are not kept yet: the last one of each widget.
pub(in crate::rules) struct WriteBehind {
    kept: Arc<dyn Storage>,
    unkept: Mutex<BTreeMap<WidgetId, UnkeptChange>>,
}

impl WriteBehind {
    pub(in crate::rules) fn new(kept: Arc<dyn Storage>) -> Self {
        Self { kept, unkept: Mutex::default() }
    }

    /// Puts changes in front.
    pub(in crate::rules) fn put(&self, changes: Vec<(WidgetId, UnkeptChange)>) {
        let mut unkept = self.lock();
        for (id, mut change) in changes {
            if let Some(before) = unkept.get_mut(&id) {
                change.write = change.write.or_else(|| before.write.take());
                change.since = change.since.or(before.since);
            }
            unkept.insert(id, change);
        }
    }

    /// Those that are not kept yet, by id.
    pub(in crate::rules) fn unkept(&self) -> Vec<(WidgetId, UnkeptChange)> {
        self.lock().iter().map(|(id, change)| (id.clone(), change.clone())).collect()
    }

    /// Whether everything is kept.
    pub(in crate::rules) fn is_kept(&self) -> bool {
        self.lock().is_empty()
    }

    /// Takes those away that are kept now.
    pub(in crate::rules) fn settle(&self, is_kept: impl Fn(&WidgetId) -> bool) {
        self.lock().retain(|id, _| !is_kept(id));
    }

    /// Notes that those that are left could not be kept, and gives their number.
    pub(in crate::rules) fn note_failure(&self, at: Timestamp) -> usize {
        let mut unkept = self.lock();
        for change in unkept.values_mut() {
            change.since.get_or_insert(at);
        }
        unkept.len()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<WidgetId, UnkeptChange>> {
        self.unkept.lock()
    }

    fn find(&self, id: &str) -> Option<SignedWrite> {
        self.lock().get(id).and_then(|change| change.write.clone())
    }

    fn restore(&self, write: &Write) -> Result<Option<Widget>, StoreError> {
        let document = write.state.document();
        document.map(|document| restore(&document.json, document.revision, self.suffixes())).transpose()
    }

    /// A page of what is kept, with what is in front of it. `own`: what a write makes of its widget's item.
    fn merged<T>(
        &self,
        after: Option<&str>,
        limit: usize,
        kept: impl Fn(Option<&str>, usize) -> Result<Vec<T>, StoreError>,
        id: impl Fn(&T) -> &WidgetId,
        own: impl Fn(&Write) -> Result<Option<T>, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        // Before what is kept is read: what is kept meanwhile would be missed otherwise.
        let unkept = self.lock();
        let behind = unkept.iter().filter(|(id, _)| after.is_none_or(|after| id.as_str() > after));
        let mut writes: BTreeMap<WidgetId, SignedWrite> =
            behind.filter_map(|(id, change)| Some((id.clone(), change.write.clone()?))).collect();
        drop(unkept);
        if writes.is_empty() {
            return kept(after, limit);
        }
        let mut items: Vec<T> = Vec::new();
        let mut last = after.map(str::to_owned);
        loop {
            let page = kept(last.as_deref(), limit)?;
            let is_end = page.len() < limit;
            last = page.last().map(|item| id(item).to_string()).or(last);
            let reaches = |id: &WidgetId| is_end || last.as_deref().is_some_and(|last| id.as_str() <= last);
            let (here, later) = mem::take(&mut writes).into_iter().partition(|(id, _)| reaches(id));
            writes = later;
            let mut found: Vec<T> = page.into_iter().filter(|item| !here.contains_key(id(item))).collect();
            for SignedWrite { write, .. } in here.values() {
                found.extend(own(write)?);
            }
            found.sort_by(|a, b| id(a).cmp(id(b)));
            items.extend(found);
            if is_end || items.len() >= limit {
                items.truncate(limit);
                return Ok(items);
            }
        }
    }
}

impl Documents for WriteBehind {
    fn get(&self, id: &str) -> Result<Option<Widget>, StoreError> {
        match self.find(id) {
            Some(signed) => self.restore(&signed.write),
            None => self.kept.documents().get(id),
        }
    }

    fn page(&self, after: Option<&str>, limit: usize) -> Result<Vec<Widget>, StoreError> {
        let kept = |after: Option<&str>, limit| self.kept.documents().page(after, limit);
        self.merged(after, limit, kept, |widget| &widget.id, |write| self.restore(write))
    }

    fn ids(&self, after: Option<&str>, limit: usize) -> Result<Vec<WidgetId>, StoreError> {
        let kept = |after: Option<&str>, limit| self.kept.documents().ids(after, limit);
        let own = |write: &Write| Ok(write.state.document().map(|_| write.id.clone()));
        self.merged(after, limit, kept, |id| id, own)
    }

    fn history(&self, id: &str) -> Result<Vec<HistoryEntry>, StoreError> {
        let unkept = self.find(id);
        let mut history = self.kept.documents().history(id)?;
        let Some(signed) = unkept else { return Ok(history) };
        let entry = signed.entry(self.suffixes())?;
        let is_deletion = |entry: &HistoryEntry| entry.state == HistoryState::Deleted;
        let is_kept = history.first().is_some_and(|newest| {
            newest.revision == entry.revision && is_deletion(newest) == is_deletion(&entry)
        });
        if !is_kept {
            history.insert(0, entry);
        }
        Ok(history)
    }
}

impl Storage for WriteBehind {
    fn documents(&self) -> &dyn Documents {
        self
    }

    fn stored(&self, id: &str) -> Result<Option<StoredDocument>, StoreError> {
        match self.find(id) {
            Some(signed) => Ok(signed.write.state.document()),
            None => self.kept.stored(id),
        }
    }

    fn suffixes(&self) -> &PublicSuffixes {
        self.kept.suffixes()
    }

    fn lend(&self) -> Result<(), StoreError> {
        self.kept.lend()
    }

    fn take_back(&self, generation: u64) -> Result<(), StoreError> {
        self.kept.take_back(generation)
    }

    fn establish(&self) -> Result<(), StoreError> {
        self.kept.establish()
    }

    fn discard(&self) {
        self.kept.discard();
    }

    /// Changes that are not kept yet are not in it.
    fn backup(&self, to: &Path) -> Result<(), StoreError> {
        self.kept.backup(to)
    }

    fn may_write(&self, writes: &[Write]) -> Result<(), StoreError> {
        self.kept.may_write(writes)
    }

    /// What is kept alone.
    fn share(&self) -> KeptShare {
        self.kept.share()
    }

    fn shared_keys(&self, ids: &[&str]) -> Result<Vec<Option<SharedKey>>, StoreError> {
        let unkept: Vec<Option<Option<SharedKey>>> = {
            let unkept = self.lock();
            ids.iter().map(|id| unkept.get(*id).map(|change| change.key)).collect()
        };
        let missing: Vec<&str> =
            ids.iter().zip(&unkept).filter(|(_, key)| key.is_none()).map(|(id, _)| *id).collect();
        let mut kept =
            if missing.is_empty() { Vec::new() } else { self.kept.shared_keys(&missing)? }.into_iter();
        Ok(unkept.into_iter().map(|key| key.unwrap_or_else(|| kept.next().flatten())).collect())
    }

    fn entries(&self, after: Option<&str>, limit: usize) -> Result<Vec<SharedEntry>, StoreError> {
        let kept = |after: Option<&str>, limit| self.kept.entries(after, limit);
        let own = |write: &Write| {
            let id = write.id.clone();
            Ok(Some(match &write.state {
                WidgetState::Put { revision, json, .. } => SharedEntry {
                    id,
                    revision: *revision,
                    json: Some(Arc::clone(json)),
                    was_restricted: false,
                },
                WidgetState::Deleted(tombstone) => SharedEntry {
                    id,
                    revision: tombstone.revision,
                    json: None,
                    was_restricted: tombstone.was_restricted,
                },
            }))
        };
        self.merged(after, limit, kept, |entry| &entry.id, own)
    }

    fn keep_contact(&self, contact: KeptContact) -> Result<(), StoreError> {
        self.kept.keep_contact(contact)
    }

    fn edges(&self) -> Result<Vec<u8>, StoreError> {
        self.kept.edges()
    }

    fn keep_edges(&self, edges: &[u8]) -> Result<(), StoreError> {
        self.kept.keep_edges(edges)
    }

    fn prepare<'a>(&'a self, commit: &'a Commit) -> Result<Box<dyn Pending + 'a>, StoreError> {
        self.kept.prepare(commit)
    }
}
