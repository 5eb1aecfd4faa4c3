//! The map under the book: as quick to read as a plain hash map, and every version of it stays as it was.
//!
//! Two fixed levels of 256 and 128 share what a change doesn't touch; below them lie 32,768 [`Leaf`]s, each some
//! thirty records of a million. A change copies one path: those pointers and the one leaf. Reading follows two hot
//! pointers, then one line of the leaf's index, which the processor keeps near, and one record, in main memory.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use foldhash::quality::RandomState;

use super::leaf::{Leaf, Part, Tag};

mod filling;

pub(super) use self::filling::{Filling, Sizes};

const ROOT_BITS: u32 = 8;
const BRANCH_BITS: u32 = 7;
/// The branches of the root, and the leaves of a branch.
const ROOT: usize = 1 << ROOT_BITS;
const BRANCH: usize = 1 << BRANCH_BITS;

/// Byte strings by their keys. Clones are cheap and independent.
#[derive(Clone)]
pub(super) struct Table {
    root: Arc<Root>,
    len: usize,
    /// Of the process, so that nobody can choose keys that collide.
    hasher: RandomState,
}

type Root = [Option<Arc<Branch>>; ROOT];
type Branch = [Option<Leaf>; BRANCH];

impl Default for Table {
    fn default() -> Self {
        Self { root: Arc::new([const { None }; ROOT]), len: 0, hasher: RandomState::default() }
    }
}

/// What becomes of a key: `None` takes it out.
pub(super) type Edit<'e> = (&'e [u8], Option<&'e [u8]>);

impl Table {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The key, as the table has it, and its bytes.
    #[inline]
    pub(super) fn get(&self, key: &[u8]) -> Option<(&[u8], &[u8])> {
        let hash = hash(&self.hasher, key);
        let place = Place::of(hash);
        self.leaf(place)?.get(tag(hash), key)
    }

    /// In no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let branches = self.root.iter().flatten();
        branches
            .flat_map(|branch| branch.iter().flatten())
            .flat_map(|leaf| leaf.parts())
            .map(|part| (part.key, part.bytes))
    }

    /// Carries out edits of different keys.
    pub(super) fn edit(&mut self, edits: Vec<Edit<'_>>) {
        let mut edits: Vec<(u64, Edit<'_>)> =
            edits.into_iter().map(|edit| (hash(&self.hasher, edit.0), edit)).collect();
        edits.sort_unstable_by_key(|(hash, _)| *hash);
        for of_leaf in edits.chunk_by(|(a, _), (b, _)| Place::of(*a) == Place::of(*b)) {
            let Some((first, _)) = of_leaf.first() else { continue };
            let place = Place::of(*first);
            let leaf = edited(self.leaf(place), of_leaf);
            self.put(place, leaf);
        }
    }

    fn leaf(&self, place: Place) -> Option<&Leaf> {
        self.root[place.root].as_ref()?[place.branch].as_ref()
    }

    fn put(&mut self, place: Place, leaf: Option<Leaf>) {
        let branch = &mut Arc::make_mut(&mut self.root)[place.root];
        let branch = Arc::make_mut(branch.get_or_insert_with(|| Arc::new([const { None }; BRANCH])));
        let count = |leaf: &Option<Leaf>| leaf.as_ref().map_or(0, Leaf::len);
        self.len = self.len - count(&branch[place.branch]) + count(&leaf);
        branch[place.branch] = leaf;
    }
}

/// The leaf that these edits, all of one leaf, make of it; `None` where nothing is left.
fn edited(leaf: Option<&Leaf>, edits: &[(u64, Edit<'_>)]) -> Option<Leaf> {
    let is_edited = |part: &Part<'_>| edits.iter().any(|(_, (key, _))| *key == part.key);
    let kept = leaf.into_iter().flat_map(Leaf::parts).filter(|part| !is_edited(part));
    let new =
        edits.iter().filter_map(|(hash, (key, bytes))| Some(Part { tag: tag(*hash), key, bytes: (*bytes)? }));
    Leaf::build(&kept.chain(new).collect::<Vec<_>>())
}

#[inline]
fn hash(hasher: &RandomState, key: &[u8]) -> u64 {
    let mut hasher = hasher.build_hasher();
    hasher.write(key);
    hasher.finish()
}

/// The places on both levels: the highest bits of the hash.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    root: usize,
    branch: usize,
}

impl Place {
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
