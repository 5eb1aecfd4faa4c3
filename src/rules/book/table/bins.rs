//! Many records at once into a table, without a second copy of them all: dealt out by the branches that each will be
//! in, then made into leaves bin by bin, each given back once its branches stand.

use std::sync::Arc;

use foldhash::quality::RandomState;

use super::{BRANCH, Branch, Place, ROOT, Root, Table, hash, tag};
use crate::rules::book::leaf::{Part, Plan, split_record};
use crate::rules::parallel::{on_threads, shares};

const BINS: usize = 16;
/// Bytes that a bin asks for at a time: so many that an allocator can use them for anything once they are given back.
const CHUNK: usize = 512 << 10;

/// Records with different keys, on their way into a table.
pub(in crate::rules::book) struct Bins {
    hasher: RandomState,
    /// Each for the same number of branches, in their order.
    bins: Vec<Bin>,
}

/// Chunks of records, one behind the other.
#[derive(Default)]
struct Bin {
    chunks: Vec<Vec<u8>>,
}

impl Bins {
    /// Bins for the records of one table that so many threads deal out.
    pub(in crate::rules::book) fn of(threads: usize) -> Vec<Self> {
        let hasher = RandomState::default();
        let bins = || std::iter::repeat_with(Bin::default).take(BINS).collect();
        (0..threads).map(|_| Self { hasher: hasher.clone(), bins: bins() }).collect()
    }

    pub(in crate::rules::book) fn put(&mut self, key: &[u8], bytes: &[u8]) {
        let hash = hash(&self.hasher, key);
        let Some(bin) = self.bins.get_mut(Place::of(hash).root * BINS / ROOT) else { return };
        let part = Part { tag: tag(hash), key, bytes };
        let size = part.size();
        if bin.chunks.last().is_none_or(|chunk| chunk.capacity() - chunk.len() < size) {
            bin.chunks.push(Vec::with_capacity(CHUNK.max(size)));
        }
        if let Some(chunk) = bin.chunks.last_mut() {
            part.write(chunk);
        }
    }

    /// The table of all records, made on all cores.
    pub(in crate::rules::book) fn into_table(all: Vec<Self>) -> Table {
        let hasher = all.first().map(|bins| bins.hasher.clone()).unwrap_or_default();
        let mut gathered: Vec<Vec<Bin>> = std::iter::repeat_with(Vec::new).take(BINS).collect();
        for bins in all {
            gathered.iter_mut().zip(bins.bins).for_each(|(gathered, bin)| gathered.push(bin));
        }
        let made = on_threads(shares(gathered, 1), |share| {
            share.into_iter().flat_map(|bins| branches(&bins, &hasher)).collect::<Vec<_>>()
        });
        let mut root: Root = [const { None }; ROOT];
        let mut len = 0;
        for (place, branch, count) in made.into_iter().flatten() {
            root[place] = Some(branch);
            len += count;
        }
        Table { root: Arc::new(root), len, hasher }
    }
}

/// The branches of some bins, each with its place and how many records it has.
fn branches(bins: &[Bin], hasher: &RandomState) -> Vec<(usize, Arc<Branch>, usize)> {
    let mut records: Vec<(u64, Part<'_>)> = bins.iter().flat_map(|bin| bin.records(hasher)).collect();
    records.sort_unstable_by_key(|(hash, _)| *hash);
    let of_branches = records.chunk_by(|(a, _), (b, _)| Place::of(*a).root == Place::of(*b).root);
    let made = of_branches.filter_map(|records| {
        let (first, _) = records.first()?;
        Some((Place::of(*first).root, Arc::new(branch(records)), records.len()))
    });
    made.collect()
}

fn branch(records: &[(u64, Part<'_>)]) -> Branch {
    let of_leaves = records.chunk_by(|(a, _), (b, _)| Place::of(*a) == Place::of(*b));
    let leaves = of_leaves.filter_map(|records| {
        let (first, _) = records.first()?;
        let parts: Vec<Part<'_>> = records.iter().map(|(_, part)| *part).collect();
        // All indexes first, so that they lie together: look-ups find them on few pages.
        Some((Place::of(*first).branch, Plan::new(&parts), parts))
    });
    let leaves: Vec<(usize, Plan, Vec<Part<'_>>)> = leaves.collect();
    let mut scratch = Vec::new();
    let mut branch: Branch = [const { None }; BRANCH];
    for (place, plan, parts) in leaves {
        branch[place] = Some(plan.build(&parts, &mut scratch));
    }
    branch
}

impl Bin {
    fn records(&self, hasher: &RandomState) -> impl Iterator<Item = (u64, Part<'_>)> {
        self.chunks.iter().flat_map(move |chunk| {
            let mut rest = chunk.as_slice();
            std::iter::from_fn(move || {
                let (key, bytes, behind) = split_record(rest)?;
                rest = behind;
                let hash = hash(hasher, key);
                Some((hash, Part { tag: tag(hash), key, bytes }))
            })
        })
    }
}
