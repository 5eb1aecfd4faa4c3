//! Parallel build of a table: first all records are measured, then each is written once, to where it stays. So a table
//! of any size is built without a byte more than it keeps.

use std::sync::Arc;

use foldhash::quality::RandomState;
use parking_lot::Mutex;

use super::{BRANCH, Branch, LeafAddress, ROOT, RecordTable, Root, hash, tag};
use crate::rules::book::leaf::{Leaf, LeafBuilder, LeafRecord};
use crate::rules::parallel::{on_threads, shares};

/// Sizes of a table's leaves, as far as one thread has measured its records.
pub(in crate::rules) struct LeafSizes {
    hasher: RandomState,
    /// Records and bytes of each leaf.
    leaves: Vec<(usize, usize)>,
}

impl LeafSizes {
    /// One for each thread; the threads share the records of one table.
    pub(in crate::rules) fn of(threads: usize) -> Vec<Self> {
        let hasher = RandomState::default();
        (0..threads).map(|_| Self { hasher: hasher.clone(), leaves: vec![(0, 0); ROOT * BRANCH] }).collect()
    }

    /// Adds a record with this key and this many bytes.
    pub(in crate::rules) fn add(&mut self, key: &[u8], length: usize) {
        let LeafAddress { root, branch } = LeafAddress::of(hash(&self.hasher, key));
        if let Some((count, bytes)) = self.leaves.get_mut(root * BRANCH + branch) {
            *count += 1;
            *bytes += LeafRecord::size_of(key.len(), length);
        }
    }
}

/// Builder of a table, shared by any number of threads.
pub(in crate::rules) struct TableBuilder {
    hasher: RandomState,
    branches: Vec<Mutex<Vec<LeafBuilder>>>,
}

impl TableBuilder {
    /// Room for what was measured, made on all cores.
    pub(in crate::rules) fn new(sizes: &[LeafSizes]) -> Self {
        let hasher = sizes.first().map(|sizes| sizes.hasher.clone()).unwrap_or_default();
        let room = |root: usize| {
            let size = |branch: usize| {
                let of_threads = sizes.iter().filter_map(|sizes| sizes.leaves.get(root * BRANCH + branch));
                of_threads.fold((0, 0), |sum, size| (sum.0 + size.0, sum.1 + size.1))
            };
            Mutex::new(LeafBuilder::side_by_side((0..BRANCH).map(size)))
        };
        let made = on_threads(shares((0..ROOT).collect(), 1), |share: Vec<usize>| {
            share.into_iter().map(room).collect::<Vec<_>>()
        });
        Self { hasher, branches: made.into_iter().flatten().collect() }
    }

    /// Writes a record that was measured; `false` where it wasn't.
    pub(in crate::rules) fn put(&self, key: &[u8], bytes: &[u8]) -> bool {
        let hash = hash(&self.hasher, key);
        let LeafAddress { root, branch } = LeafAddress::of(hash);
        let Some(leaves) = self.branches.get(root) else { return false };
        let mut leaves = leaves.lock();
        leaves.get_mut(branch).is_some_and(|leaf| leaf.put(&LeafRecord { tag: tag(hash), key, bytes }))
    }

    /// The finished table.
    pub(in crate::rules) fn into_table(self) -> RecordTable {
        let made =
            on_threads(shares(self.branches, 1), |share| share.into_iter().map(close).collect::<Vec<_>>());
        let mut root: Root = [const { None }; ROOT];
        let mut len = 0;
        for (slot, branch) in root.iter_mut().zip(made.into_iter().flatten()) {
            len += branch.iter().flatten().map(Leaf::len).sum::<usize>();
            *slot = branch.iter().any(Option::is_some).then(|| Arc::new(branch));
        }
        RecordTable { root: Arc::new(root), len, hasher: self.hasher }
    }
}

fn close(leaves: Mutex<Vec<LeafBuilder>>) -> Branch {
    let leaves = leaves.into_inner();
    let mut branch: Branch = [const { None }; BRANCH];
    branch.iter_mut().zip(leaves).for_each(|(slot, leaf)| *slot = leaf.close());
    branch
}
