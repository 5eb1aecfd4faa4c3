//! Many records at once into a table, without a second copy of them all: dealt out by the branch that each will be
//! in, then made into leaves branch by branch, each bin given back once its branch stands.

use std::sync::Arc;

use foldhash::quality::RandomState;

use super::{Branch, FAN, Place, Root, Table, hash, tag};
use crate::rules::book::leaf::{Leaf, Part, Plan, split_record};
use crate::rules::parallel::{on_threads, shares};

/// Bytes that a bin asks for at a time.
const CHUNK: usize = 32 << 10;

/// Records with different keys, on their way into a table.
pub(in crate::rules::book) struct Bins {
    hasher: RandomState,
    /// One for each branch.
    bins: Vec<Bin>,
}

/// Chunks of `hash:u64 record`.
#[derive(Default)]
struct Bin {
    chunks: Vec<Vec<u8>>,
}

impl Bins {
    /// Bins for the records of one table that so many threads deal out.
    pub(in crate::rules::book) fn of(threads: usize) -> Vec<Self> {
        let hasher = RandomState::default();
        let bins = || std::iter::repeat_with(Bin::default).take(FAN).collect();
        (0..threads).map(|_| Self { hasher: hasher.clone(), bins: bins() }).collect()
    }

    pub(in crate::rules::book) fn put(&mut self, key: &[u8], bytes: &[u8]) {
        let hash = hash(&self.hasher, key);
        let Some(bin) = self.bins.get_mut(Place::of(hash).root) else { return };
        let size = key.len() + bytes.len() + 32;
        if bin.chunks.last().is_none_or(|chunk| chunk.capacity() - chunk.len() < size) {
            bin.chunks.push(Vec::with_capacity(CHUNK.max(size)));
        }
        if let Some(chunk) = bin.chunks.last_mut() {
            chunk.extend(hash.to_le_bytes());
            Part { tag: tag(hash), key, bytes }.write(chunk);
        }
    }

    /// The table of all records, made on all cores.
    pub(in crate::rules::book) fn into_table(all: Vec<Self>) -> Table {
        let hasher = all.first().map(|bins| bins.hasher.clone()).unwrap_or_default();
        let mut of_branches: Vec<Vec<Bin>> = std::iter::repeat_with(Vec::new).take(FAN).collect();
        for bins in all {
            of_branches.iter_mut().zip(bins.bins).for_each(|(of_branch, bin)| of_branch.push(bin));
        }
        let branches =
            on_threads(shares(of_branches, 1), |share| share.into_iter().map(branch).collect::<Vec<_>>());
        let mut root: Root = [const { None }; FAN];
        let mut len = 0;
        for (place, (branch, count)) in root.iter_mut().zip(branches.into_iter().flatten()) {
            *place = branch;
            len += count;
        }
        Table { root: Arc::new(root), len, hasher }
    }
}

/// One branch, and how many records it has.
fn branch(bins: Vec<Bin>) -> (Option<Arc<Branch>>, usize) {
    let mut records: Vec<(u64, Part<'_>)> = bins.iter().flat_map(Bin::records).collect();
    if records.is_empty() {
        return (None, 0);
    }
    records.sort_unstable_by_key(|(hash, _)| *hash);
    let leaves: Vec<(usize, Vec<Part<'_>>)> = records
        .chunk_by(|(a, _), (b, _)| Place::of(*a) == Place::of(*b))
        .filter_map(|leaf| {
            let (first, _) = leaf.first()?;
            Some((Place::of(*first).branch, leaf.iter().map(|(_, part)| *part).collect()))
        })
        .collect();
    // All indexes first, so that they lie together: look-ups find them on few pages.
    let plans: Vec<Plan> = leaves.iter().map(|(_, parts)| Plan::new(parts)).collect();
    let mut scratch = Vec::new();
    let mut branch: Branch = [const { None }; FAN];
    for ((place, parts), plan) in leaves.iter().zip(plans) {
        let leaf: Leaf = plan.build(parts, &mut scratch);
        branch[*place] = Some(leaf);
    }
    (Some(Arc::new(branch)), records.len())
}

impl Bin {
    fn records(&self) -> impl Iterator<Item = (u64, Part<'_>)> {
        self.chunks.iter().flat_map(|chunk| {
            let mut rest = chunk.as_slice();
            std::iter::from_fn(move || {
                let (hash, record) = rest.split_first_chunk()?;
                let (key, bytes, behind) = split_record(record)?;
                rest = behind;
                let hash = u64::from_le_bytes(*hash);
                Some((hash, Part { tag: tag(hash), key, bytes }))
            })
        })
    }
}
