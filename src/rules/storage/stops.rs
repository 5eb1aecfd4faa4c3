//! Kill switches in front of the storage: those that are in force and could not be kept yet.
//!
//! Whoever reads sees them as if they were kept. They are written with the next commit that succeeds, or published where a
//! fleet shares the rules. What the process knows of them is lost with it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::share::{KeptContact, KeptShare, SharedKey, term};
use super::unkept::WriteBehind;
use super::{Author, Commit, Pending, SignedWrite, Storage, StoredDocument, WidgetState, Write};
use crate::rules::book::WidgetRecord;
use crate::rules::documents::{Documents, HistoryEntry, HistoryState, Json, restore};
use crate::rules::edit::disable::disabled;
use crate::rules::error::StoreError;
use crate::rules::fingerprint::FingerprintKey;
use crate::rules::shared::SharedEntry;
use embedgate_policy::suffix::PublicSuffixes;
use embedgate_policy::widget::{Widget, WidgetId};

/// Kill switch that is in force and not kept yet.
#[derive(Clone, Debug)]
pub(in crate::rules) struct UnkeptStop {
    pub(in crate::rules) revision: u64,
    /// The widget's record in the book.
    pub(in crate::rules) record: Arc<[u8]>,
    /// The document; `None` until it can be read.
    pub(in crate::rules) json: Option<Json>,
    pub(in crate::rules) author: Arc<Author>,
    /// Where a fleet shares the rules, what was published in its place, or is about to be. When that comes back from the
    /// bucket, it is kept.
    pub(in crate::rules) published: PublishedStop,
}

impl UnkeptStop {
    /// What it adds to the digest of all when it is kept; `None` until its document can be read.
    pub(in crate::rules) fn term(&self, id: &WidgetId) -> Option<u128> {
        Some(term(id, self.revision, self.json.as_deref()?))
    }
}

/// What was published in place of a kill switch.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::rules) struct PublishedStop {
    /// What the kill switch itself adds to the digest of all, as it was published.
    pub(in crate::rules) term: Option<u128>,
    /// What a change adds to it that comes in place of the kill switch. Both may be on their way at once.
    pub(in crate::rules) replacement: Option<u128>,
    /// The sequence of the kill switch's message, once it is known.
    pub(in crate::rules) sequence: Option<u64>,
}

/// Storage with the kill switches in front of it that could not be kept yet.
pub(in crate::rules) struct StorageWithStops {
    kept: WriteBehind,
    stops: Mutex<BTreeMap<WidgetId, UnkeptStop>>,
}

impl StorageWithStops {
    pub(in crate::rules) fn new(kept: Arc<dyn Storage>) -> Self {
        Self { kept: WriteBehind::new(kept), stops: Mutex::default() }
    }

    /// What is in force but for the kill switches.
    pub(in crate::rules) fn behind(&self) -> &WriteBehind {
        &self.kept
    }

    /// Puts a kill switch in front.
    pub(in crate::rules) fn stop(&self, id: WidgetId, stop: UnkeptStop) {
        self.lock().insert(id, stop);
    }

    /// Those that are not kept yet, by id.
    pub(in crate::rules) fn stops(&self) -> Vec<(WidgetId, UnkeptStop)> {
        self.lock().iter().map(|(id, stop)| (id.clone(), stop.clone())).collect()
    }

    /// Whether the kill switch of this widget is not kept yet.
    pub(in crate::rules) fn is_stopped(&self, id: &WidgetId) -> bool {
        self.lock().contains_key(id)
    }

    /// What is to be written to keep them; not those whose document can't be read even now.
    pub(in crate::rules) fn writes(&self, key: FingerprintKey) -> Vec<SignedWrite> {
        let writes = self.stops().into_iter().filter_map(|(id, stop)| self.write_of(id, stop, key).ok()?);
        writes.collect()
    }

    /// What is to be written to keep the kill switch of this widget; `None` where there is none.
    ///
    /// # Errors
    ///
    /// Its document can't be read.
    pub(in crate::rules) fn stop_write(
        &self,
        id: &WidgetId,
        key: FingerprintKey,
    ) -> Result<Option<SignedWrite>, StoreError> {
        let Some(stop) = self.find(id.as_str()) else { return Ok(None) };
        match self.write_of(id.clone(), stop, key)? {
            Some(write) => Ok(Some(write)),
            None => Err(StoreError::BadDocument {
                source: Arc::from(Box::from(format!("the document of `{id}` is not where it was kept"))),
            }),
        }
    }

    fn write_of(
        &self,
        id: WidgetId,
        stop: UnkeptStop,
        key: FingerprintKey,
    ) -> Result<Option<SignedWrite>, StoreError> {
        let json = match stop.json {
            Some(json) => Some(json),
            None => self.kept.stored(id.as_str())?.and_then(|stored| disabled(&stored.json)),
        };
        let Some((json, WidgetRecord { rules, .. })) =
            json.zip(WidgetRecord::read(id.as_str(), &stop.record))
        else {
            return Ok(None);
        };
        let record = WidgetRecord { rules, fingerprint: key.fingerprint(&json) }.write().into();
        let state = WidgetState::Put { revision: stop.revision, json, record };
        Ok(Some(SignedWrite { write: Write { id, state }, author: stop.author }))
    }

    /// Takes away those of widgets that these writes have kept, and says which they were.
    pub(in crate::rules) fn settle(&self, kept: &[SignedWrite]) -> Vec<WidgetId> {
        let mut stops = self.lock();
        if stops.is_empty() {
            return Vec::new();
        }
        let settled = kept.iter().filter_map(|signed| stops.remove_entry(&signed.write.id));
        settled.map(|(id, _)| id).collect()
    }

    /// Notes the publication of a kill switch, if there is one of this widget: what it adds to the digest of all, where
    /// that is known, and the sequence of its message, once there is one.
    pub(in crate::rules) fn note_published(&self, id: &WidgetId, term: Option<u128>, sequence: Option<u64>) {
        if let Some(stop) = self.lock().get_mut(id) {
            stop.published = PublishedStop { term, sequence, ..stop.published };
        }
    }

    /// Does this with all kill switches in one piece: nobody reads one of them meanwhile.
    pub(in crate::rules) fn with_stops<T>(
        &self,
        change: impl FnOnce(&mut BTreeMap<WidgetId, UnkeptStop>) -> T,
    ) -> T {
        change(&mut self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<WidgetId, UnkeptStop>> {
        self.stops.lock()
    }

    fn find(&self, id: &str) -> Option<UnkeptStop> {
        self.lock().get(id).cloned()
    }

    fn stopped(
        &self,
        stop: &UnkeptStop,
        kept: impl FnOnce() -> Result<Option<Widget>, StoreError>,
    ) -> Result<Option<Widget>, StoreError> {
        let revision = stop.revision;
        match &stop.json {
            Some(json) => restore(json, revision, self.suffixes()).map(Some),
            None => Ok(kept()?.map(|kept| Widget { enabled: false, revision: Some(revision), ..kept })),
        }
    }
}

impl Documents for StorageWithStops {
    fn get(&self, id: &str) -> Result<Option<Widget>, StoreError> {
        let kept = || self.kept.documents().get(id);
        match self.find(id) {
            Some(stop) => self.stopped(&stop, kept),
            None => kept(),
        }
    }

    fn page(&self, after: Option<&str>, limit: usize) -> Result<Vec<Widget>, StoreError> {
        let mut page = self.kept.documents().page(after, limit)?;
        for (id, stop) in self.stops() {
            if let Some(widget) = page.iter_mut().find(|widget| widget.id == id)
                && let Some(stopped) = self.stopped(&stop, || Ok(Some(widget.clone())))?
            {
                *widget = stopped;
            }
        }
        Ok(page)
    }

    fn ids(&self, after: Option<&str>, limit: usize) -> Result<Vec<WidgetId>, StoreError> {
        self.kept.documents().ids(after, limit)
    }

    fn history(&self, id: &str) -> Result<Vec<HistoryEntry>, StoreError> {
        let mut history = self.kept.documents().history(id)?;
        let newest = history.first();
        let Some(stop) =
            self.find(id).filter(|stop| newest.is_none_or(|newest| newest.revision != stop.revision))
        else {
            return Ok(history);
        };
        let kept = newest.and_then(|newest| match &newest.state {
            HistoryState::Document(widget) => Some(widget.clone()),
            HistoryState::Deleted => None,
        });
        if let Some(widget) = self.stopped(&stop, || Ok(kept))? {
            let Author { name, at, .. } = &*stop.author;
            let (at, actor) = (Some(*at), Some((**name).into()));
            let state = HistoryState::Document(widget);
            history.insert(0, HistoryEntry { revision: stop.revision, at, actor, state });
        }
        Ok(history)
    }
}

impl Storage for StorageWithStops {
    fn documents(&self) -> &dyn Documents {
        self
    }

    fn stored(&self, id: &str) -> Result<Option<StoredDocument>, StoreError> {
        let Some(UnkeptStop { revision, json, .. }) = self.find(id) else { return self.kept.stored(id) };
        let json = match json {
            Some(json) => Some(json),
            None => self.kept.stored(id)?.and_then(|kept| disabled(&kept.json)),
        };
        Ok(json.map(|json| StoredDocument { revision, json }))
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

    /// Kill switches that are not kept yet are not in it.
    fn backup(&self, to: &Path) -> Result<(), StoreError> {
        self.kept.backup(to)
    }

    fn may_write(&self, writes: &[Write]) -> Result<(), StoreError> {
        self.kept.may_write(writes)
    }

    fn share(&self) -> KeptShare {
        self.kept.share()
    }

    fn shared_keys(&self, ids: &[&str]) -> Result<Vec<Option<SharedKey>>, StoreError> {
        self.kept.shared_keys(ids)
    }

    /// Kill switches that are not kept yet are not in it.
    fn entries(&self, after: Option<&str>, limit: usize) -> Result<Vec<SharedEntry>, StoreError> {
        self.kept.entries(after, limit)
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
