//! Counters of addresses, in bounded memory: the least recently used are forgotten.

use std::hash::{BuildHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::quality::RandomState;
use lru::LruCache;
use parking_lot::Mutex;

use super::clock::Moment;
use super::counter::UseCounter;
use super::shards::{SHARDS, shard_of};
use crate::sockets;

/// Memory for the counters of all addresses.
pub(super) const BYTES: usize = 32 << 20;

/// Runs that a minute of an address may have.
pub(super) const RUNS: usize = 256;

/// Memory of one counter beside its minute: itself, its key, its links to those that were used before and after it, its place
/// in the table, which may be half empty, and what a small allocation takes.
const COUNTER: usize = size_of::<AddressKey>() + size_of::<AddressCounter>() + 64;

/// Counters of addresses.
#[derive(Debug)]
pub(super) struct AddressTable {
    shards: [Mutex<AddressShard>; SHARDS],
    hasher: RandomState,
    next: AtomicU64,
    /// Memory of each shard.
    shard_bytes: usize,
}

/// Address of a widget's client: an IPv4 address or an IPv6 network, with the number of the widget's counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AddressKey {
    pub(super) widget: u64,
    pub(super) network: IpAddr,
}

/// Counter of an address as it was found: one that was forgotten and comes again has another number.
#[derive(Clone, Copy, Debug)]
pub(super) struct AddressHandle {
    pub(super) key: AddressKey,
    number: u64,
}

#[derive(Debug)]
struct AddressShard {
    counters: LruCache<AddressKey, AddressCounter, RandomState>,
    /// Memory of their minutes.
    heap: usize,
}

#[derive(Debug)]
struct AddressCounter {
    number: u64,
    used: UseCounter,
}

impl AddressKey {
    pub(super) fn new(widget: u64, address: IpAddr) -> Self {
        Self { widget, network: sockets::network(address) }
    }
}

impl Hash for AddressKey {
    // Two numbers: the derived one would hash the bytes of an address one after the other.
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.widget);
        state.write_u128(match self.network {
            IpAddr::V4(address) => address.to_bits().into(),
            IpAddr::V6(network) => network.to_bits(),
        });
    }
}

impl AddressTable {
    /// Counters within so many bytes.
    pub(super) fn new(bytes: usize) -> Self {
        let hasher = RandomState::default();
        let counters = || LruCache::unbounded_with_hasher(hasher.clone());
        let shard = || Mutex::new(AddressShard { counters: counters(), heap: 0 });
        Self {
            shards: std::array::from_fn(|_| shard()),
            hasher,
            next: AtomicU64::new(0),
            shard_bytes: bytes / SHARDS,
        }
    }

    /// Works with the counter of an address. One that is not there is made.
    pub(super) fn with<T>(
        &self,
        key: AddressKey,
        work: impl FnOnce(&mut UseCounter) -> T,
    ) -> (AddressHandle, T) {
        let mut shard = self.shard(&key).lock();
        let made = || AddressCounter {
            number: self.next.fetch_add(1, Ordering::Relaxed),
            used: UseCounter::default(),
        };
        let counter = shard.counters.get_or_insert_mut(key, made);
        let before = counter.used.heap();
        let done = work(&mut counter.used);
        let (number, after) = (counter.number, counter.used.heap());
        shard.heap = (shard.heap + after).saturating_sub(before);
        while shard.bytes() > self.shard_bytes && shard.counters.len() > 1 {
            shard.forget_oldest();
        }
        (AddressHandle { key, number }, done)
    }

    /// Works with this counter, unless it was forgotten.
    pub(super) fn with_found<T>(
        &self,
        handle: &AddressHandle,
        work: impl FnOnce(&mut UseCounter) -> T,
    ) -> Option<T> {
        let mut shard = self.shard(&handle.key).lock();
        let counter = shard.counters.peek_mut(&handle.key)?;
        if counter.number != handle.number {
            return None;
        }
        let before = counter.used.heap();
        let done = work(&mut counter.used);
        let after = counter.used.heap();
        shard.heap = (shard.heap + after).saturating_sub(before);
        Some(done)
    }

    /// Works with the counter that an address has now, if it has one.
    pub(super) fn with_present<T>(
        &self,
        key: &AddressKey,
        work: impl FnOnce(&mut UseCounter) -> T,
    ) -> Option<T> {
        self.shard(key).lock().counters.peek_mut(key).map(|counter| work(&mut counter.used))
    }

    /// Works with each counter, those of one lock after the other, the most recently used of each first.
    pub(super) fn for_each(&self, mut work: impl FnMut(&AddressKey, &mut UseCounter)) {
        for shard in &self.shards {
            for (key, counter) in &mut shard.lock().counters {
                work(key, &mut counter.used);
            }
        }
    }

    /// Forgets counters that count nothing any more, of those that were not used for the longest time.
    pub(super) fn sweep(&self, now: &Moment) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            while shard.forget_idle(now) {}
        }
    }

    /// Memory that they take.
    pub(super) fn bytes(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().bytes()).sum()
    }

    fn shard(&self, key: &AddressKey) -> &Mutex<AddressShard> {
        shard_of(&self.shards, self.hasher.hash_one(key))
    }
}

impl AddressShard {
    fn bytes(&self) -> usize {
        self.counters.len() * COUNTER + self.heap
    }

    /// Forgets the counter that was not used for the longest time, if it counts nothing.
    fn forget_idle(&mut self, now: &Moment) -> bool {
        let Some(key) = self.counters.peek_lru().map(|(key, _)| *key) else { return false };
        let Some(counter) = self.counters.peek_mut(&key) else { return false };
        let before = counter.used.heap();
        let is_idle = counter.used.is_idle(now);
        self.heap = (self.heap + counter.used.heap()).saturating_sub(before);
        if is_idle {
            self.forget_oldest();
        }
        is_idle
    }

    fn forget_oldest(&mut self) {
        if let Some((_, counter)) = self.counters.pop_lru() {
            self.heap = self.heap.saturating_sub(counter.used.heap());
        }
    }
}

#[cfg(test)]
mod tests;
