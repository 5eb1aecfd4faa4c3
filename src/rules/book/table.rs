//! The map under the book: as quick to read as a plain hash map, and every version of it stays as it was.
//!
//! Two fixed levels of 128 share what a change doesn't touch; below them lie 16,384 [`Leaf`]s, each some sixty
//! records of a million. A change copies one path: 128 + 128 pointers and the one leaf. Reading follows two hot
//! pointers, then one line of the leaf's index, which the processor keeps near, and one record, in main memory.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use foldhash::quality::RandomState;

use super::leaf::{Leaf, Part, Tag};
use crate::rules::parallel::{on_threads, shares};

mod bins;

pub(super) use self::bins::Bins;

const FAN_BITS: u32 = 7;
const FAN: usize = 1 << FAN_BITS;

/// Byte strings by their keys. Clones are cheap and independent.
#[derive(Clone)]
pub(super) struct Table {
    root: Arc<Root>,
    len: usize,
    /// Of the process, so that nobody can choose keys that collide.
    hasher: RandomState,
}

type Root = [Option<Arc<Branch>>; FAN];
type Branch = [Option<Leaf>; FAN];

impl Default for Table {
    fn default() -> Self {
        Self { root: Arc::new([const { None }; FAN]), len: 0, hasher: RandomState::default() }
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
        let of_leaves: Vec<&[(u64, Edit<'_>)]> =
            edits.chunk_by(|(a, _), (b, _)| Place::of(*a) == Place::of(*b)).collect();
        let edited = on_threads(shares(of_leaves, WORTH_A_THREAD), |share| {
            let mut scratch = Vec::new();
            share.into_iter().filter_map(|edits| self.edited(edits, &mut scratch)).collect::<Vec<_>>()
        });
        for (place, leaf) in edited.into_iter().flatten() {
            self.put(place, leaf);
        }
    }

    /// The leaf that these edits, all of one leaf, make.
    fn edited(&self, edits: &[(u64, Edit<'_>)], scratch: &mut Vec<u8>) -> Option<(Place, Option<Leaf>)> {
        let place = Place::of(edits.first()?.0);
        let is_edited = |part: &Part<'_>| edits.iter().any(|(_, (key, _))| *key == part.key);
        let kept = self.leaf(place).into_iter().flat_map(Leaf::parts).filter(|part| !is_edited(part));
        let new = edits
            .iter()
            .filter_map(|(hash, (key, bytes))| Some(Part { tag: tag(*hash), key, bytes: (*bytes)? }));
        let mut parts: Vec<Part<'_>> = kept.chain(new).collect();
        parts.sort_by_key(|part| part.tag);
        let leaf = (!parts.is_empty()).then(|| Leaf::build(&parts, scratch));
        Some((place, leaf))
    }

    fn leaf(&self, place: Place) -> Option<&Leaf> {
        self.root[place.root].as_ref()?[place.branch].as_ref()
    }

    fn put(&mut self, place: Place, leaf: Option<Leaf>) {
        let branch = &mut Arc::make_mut(&mut self.root)[place.root];
        let branch = Arc::make_mut(branch.get_or_insert_with(|| Arc::new([const { None }; FAN])));
        let count = |leaf: &Option<Leaf>| leaf.as_ref().map_or(0, Leaf::len);
        self.len = self.len - count(&branch[place.branch]) + count(&leaf);
        branch[place.branch] = leaf;
    }
}

/// Fewer leaves are edited before another thread has started.
const WORTH_A_THREAD: usize = 256;

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
        let root = (hash >> (64 - FAN_BITS)) as usize;
        let branch = (hash >> (64 - 2 * FAN_BITS)) as usize % FAN;
        Self { root, branch }
    }
}

/// The bits behind those.
#[inline]
fn tag(hash: u64) -> Tag {
    (hash >> (64 - 2 * FAN_BITS - Tag::BITS)) as Tag
}

#[cfg(test)]
mod tests;
