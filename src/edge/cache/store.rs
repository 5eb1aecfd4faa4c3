//! Store of answers: bounded in bytes, looked up by key, and indexed by widget for purges.
//!
//! Every change of the store takes the lock of the widget index, so that a purge and a late answer can't miss
//! each other. Hits don't take it: they only read the store.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use foldhash::quality::RandomState;
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter};
use tokio::time::Instant;

use super::flight::Flight;
use super::key::{AssetKey, AssetKeyRef};
use super::stored::{Resource, StoredAnswer};

/// Lifetime of a hit-for-miss marker.
const UNCACHEABLE_FOR: Duration = Duration::from_secs(60);
/// Maximum number of hit-for-miss markers.
const UNCACHEABLE_KEYS: usize = 10_000;

/// Bytes of the store under one lock.
const SHARD_BYTES: u64 = 32 << 20;
const MOST_SHARDS: u64 = 16;
/// Estimated size of an asset, for the size of the store's own tables.
const USUAL_BYTES: u64 = 16 << 10;

/// Store of answers in memory.
#[derive(Debug)]
pub struct AssetStore {
    resources: Cache<Arc<AssetKey>, Arc<Resource>, Weigh, DefaultHashBuilder, EvictionCollector>,
    /// Hit-for-miss markers by the hash of the key. If two keys have the same hash, requests for both don't
    /// wait; they never share an answer.
    uncacheable: Cache<u64, Instant>,
    hasher: RandomState,
    indexes: Mutex<HashMap<Box<str>, WidgetIndex>>,
    /// Number of purges so far, of any widget. Changed only under the lock of the indexes.
    purges: AtomicU64,
    /// Bytes of incomplete bodies.
    arriving: AtomicU64,
    most_arriving: u64,
    largest: u64,
}

/// Widget index: the keys and flights of one widget.
#[derive(Debug, Default)]
struct WidgetIndex {
    keys: HashSet<Arc<AssetKey>>,
    flights: HashMap<Arc<AssetKey>, Arc<Flight>>,
    /// Token of every fill that began after the last purge. A purge makes a new one, so older fills no longer
    /// match.
    since_purge: Arc<()>,
}

/// Fill permit: the right to store one answer until the widget is purged.
#[derive(Debug)]
pub struct FillPermit {
    key: Arc<AssetKey>,
    since_purge: Arc<()>,
    flight: Option<Arc<Flight>>,
}

impl FillPermit {
    /// The flight of requests that wait for this answer; `None` if none can wait.
    pub fn flight(&self) -> Option<&Flight> {
        self.flight.as_deref()
    }
}

/// Hit-for-miss marker of a key, as a request found it. The request then takes no permit, and so no lock, for
/// an answer that will probably not be stored.
#[derive(Clone, Copy, Debug)]
pub struct Uncacheable {
    hash: u64,
    until: Instant,
    purges: u64,
}

/// Result of a claim to fetch.
#[derive(Debug)]
pub enum Claim {
    /// The caller fetches.
    Yours(FillPermit),
    /// Another request is already fetching.
    Taken(Arc<Flight>),
}

impl AssetStore {
    /// A store of `bytes`: seven eighths for complete answers, one eighth for arriving ones. One answer may
    /// take a 32nd.
    pub fn new(bytes: u64) -> Self {
        let kept = bytes - bytes / 8;
        let items = usize::try_from(kept / USUAL_BYTES).unwrap_or(usize::MAX).max(64);
        let shards = usize::try_from((kept / SHARD_BYTES).clamp(1, MOST_SHARDS)).unwrap_or(1);
        let options = OptionsBuilder::new()
            .weight_capacity(kept)
            .estimated_items_capacity(items)
            .shards(shards)
            .build();
        let resources = match options {
            Ok(options) => {
                Cache::with_options(options, Weigh, DefaultHashBuilder::default(), EvictionCollector)
            }
            // Both capacities are set, so this can't fail.
            Err(_) => Cache::with(items, kept, Weigh, DefaultHashBuilder::default(), EvictionCollector),
        };
        Self {
            resources,
            uncacheable: Cache::new(UNCACHEABLE_KEYS),
            hasher: RandomState::default(),
            indexes: Mutex::default(),
            purges: AtomicU64::new(0),
            arriving: AtomicU64::new(0),
            most_arriving: bytes / 8,
            largest: bytes / 32,
        }
    }

    /// Maximum size of a stored body, in bytes.
    pub fn largest(&self) -> u64 {
        self.largest
    }

    /// The resource of a key.
    pub fn get(&self, key: &AssetKeyRef<'_>) -> Option<Arc<Resource>> {
        self.resources.get(key)
    }

    /// The hit-for-miss marker of a key, if it is still valid.
    pub fn uncacheable(&self, key: &AssetKeyRef<'_>, now: Instant) -> Option<Uncacheable> {
        let hash = self.hasher.hash_one(key);
        let until = self.uncacheable.get(&hash).filter(|until| now < *until)?;
        Some(Uncacheable { hash, until, purges: self.purges.load(Ordering::Acquire) })
    }

    /// Sets a hit-for-miss marker.
    pub fn mark_uncacheable(&self, permit: &FillPermit, now: Instant) {
        self.uncacheable.insert(self.hasher.hash_one(&permit.key), now + UNCACHEABLE_FOR);
    }

    /// Renews a hit-for-miss marker before it expires.
    pub fn renew_uncacheable(&self, marker: Uncacheable, now: Instant) {
        if marker.until < now + UNCACHEABLE_FOR / 2 {
            self.uncacheable.insert(marker.hash, now + UNCACHEABLE_FOR);
        }
    }

    /// Takes a permit for an answer that can be stored despite the marker; `None` if anything was purged
    /// since its request.
    pub fn claim_deferred(&self, key: &AssetKeyRef<'_>, marker: Uncacheable) -> Option<FillPermit> {
        let mut indexes = self.indexes.lock();
        // Without a permit, no token shows when this request began. So any purge since then, of any widget,
        // counts.
        if self.purges.load(Ordering::Relaxed) != marker.purges {
            return None;
        }
        let index = indexes.entry(key.widget.into()).or_default();
        Some(FillPermit { key: key.to_key(), since_purge: Arc::clone(&index.since_purge), flight: None })
    }

    /// Takes the right to fetch and store. `collapse`: if another request is already fetching, wait for it.
    pub fn claim(&self, key: &AssetKeyRef<'_>, collapse: bool) -> Claim {
        let mut indexes = self.indexes.lock();
        let owned = key.to_key();
        let index = indexes.entry(key.widget.into()).or_default();
        if collapse && let Some(flight) = index.flights.get(&owned) {
            return Claim::Taken(Arc::clone(flight));
        }
        let flight = collapse.then(Flight::begin);
        if let Some(flight) = &flight {
            index.flights.insert(Arc::clone(&owned), Arc::clone(flight));
        }
        Claim::Yours(FillPermit { key: owned, since_purge: Arc::clone(&index.since_purge), flight })
    }

    /// Stores an answer; `false` if the widget was purged since the permit was taken.
    pub fn put(&self, permit: &FillPermit, stored: Arc<StoredAnswer>) -> bool {
        // Declared first, so that it is freed last, after the locks.
        let mut evicted = Evicted::default();
        let mut indexes = self.indexes.lock();
        // After a purge the token differs, and the answer may be older than the change that caused the purge.
        let Some(index) = permit.index(&mut indexes) else { return false };
        index.keys.insert(Arc::clone(&permit.key));
        let resource = Resource::with(stored, self.resources.peek(&permit.key).as_deref());
        self.resources.insert_with_lifecycle(Arc::clone(&permit.key), Arc::new(resource), &mut evicted);
        self.uncacheable.remove(&self.hasher.hash_one(&permit.key));
        self.unlist_evicted(&mut indexes, &evicted);
        true
    }

    /// Drops an answer that a newer one replaces.
    pub fn supersede(&self, permit: &FillPermit, old: &Arc<StoredAnswer>) {
        let mut indexes = self.indexes.lock();
        let Some(resource) = self.resources.peek(&permit.key) else { return };
        match resource.without(old) {
            Some(others) => drop(self.resources.replace(Arc::clone(&permit.key), Arc::new(others), true)),
            None => {
                self.resources.remove(&permit.key);
                unlist(&mut indexes, &permit.key);
            }
        }
    }

    /// Ends a fetch, with any result.
    pub fn release(&self, permit: FillPermit) {
        let mut indexes = self.indexes.lock();
        let Some(index) = permit.index(&mut indexes) else { return };
        // A later request may have its own flight for this key, which has to stay.
        let listed = index.flights.get(&permit.key);
        if let (Some(listed), Some(own)) = (listed, &permit.flight)
            && Arc::ptr_eq(listed, own)
        {
            index.flights.remove(&permit.key);
        }
        // The token goes first: while a permit holds it, the index is in use.
        let FillPermit { key, since_purge, .. } = permit;
        drop(since_purge);
        drop_if_empty(&mut indexes, key.widget());
    }

    /// Drops all answers of a widget; arriving ones will not be stored. Returns the number of its keys.
    pub fn purge(&self, widget: &str) -> usize {
        let mut indexes = self.indexes.lock();
        self.purges.fetch_add(1, Ordering::Release);
        // With the index goes its token, so that no permit of before matches any more.
        let Some(index) = indexes.remove(widget) else { return 0 };
        for key in &index.keys {
            self.resources.remove(key);
        }
        // Waiting requests look again, find nothing, and fetch a new answer.
        for flight in index.flights.values() {
            flight.land();
        }
        index.keys.len()
    }

    /// Reserves room for arriving bytes; `false` if there is none.
    pub fn reserve(&self, bytes: u64) -> bool {
        let taken = self.arriving.fetch_add(bytes, Ordering::Relaxed);
        let fits = taken.saturating_add(bytes) <= self.most_arriving;
        if !fits {
            self.unreserve(bytes);
        }
        fits
    }

    /// Frees reserved room.
    pub fn unreserve(&self, bytes: u64) {
        self.arriving.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Number of keys, and bytes of their answers.
    pub fn size(&self) -> (usize, u64) {
        (self.resources.len(), self.resources.weight())
    }

    /// Unlists the evicted keys that are gone. The store also reports the old value of a key that got a new
    /// one, and then the key must stay listed, or no purge would find it. The lock of the indexes is held
    /// from the change on, so that no other change of a key comes in between.
    fn unlist_evicted(&self, indexes: &mut HashMap<Box<str>, WidgetIndex>, evicted: &Evicted) {
        for (key, _) in evicted.iter().filter(|(key, _)| !self.resources.contains_key(key)) {
            unlist(indexes, key);
        }
    }
}

impl FillPermit {
    /// The widget's index, unless the widget was purged since.
    fn index<'s>(&self, indexes: &'s mut HashMap<Box<str>, WidgetIndex>) -> Option<&'s mut WidgetIndex> {
        let index = indexes.get_mut(self.key.widget())?;
        Arc::ptr_eq(&index.since_purge, &self.since_purge).then_some(index)
    }
}

fn unlist(indexes: &mut HashMap<Box<str>, WidgetIndex>, key: &Arc<AssetKey>) {
    if let Some(index) = indexes.get_mut(key.widget()) {
        index.keys.remove(key);
    }
    drop_if_empty(indexes, key.widget());
}

/// Removes an empty index. An index with a fetch under way stays, so that a purge finds it.
fn drop_if_empty(indexes: &mut HashMap<Box<str>, WidgetIndex>, widget: &str) {
    let is_empty = indexes.get(widget).is_some_and(|index| {
        index.keys.is_empty() && index.flights.is_empty() && Arc::strong_count(&index.since_purge) == 1
    });
    if is_empty {
        indexes.remove(widget);
    }
}

/// Weight of an entry: the memory that it takes.
#[derive(Clone, Debug)]
struct Weigh;

impl Weighter<Arc<AssetKey>, Arc<Resource>> for Weigh {
    fn weight(&self, key: &Arc<AssetKey>, resource: &Arc<Resource>) -> u64 {
        key.weight() + resource.weight()
    }
}

/// Entries that a new one evicted, and the old value of its own key.
type Evicted = Vec<(Arc<AssetKey>, Arc<Resource>)>;

/// Collector of evicted entries, so that the widget index is updated.
#[derive(Clone, Debug)]
struct EvictionCollector;

impl Lifecycle<Arc<AssetKey>, Arc<Resource>> for EvictionCollector {
    type RequestState = Evicted;

    fn on_evict(&self, evicted: &mut Evicted, key: Arc<AssetKey>, resource: Arc<Resource>) {
        evicted.push((key, resource));
    }
}
