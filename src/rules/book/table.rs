//! The map under the book: as quick to read as a plain hash map, and every version of it stays as it was.
//!
//! Two fixed levels of 128 share what a change doesn't touch; below them lie 16,384 small open-addressed tables of
//! pointers. A change copies one path: 128 + 128 pointers and the one small table, 60 widgets of a million. Reading
//! follows two hot pointers, then one cell and one item, in main memory each.

use std::hash::{BuildHasher, Hasher};
use std::mem;
use std::sync::Arc;

use foldhash::quality::RandomState;

use crate::rules::parallel::{on_threads, shares};

/// What an item is found by.
pub(super) trait Keyed: Clone {
    fn key(&self) -> &[u8];
}

const FAN_BITS: u32 = 7;
const FAN: usize = 1 << FAN_BITS;

/// Items by their keys. Clones are cheap and independent.
pub(super) struct Table<T> {
    root: Arc<Root<T>>,
    len: usize,
    /// Of the process, so that nobody can choose keys that collide.
    hasher: RandomState,
}

type Root<T> = [Option<Arc<Branch<T>>>; FAN];
type Branch<T> = [Option<Leaf<T>>; FAN];
type Leaf<T> = Arc<[Option<Cell<T>>]>;

#[derive(Clone)]
struct Cell<T> {
    hash: u64,
    item: T,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { root: Arc::new([const { None }; FAN]), len: 0, hasher: RandomState::default() }
    }
}

impl<T> Clone for Table<T> {
    fn clone(&self) -> Self {
        Self { root: Arc::clone(&self.root), len: self.len, hasher: self.hasher.clone() }
    }
}

impl<T: Keyed + Send + Sync> Table<T> {
    /// A table of these items, made on all cores. Their keys differ.
    pub(super) fn build(items: Vec<T>) -> Self {
        let mut table = Self { len: items.len(), ..Self::default() };
        // Hashing waits for main memory: each thread reads its share of the items and deals them out by hash.
        let shares = shares(items, WORTH_A_THREAD);
        let hands = shares.len();
        let mut dealt = on_threads(shares, |share| table.deal(share, hands));
        let parts: Vec<Vec<Vec<Cell<T>>>> = (0..hands)
            .map(|hand| dealt.iter_mut().filter_map(|dealt| dealt.get_mut(hand)).map(mem::take).collect())
            .collect();
        for (root, branch, leaf) in on_threads(parts, leaves).into_iter().flatten() {
            *table.place(root, branch) = Some(leaf);
        }
        table
    }

    fn deal(&self, items: Vec<T>, hands: usize) -> Vec<Vec<Cell<T>>> {
        let mut dealt: Vec<Vec<Cell<T>>> = Vec::new();
        dealt.resize_with(hands, || Vec::with_capacity(items.len() / hands + items.len() / 64));
        for item in items {
            let hash = self.hash(item.key());
            if let Some(hand) = dealt.get_mut(scale(hash >> 32, hands)) {
                hand.push(Cell { hash, item });
            }
        }
        dealt
    }
}

/// Fewer are done before another thread has started.
const WORTH_A_THREAD: usize = 8192;

/// Cells as leaves, each with its places in root and branch.
fn leaves<T>(cells: Vec<Vec<Cell<T>>>) -> Vec<(usize, usize, Leaf<T>)> {
    let mut cells: Vec<Cell<T>> = cells.into_iter().flatten().collect();
    cells.sort_unstable_by_key(|cell| cell.hash);
    let mut cells = cells.into_iter().peekable();
    let (mut leaves, mut of_leaf) = (Vec::new(), Vec::new());
    while let Some(first) = cells.next() {
        let (root, branch) = path(first.hash);
        of_leaf.push(first);
        while let Some(cell) = cells.next_if(|cell| path(cell.hash) == (root, branch)) {
            of_leaf.push(cell);
        }
        let count = of_leaf.len();
        leaves.push((root, branch, fresh(of_leaf.drain(..), count)));
    }
    leaves
}

impl<T: Keyed> Table<T> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn get(&self, key: &str) -> Option<&T> {
        let key = key.as_bytes();
        let hash = self.hash(key);
        let (root, branch) = path(hash);
        let leaf = self.root[root].as_ref()?[branch].as_ref()?;
        probe(leaf, hash).find(|cell| cell.hash == hash && cell.item.key() == key).map(|cell| &cell.item)
    }

    /// In no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        let branches = self.root.iter().flatten();
        branches
            .flat_map(|branch| branch.iter().flatten())
            .flat_map(|leaf| leaf.iter().flatten())
            .map(|cell| &cell.item)
    }

    /// Puts an item in the place of the one with its key.
    pub(super) fn insert(&mut self, item: T) -> Option<T> {
        let hash = self.hash(item.key());
        let (root, branch) = path(hash);
        let leaf = self.place(root, branch);
        let cell = Cell { hash, item };
        let replaced = match leaf {
            Some(leaf) => insert(leaf, cell),
            None => {
                *leaf = Some(fresh([cell].into_iter(), 1));
                None
            }
        };
        self.len += usize::from(replaced.is_none());
        replaced
    }

    pub(super) fn remove(&mut self, key: &str) -> Option<T> {
        self.get(key)?;
        let key = key.as_bytes();
        let hash = self.hash(key);
        let (root, branch) = path(hash);
        let leaf = self.place(root, branch);
        let old = leaf.take()?;
        let mut removed = None;
        let mut kept = Vec::with_capacity(old.len());
        for cell in old.iter().flatten() {
            if cell.hash == hash && cell.item.key() == key {
                removed = Some(cell.item.clone());
            } else {
                kept.push(cell.clone());
            }
        }
        if !kept.is_empty() {
            let count = kept.len();
            *leaf = Some(fresh(kept.into_iter(), count));
        }
        self.len -= usize::from(removed.is_some());
        removed
    }

    #[inline]
    fn hash(&self, key: &[u8]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(key);
        hasher.finish()
    }

    fn place(&mut self, root: usize, branch: usize) -> &mut Option<Leaf<T>> {
        let root = &mut Arc::make_mut(&mut self.root)[root];
        &mut Arc::make_mut(root.get_or_insert_with(|| Arc::new([const { None }; FAN])))[branch]
    }
}

/// The places on both levels: the highest bits. Those left spread the cells of a leaf.
#[inline]
fn path(hash: u64) -> (usize, usize) {
    let root = (hash >> (64 - FAN_BITS)) as usize;
    let branch = (hash >> (64 - 2 * FAN_BITS)) as usize % FAN;
    (root, branch)
}

/// Where an item's cell would be, and on until the first empty one. There always is one.
#[inline]
fn probe<T>(leaf: &[Option<Cell<T>>], hash: u64) -> impl Iterator<Item = &Cell<T>> {
    let (before, from) = leaf.split_at(start(leaf.len(), hash));
    from.iter().chain(before).map_while(Option::as_ref)
}

#[inline]
fn start(cells: usize, hash: u64) -> usize {
    scale(hash & u64::from(u32::MAX), cells)
}

/// A number of 32 bits as one below `most`, without a division: the upper half of the product.
#[inline]
fn scale(number: u64, most: usize) -> usize {
    ((number * most as u64) >> 32) as usize
}

/// A leaf of `count` items, three cells for two.
fn fresh<T>(items: impl Iterator<Item = Cell<T>>, count: usize) -> Leaf<T> {
    let mut cells: Vec<Option<Cell<T>>> = Vec::new();
    cells.resize_with(count + count / 3 + 2, || None);
    for item in items {
        place(&mut cells, item);
    }
    cells.into()
}

/// Puts a new item in the first empty cell.
fn place<T>(cells: &mut [Option<Cell<T>>], item: Cell<T>) {
    let (before, from) = cells.split_at_mut(start(cells.len(), item.hash));
    if let Some(cell) = from.iter_mut().chain(before).find(|cell| cell.is_none()) {
        *cell = Some(item);
    }
}

fn insert<T: Keyed>(leaf: &mut Leaf<T>, new: Cell<T>) -> Option<T> {
    let is_same = |cell: &Cell<T>| cell.hash == new.hash && cell.item.key() == new.item.key();
    let count = leaf.iter().flatten().count();
    let is_there = probe(leaf, new.hash).any(is_same);
    let has_room = count + count / 7 + 1 < leaf.len();
    if is_there || has_room {
        // Copied where another version has it, too.
        let cells = Arc::make_mut(leaf);
        if is_there {
            let cell = cells.iter_mut().flatten().find(|cell| is_same(cell));
            return cell.map(|cell| mem::replace(&mut cell.item, new.item));
        }
        place(cells, new);
    } else {
        *leaf = fresh(leaf.iter().flatten().cloned().chain([new]), count + 1);
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug, PartialEq)]
    struct Item(String, u32);

    impl Keyed for Arc<Item> {
        fn key(&self) -> &[u8] {
            self.0.as_bytes()
        }
    }

    fn item(key: u32, value: u32) -> Arc<Item> {
        Arc::new(Item(format!("k{key}"), value))
    }

    fn assert_same(table: &Table<Arc<Item>>, model: &HashMap<String, u32>) {
        assert_eq!(table.len(), model.len());
        assert_eq!(table.iter().count(), model.len());
        for (key, value) in model {
            assert_eq!(table.get(key).map(|item| item.1), Some(*value), "{key}");
        }
        assert!(table.get("nobody").is_none());
    }

    #[test]
    fn built_at_once_and_item_by_item_are_the_same() {
        for count in [0, 1, 2, 100, 3 * WORTH_A_THREAD as u32 + 1] {
            let built = Table::build((0..count).map(|n| item(n, n)).collect());
            let mut grown = Table::default();
            (0..count).for_each(|n| assert!(grown.insert(item(n, n)).is_none()));
            let model = (0..count).map(|n| (format!("k{n}"), n)).collect();
            assert_same(&built, &model);
            assert_same(&grown, &model);
        }
    }

    #[test]
    fn a_leaf_always_has_an_empty_cell_to_stop_at() {
        let mut leaf = fresh(std::iter::empty::<Cell<Arc<Item>>>(), 0);
        for n in 0..500 {
            // All start at the same cell.
            assert!(insert(&mut leaf, Cell { hash: u64::from(u32::MAX), item: item(n, n) }).is_none());
            assert!(leaf.iter().any(Option::is_none), "after {n}");
        }
        assert_eq!(probe(&leaf, u64::from(u32::MAX)).count(), 500);
    }

    proptest! {
        #[test]
        fn it_is_a_map_and_every_version_stays(
            steps in prop::collection::vec((0..300_u32, prop::option::weighted(0.7, any::<u32>())), 1..600)
        ) {
            let (mut table, mut model) = (Table::default(), HashMap::new());
            let mut versions = Vec::new();
            for (n, (key, value)) in steps.into_iter().enumerate() {
                if n % 97 == 0 {
                    versions.push((table.clone(), model.clone()));
                }
                let name = format!("k{key}");
                let (was, expected) = match value {
                    Some(value) => (table.insert(item(key, value)), model.insert(name, value)),
                    None => (table.remove(&name), model.remove(&name)),
                };
                prop_assert_eq!(was.map(|item| item.1), expected);
            }
            versions.push((table, model));
            for (table, model) in versions {
                assert_same(&table, &model);
            }
        }
    }
}
