//! Where answers are: bounded in bytes, found by key, and indexed by widget, so that a purge finds what it is about.
//!
//! Everything that changes the store goes through the lock of the index, so that a purge and what it must keep out
//! can't miss each other. Hits don't: they read the store alone.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use foldhash::quality::RandomState;
use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter};

use super::flight::Flight;
use super::key::{Key, KeyRef};
use super::stored::{Resource, Stored};

/// For how long a key whose answers are not kept is remembered, so that nobody waits for them.
const PERSONAL_FOR: Duration = Duration::from_secs(60);
/// How many of those.
const PERSONAL_KEYS: usize = 10_000;

/// Memory for one lock of the store.
const SHARD_BYTES: u64 = 32 << 20;
const MOST_SHARDS: u64 = 16;
/// A guess at the size of an asset: the store's own tables are laid out for it.
const USUAL_BYTES: u64 = 16 << 10;

/// Answers in memory.
#[derive(Debug)]
pub struct Store {
    resources: Cache<Arc<Key>, Arc<Resource>, Weigh, DefaultHashBuilder, Gather>,
    /// By the hash of the key: two that share one share no answer, only that nobody waits for them.
    personal: Cache<u64, Instant>,
    hasher: RandomState,
    shelves: Mutex<HashMap<Box<str>, Shelf>>,
    /// How many there were, of whatever widget. Counted under the lock of the shelves.
    purges: AtomicU64,
    /// Bytes of bodies that are not whole yet.
    arriving: AtomicU64,
    most_arriving: u64,
    largest: u64,
}

/// What there is of one widget.
#[derive(Debug, Default)]
struct Shelf {
    keys: HashSet<Arc<Key>>,
    flights: HashMap<Arc<Key>, Arc<Flight>>,
    /// Held by every fill that began after the last purge. A purge leaves its holders behind.
    since_purge: Arc<()>,
}

/// The right to store one answer, until the widget is purged.
#[derive(Debug)]
pub struct Place {
    key: Arc<Key>,
    since_purge: Arc<()>,
    flight: Option<Arc<Flight>>,
}

impl Place {
    /// Those who wait for this answer; `None` where nobody was asked to.
    pub fn flight(&self) -> Option<&Flight> {
        self.flight.as_deref()
    }
}

/// A key whose answers are not kept, as it was when one was asked for. Whoever asks for one more takes no place, and
/// so no lock, for what will hardly be stored.
#[derive(Clone, Copy, Debug)]
pub struct Personal {
    hash: u64,
    until: Instant,
    purges: u64,
}

/// Who fetches.
#[derive(Debug)]
pub enum Claim {
    /// The one who asked.
    Yours(Place),
    /// Somebody else, already.
    Taken(Arc<Flight>),
}

impl Store {
    /// A store that holds `bytes`, seven parts of eight for what is whole, one for what is arriving. One answer may
    /// take a thirty-second part.
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
            Ok(options) => Cache::with_options(options, Weigh, DefaultHashBuilder::default(), Gather),
            // Both capacities are given.
            Err(_) => Cache::with(items, kept, Weigh, DefaultHashBuilder::default(), Gather),
        };
        Self {
            resources,
            personal: Cache::new(PERSONAL_KEYS),
            hasher: RandomState::default(),
            shelves: Mutex::default(),
            purges: AtomicU64::new(0),
            arriving: AtomicU64::new(0),
            most_arriving: bytes / 8,
            largest: bytes / 32,
        }
    }

    /// The largest body that is kept, in bytes.
    pub fn largest(&self) -> u64 {
        self.largest
    }

    /// What is kept under a key.
    pub fn get(&self, key: &KeyRef<'_>) -> Option<Arc<Resource>> {
        self.resources.get(key)
    }

    /// What is known of a key whose last answer was not one to keep.
    pub fn personal(&self, key: &KeyRef<'_>, now: Instant) -> Option<Personal> {
        let hash = self.hasher.hash_one(key);
        let until = self.personal.get(&hash).filter(|until| now < *until)?;
        Some(Personal { hash, until, purges: self.purges.load(Ordering::Acquire) })
    }

    /// Notes that an answer was not one to keep.
    pub fn note_personal(&self, place: &Place, now: Instant) {
        self.personal.insert(self.hasher.hash_one(&place.key), now + PERSONAL_FOR);
    }

    /// Notes that another one was not, before the first is forgotten.
    pub fn still_personal(&self, personal: Personal, now: Instant) {
        if personal.until < now + PERSONAL_FOR / 2 {
            self.personal.insert(personal.hash, now + PERSONAL_FOR);
        }
    }

    /// Takes the right to store an answer that turned out to be one to keep after all; `None` where anything was
    /// purged since it was asked for.
    pub fn claim_late(&self, key: &KeyRef<'_>, personal: Personal) -> Option<Place> {
        let mut shelves = self.shelves();
        if self.purges.load(Ordering::Relaxed) != personal.purges {
            return None;
        }
        let shelf = shelves.entry(key.widget.into()).or_default();
        Some(Place { key: key.to_key(), since_purge: Arc::clone(&shelf.since_purge), flight: None })
    }

    /// Takes the right to fetch and store. `collapse`: where somebody does so already, wait for them.
    pub fn claim(&self, key: &KeyRef<'_>, collapse: bool) -> Claim {
        let mut shelves = self.shelves();
        let owned = key.to_key();
        let shelf = shelves.entry(key.widget.into()).or_default();
        if collapse && let Some(flight) = shelf.flights.get(&owned) {
            return Claim::Taken(Arc::clone(flight));
        }
        let flight = collapse.then(Flight::begin);
        if let Some(flight) = &flight {
            shelf.flights.insert(Arc::clone(&owned), Arc::clone(flight));
        }
        Claim::Yours(Place { key: owned, since_purge: Arc::clone(&shelf.since_purge), flight })
    }

    /// Keeps an answer; `false` where the widget was purged since the place was taken.
    pub fn put(&self, place: &Place, stored: Arc<Stored>) -> bool {
        // Freed last, when nothing is locked any more.
        let mut evicted = Evicted::default();
        let mut shelves = self.shelves();
        let Some(shelf) = place.shelf(&mut shelves) else { return false };
        shelf.keys.insert(Arc::clone(&place.key));
        let resource = Resource::with(stored, self.resources.peek(&place.key).as_deref());
        self.resources.insert_with_lifecycle(Arc::clone(&place.key), Arc::new(resource), &mut evicted);
        self.personal.remove(&self.hasher.hash_one(&place.key));
        for (key, _) in &evicted {
            unlist(&mut shelves, key);
        }
        true
    }

    /// Drops an answer that a newer one has taken the place of.
    pub fn supersede(&self, place: &Place, old: &Arc<Stored>) {
        let mut shelves = self.shelves();
        let Some(resource) = self.resources.peek(&place.key) else { return };
        match resource.without(old) {
            Some(others) => drop(self.resources.replace(Arc::clone(&place.key), Arc::new(others), true)),
            None => {
                self.resources.remove(&place.key);
                unlist(&mut shelves, &place.key);
            }
        }
    }

    /// Ends a fetch, whatever came of it.
    pub fn release(&self, place: Place) {
        let mut shelves = self.shelves();
        let Some(shelf) = place.shelf(&mut shelves) else { return };
        let listed = shelf.flights.get(&place.key);
        if let (Some(listed), Some(own)) = (listed, &place.flight)
            && Arc::ptr_eq(listed, own)
        {
            shelf.flights.remove(&place.key);
        }
        let Place { key, since_purge, .. } = place;
        drop(since_purge);
        tidy(&mut shelves, key.widget());
    }

    /// Drops everything of a widget, and what is arriving for it will not be kept. How many keys there were.
    pub fn purge(&self, widget: &str) -> usize {
        let mut shelves = self.shelves();
        self.purges.fetch_add(1, Ordering::Release);
        let Some(shelf) = shelves.remove(widget) else { return 0 };
        for key in &shelf.keys {
            self.resources.remove(key);
        }
        // Whoever waits looks again, finds nothing, and fetches anew.
        for flight in shelf.flights.values() {
            flight.land();
        }
        shelf.keys.len()
    }

    /// Takes room for bytes that arrive; `false` where there is none.
    pub fn reserve(&self, bytes: u64) -> bool {
        let taken = self.arriving.fetch_add(bytes, Ordering::Relaxed);
        let fits = taken.saturating_add(bytes) <= self.most_arriving;
        if !fits {
            self.unreserve(bytes);
        }
        fits
    }

    /// Gives room back.
    pub fn unreserve(&self, bytes: u64) {
        self.arriving.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Keys, and bytes that their answers take.
    pub fn size(&self) -> (usize, u64) {
        (self.resources.len(), self.resources.weight())
    }

    fn shelves(&self) -> MutexGuard<'_, HashMap<Box<str>, Shelf>> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The widget's shelf, unless it was purged since.
    fn shelf<'s>(&self, shelves: &'s mut HashMap<Box<str>, Shelf>) -> Option<&'s mut Shelf> {
        let shelf = shelves.get_mut(self.key.widget())?;
        Arc::ptr_eq(&shelf.since_purge, &self.since_purge).then_some(shelf)
    }
}

fn unlist(shelves: &mut HashMap<Box<str>, Shelf>, key: &Arc<Key>) {
    if let Some(shelf) = shelves.get_mut(key.widget()) {
        shelf.keys.remove(key);
    }
    tidy(shelves, key.widget());
}

/// Takes an empty shelf away. One that a fetch holds on to stays: a purge has to find it.
fn tidy(shelves: &mut HashMap<Box<str>, Shelf>, widget: &str) {
    let is_empty = shelves.get(widget).is_some_and(|shelf| {
        shelf.keys.is_empty() && shelf.flights.is_empty() && Arc::strong_count(&shelf.since_purge) == 1
    });
    if is_empty {
        shelves.remove(widget);
    }
}

/// Entries weigh what they take in memory.
#[derive(Clone, Debug)]
struct Weigh;

impl Weighter<Arc<Key>, Arc<Resource>> for Weigh {
    fn weight(&self, key: &Arc<Key>, resource: &Arc<Resource>) -> u64 {
        key.weight() + resource.weight()
    }
}

/// What had to go for something new.
type Evicted = Vec<(Arc<Key>, Arc<Resource>)>;

/// Gathers it, so that the index learns of it.
#[derive(Clone, Debug)]
struct Gather;

impl Lifecycle<Arc<Key>, Arc<Resource>> for Gather {
    type RequestState = Evicted;

    fn on_evict(&self, evicted: &mut Evicted, key: Arc<Key>, resource: Arc<Resource>) {
        evicted.push((key, resource));
    }
}
