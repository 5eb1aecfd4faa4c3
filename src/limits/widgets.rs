//! Counters of widgets and their embedders.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use foldhash::quality::RandomState;
use hashbrown::HashTable;
use parking_lot::Mutex;

use super::clock::{LimitDay, Moment};
use super::counter::UseCounter;
use super::reached::ToldLimits;
use super::shards::{SHARDS, shard_of};

/// Embedders of one widget with a counter of their own, beside those that an entry names exactly.
pub(super) const NEWCOMERS: usize = 4096;

/// The same of all widgets.
pub(super) const ALL_NEWCOMERS: usize = 65_536;

/// Key of the counter that embedders share for which there is no room.
pub(super) const SHARED: &str = "";

/// Memory of an entry of a table beside its counter: its place, which may be half empty, and what a small allocation takes.
pub(super) const PLACE: usize = 48;

/// Counters of all widgets that have counted something.
#[derive(Debug)]
pub(super) struct WidgetTable {
    shards: [Mutex<WidgetShard>; SHARDS],
    hasher: RandomState,
    next: AtomicU64,
    newcomers: AtomicUsize,
    most_newcomers: AtomicUsize,
}

type WidgetShard = HashTable<Arc<WidgetCounter>>;

/// Counter of a widget.
#[derive(Debug)]
pub(super) struct WidgetCounter {
    pub(super) id: Box<str>,
    /// Its number. One that was dropped and comes again has another.
    pub(super) number: u64,
    pub(super) counter: Mutex<CountedUse>,
    /// What was told of the limits of its addresses, which are not named.
    pub(super) told_of_addresses: Mutex<ToldLimits>,
    /// What was told of the limits of embedders that no entry names exactly: anybody can make up many.
    pub(super) told_of_newcomers: Mutex<ToldLimits>,
    embedders: Mutex<EmbedderTable>,
    /// Opens were counted or given back since it was last asked for them, so it is among those that the limiter lists.
    pub(super) is_changed: AtomicBool,
}

/// Counter of an embedder of a widget.
#[derive(Debug)]
pub(super) struct EmbedderCounter {
    /// The embedder; [`SHARED`] for all that have none of their own.
    pub(super) key: Box<str>,
    /// Whether an entry named it exactly when this was made.
    pub(super) is_listed: bool,
    pub(super) counter: Mutex<CountedUse>,
}

/// What is counted of a widget or an embedder, what was told of it, and what is on disk.
#[derive(Debug, Default)]
pub(super) struct CountedUse {
    pub(super) used: UseCounter,
    pub(super) told: ToldLimits,
    /// Opens of this day that are on disk.
    pub(super) kept: (LimitDay, u32),
}

#[derive(Debug, Default)]
struct EmbedderTable {
    counters: HashSet<EmbedderEntry, RandomState>,
    newcomers: usize,
}

/// Entry of an embedder, found by its key.
#[derive(Debug)]
struct EmbedderEntry(Arc<EmbedderCounter>);

impl Borrow<str> for EmbedderEntry {
    fn borrow(&self) -> &str {
        &self.0.key
    }
}

impl Hash for EmbedderEntry {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.key.hash(state);
    }
}

impl PartialEq for EmbedderEntry {
    fn eq(&self, other: &Self) -> bool {
        self.0.key == other.0.key
    }
}

impl Eq for EmbedderEntry {}

impl WidgetTable {
    pub(super) fn new() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::default(),
            next: AtomicU64::new(0),
            newcomers: AtomicUsize::new(0),
            most_newcomers: AtomicUsize::new(ALL_NEWCOMERS),
        }
    }

    /// From now on, no more newcomers have a counter of their own.
    pub(super) fn lower_newcomers(&self, most: usize) {
        self.most_newcomers.fetch_min(most, Ordering::Relaxed);
    }

    /// The counter of a widget. One that is not there is made.
    pub(super) fn widget(&self, id: &str) -> Arc<WidgetCounter> {
        let (hash, shard) = self.shard(id);
        let mut shard = shard.lock();
        if let Some(widget) = shard.find(hash, |widget| *widget.id == *id) {
            return Arc::clone(widget);
        }
        let widget = Arc::new(WidgetCounter {
            id: id.into(),
            number: self.next.fetch_add(1, Ordering::Relaxed),
            counter: Mutex::default(),
            told_of_addresses: Mutex::default(),
            told_of_newcomers: Mutex::default(),
            embedders: Mutex::default(),
            is_changed: AtomicBool::new(false),
        });
        shard.insert_unique(hash, Arc::clone(&widget), |widget| self.hasher.hash_one(&*widget.id));
        widget
    }

    /// The counter of a widget, if there is one.
    pub(super) fn find(&self, id: &str) -> Option<Arc<WidgetCounter>> {
        let (hash, shard) = self.shard(id);
        shard.lock().find(hash, |widget| *widget.id == *id).cloned()
    }

    /// The counter of an embedder. One that is not there is made, if there is room for it.
    pub(super) fn embedder(
        &self,
        widget: &WidgetCounter,
        key: &str,
        is_listed: &dyn Fn() -> bool,
    ) -> Arc<EmbedderCounter> {
        let mut embedders = widget.embedders.lock();
        if let Some(EmbedderEntry(found)) = embedders.counters.get(key) {
            return Arc::clone(found);
        }
        let is_listed = is_listed();
        let has_own = is_listed || key == SHARED || embedders.newcomers < NEWCOMERS && self.claim_place();
        if !has_own {
            if let Some(EmbedderEntry(shared)) = embedders.counters.get(SHARED) {
                return Arc::clone(shared);
            }
            return embedders.insert(SHARED, false);
        }
        embedders.newcomers += usize::from(!is_listed && key != SHARED);
        embedders.insert(key, is_listed)
    }

    /// Whether a newcomer at this widget would have no counter of its own.
    pub(super) fn is_full(&self, widget: &WidgetCounter) -> bool {
        let of_all = self.newcomers.load(Ordering::Relaxed);
        of_all >= self.most_newcomers.load(Ordering::Relaxed)
            || widget.embedders.lock().newcomers >= NEWCOMERS
    }

    /// Claims a place for a newcomer.
    fn claim_place(&self) -> bool {
        let most = self.most_newcomers.load(Ordering::Relaxed);
        let claimed = self.newcomers.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |newcomers| {
            (newcomers < most).then_some(newcomers + 1)
        });
        claimed.is_ok()
    }

    /// All widgets that have counted something.
    pub(super) fn all(&self) -> Vec<Arc<WidgetCounter>> {
        self.shards.iter().flat_map(|shard| shard.lock().iter().cloned().collect::<Vec<_>>()).collect()
    }

    /// Drops counters that count nothing and that nobody has, and returns the memory of the others.
    pub(super) fn sweep(&self, now: &Moment) -> usize {
        let mut bytes = 0;
        for shard in &self.shards {
            // Not while the shard is locked: a widget may have many embedders.
            let widgets: Vec<_> = shard.lock().iter().cloned().collect();
            for widget in widgets {
                bytes += widget.sweep(now, &self.newcomers);
            }
            shard.lock().retain(|widget| Arc::strong_count(widget) > 1 || !widget.is_idle(now));
        }
        bytes
    }

    /// The hash of an id, and the shard that it is in.
    fn shard(&self, id: &str) -> (u64, &Mutex<WidgetShard>) {
        let hash = self.hasher.hash_one(id);
        (hash, shard_of(&self.shards, hash))
    }
}

impl WidgetCounter {
    /// The counter of an embedder, if there is one of its own.
    pub(super) fn find(&self, key: &str) -> Option<Arc<EmbedderCounter>> {
        self.embedders.lock().counters.get(key).map(|EmbedderEntry(found)| Arc::clone(found))
    }

    /// The counters of its embedders.
    pub(super) fn embedders(&self) -> Vec<Arc<EmbedderCounter>> {
        self.embedders.lock().counters.iter().map(|EmbedderEntry(counter)| Arc::clone(counter)).collect()
    }

    /// Whether neither it nor an embedder counts anything.
    fn is_idle(&self, now: &Moment) -> bool {
        self.counter.lock().used.is_idle(now) && self.embedders.lock().counters.is_empty()
    }

    fn sweep(&self, now: &Moment, all_newcomers: &AtomicUsize) -> usize {
        let mut bytes = size_of::<Self>() + self.id.len() + PLACE + self.counter.lock().used.heap();
        let mut embedders = self.embedders.lock();
        let before = embedders.newcomers;
        let EmbedderTable { counters, newcomers } = &mut *embedders;
        counters.retain(|EmbedderEntry(embedder)| {
            let mut counted = embedder.counter.lock();
            let is_dropped = counted.used.is_idle(now) && Arc::strong_count(embedder) == 1;
            match is_dropped {
                true => *newcomers -= usize::from(!embedder.is_listed && *embedder.key != *SHARED),
                false => bytes += embedder.bytes(&counted),
            }
            !is_dropped
        });
        if counters.capacity() > 4 * counters.len() {
            counters.shrink_to(2 * counters.len());
        }
        all_newcomers.fetch_sub(before - *newcomers, Ordering::Relaxed);
        bytes
    }
}

impl EmbedderCounter {
    fn bytes(&self, counted: &CountedUse) -> usize {
        size_of::<Self>() + self.key.len() + PLACE + counted.used.heap()
    }
}

impl EmbedderTable {
    fn insert(&mut self, key: &str, is_listed: bool) -> Arc<EmbedderCounter> {
        let counter = Arc::new(EmbedderCounter { key: key.into(), is_listed, counter: Mutex::default() });
        self.counters.insert(EmbedderEntry(Arc::clone(&counter)));
        counter
    }
}

#[cfg(test)]
mod tests;
