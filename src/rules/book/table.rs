//! Persistent hash table under the book: as quick to read as a plain hash map, and every version stays as it was.
//!
//! Two fixed levels of 256 and 128 share what a change doesn't touch; below them lie 32,768 [`Leaf`]s, each some
//! thirty records of a million. A change copies one path: those pointers and the one leaf. Reading follows two hot
//! pointers, then one line of the leaf's index, which the processor keeps near, and one record, in main memory.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use foldhash::quality::RandomState;

use super::leaf::{Leaf, LeafRecord, Tag};

pub(super) mod builder;

const ROOT_BITS: u32 = 8;
const BRANCH_BITS: u32 = 7;
/// The branches of the root, and the leaves of a branch.
const ROOT: usize = 1 << ROOT_BITS;
const BRANCH: usize = 1 << BRANCH_BITS;

/// Persistent hash table from keys to byte strings. Clones are cheap and independent.
#[derive(Clone)]
pub(super) struct RecordTable {
    root: Arc<Root>,
    len: usize,
    /// Of the process, so that nobody can choose keys that collide.
    hasher: RandomState,
}

type Root = [Option<Arc<Branch>>; ROOT];
type Branch = [Option<Leaf>; BRANCH];

impl Default for RecordTable {
    fn default() -> Self {
        Self { root: Arc::new([const { None }; ROOT]), len: 0, hasher: RandomState::default() }
    }
}

/// Edit of one key: its new bytes, or `None` to remove it.
pub(super) type RecordEdit<'e> = (&'e [u8], Option<&'e [u8]>);

impl RecordTable {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The key, as the table has it, and its bytes.
    #[inline]
    pub(super) fn get(&self, key: &[u8]) -> Option<(&[u8], &[u8])> {
        let hash = hash(&self.hasher, key);
        let address = LeafAddress::of(hash);
        self.leaf(address)?.get(tag(hash), key)
    }

    /// In no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let branches = self.root.iter().flatten();
        branches
            .flat_map(|branch| branch.iter().flatten())
            .flat_map(|leaf| leaf.records())
            .map(|record| (record.key, record.bytes))
    }

    /// Carries out edits of different keys.
    pub(super) fn edit(&mut self, edits: Vec<RecordEdit<'_>>) {
        let mut edits: Vec<(u64, RecordEdit<'_>)> =
            edits.into_iter().map(|edit| (hash(&self.hasher, edit.0), edit)).collect();
        edits.sort_unstable_by_key(|(hash, _)| *hash);
        for of_leaf in edits.chunk_by(|(a, _), (b, _)| LeafAddress::of(*a) == LeafAddress::of(*b)) {
            let Some((first, _)) = of_leaf.first() else { continue };
            let address = LeafAddress::of(*first);
            let leaf = edited(self.leaf(address), of_leaf);
            self.put(address, leaf);
        }
    }

    fn leaf(&self, address: LeafAddress) -> Option<&Leaf> {
        self.root[address.root].as_ref()?[address.branch].as_ref()
    }

    fn put(&mut self, address: LeafAddress, leaf: Option<Leaf>) {
        let branch = &mut Arc::make_mut(&mut self.root)[address.root];
        let branch = Arc::make_mut(branch.get_or_insert_with(|| Arc::new([const { None }; BRANCH])));
        let count = |leaf: &Option<Leaf>| leaf.as_ref().map_or(0, Leaf::len);
        self.len = self.len - count(&branch[address.branch]) + count(&leaf);
        branch[address.branch] = leaf;
    }
}

/// The leaf that these edits, all of one leaf, make of it; `None` where nothing is left.
fn edited(leaf: Option<&Leaf>, edits: &[(u64, RecordEdit<'_>)]) -> Option<Leaf> {
    let is_edited = |record: &LeafRecord<'_>| edits.iter().any(|(_, (key, _))| *key == record.key);
    let kept = leaf.into_iter().flat_map(Leaf::records).filter(|record| !is_edited(record));
    let new = edits
        .iter()
        .filter_map(|(hash, (key, bytes))| Some(LeafRecord { tag: tag(*hash), key, bytes: (*bytes)? }));
    Leaf::build(&kept.chain(new).collect::<Vec<_>>())
}

#[inline]
fn hash(hasher: &RandomState, key: &[u8]) -> u64 {
    let mut hasher = hasher.build_hasher();
    hasher.write(key);
    hasher.finish()
}

/// Address of a leaf: its index on both levels, from the highest bits of the hash.
#[derive(Clone, Copy, PartialEq, Eq)]
struct LeafAddress {
    root: usize,
    branch: usize,
}

impl LeafAddress {
    #[inline]
    fn of(hash: u64) -> Self {
        let root = (hash >> (64 - ROOT_BITS)) as usize;
        let branch = (hash >> (64 - ROOT_BITS - BRANCH_BITS)) as usize % BRANCH;
        Self { root, branch }
    }
}

/// The bits behind those.
#[inline]
fn tag(hash: u64) -> Tag {
    (hash >> (64 - ROOT_BITS - BRANCH_BITS - Tag::BITS)) as Tag
}

#[cfg(test)]
mod tests;
