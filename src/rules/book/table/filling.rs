//! Many records at once into a table, each written once, to where it stays: first all are measured, then they are
//! filled in. So a table of any size is made without a byte more than it keeps.

use std::sync::{Arc, Mutex, PoisonError};

use foldhash::quality::RandomState;

use super::{BRANCH, Branch, Place, ROOT, Root, Table, hash, tag};
use crate::rules::book::leaf::{Leaf, OpenLeaf, Part};
use crate::rules::parallel::{on_threads, shares};

/// How large the leaves of a table are going to be, as far as one hand has measured its records.
pub(in crate::rules::book) struct Sizes {
    hasher: RandomState,
    /// Records and bytes of each leaf.
    leaves: Vec<(usize, usize)>,
}

impl Sizes {
    /// For so many hands that share the records of one table.
    pub(in crate::rules::book) fn of(hands: usize) -> Vec<Self> {
        let hasher = RandomState::default();
        (0..hands).map(|_| Self { hasher: hasher.clone(), leaves: vec![(0, 0); ROOT * BRANCH] }).collect()
    }

    pub(in crate::rules::book) fn measure(&mut self, key: &[u8], length: usize) {
        let Place { root, branch } = Place::of(hash(&self.hasher, key));
        if let Some((count, bytes)) = self.leaves.get_mut(root * BRANCH + branch) {
            *count += 1;
            *bytes += Part::size_of(key.len(), length);
        }
    }
}

/// A table that is being filled by any number of hands.
pub(in crate::rules::book) struct Filling {
    hasher: RandomState,
    branches: Vec<Mutex<Vec<OpenLeaf>>>,
}

impl Filling {
    /// Room for what was measured, made on all cores.
    pub(in crate::rules::book) fn new(sizes: &[Sizes]) -> Self {
        let hasher = sizes.first().map(|sizes| sizes.hasher.clone()).unwrap_or_default();
        let room = |root: usize| {
            let size = |place: usize| {
                let of_hands = sizes.iter().filter_map(|sizes| sizes.leaves.get(root * BRANCH + place));
                of_hands.fold((0, 0), |sum, size| (sum.0 + size.0, sum.1 + size.1))
            };
            Mutex::new(OpenLeaf::side_by_side((0..BRANCH).map(size)))
        };
        let made = on_threads(shares((0..ROOT).collect(), 1), |share: Vec<usize>| {
            share.into_iter().map(room).collect::<Vec<_>>()
        });
        Self { hasher, branches: made.into_iter().flatten().collect() }
    }

    /// Fills in a record that was measured; `false` where it wasn't.
    pub(in crate::rules::book) fn put(&self, key: &[u8], bytes: &[u8]) -> bool {
        let hash = hash(&self.hasher, key);
        let Place { root, branch } = Place::of(hash);
        let Some(leaves) = self.branches.get(root) else { return false };
        let mut leaves = leaves.lock().unwrap_or_else(PoisonError::into_inner);
        leaves.get_mut(branch).is_some_and(|leaf| leaf.put(&Part { tag: tag(hash), key, bytes }))
    }

    /// The table of what was filled in.
    pub(in crate::rules::book) fn into_table(self) -> Table {
        let made =
            on_threads(shares(self.branches, 1), |share| share.into_iter().map(close).collect::<Vec<_>>());
        let mut root: Root = [const { None }; ROOT];
        let mut len = 0;
        for (place, branch) in root.iter_mut().zip(made.into_iter().flatten()) {
            len += branch.iter().flatten().map(Leaf::len).sum::<usize>();
            *place = branch.iter().any(Option::is_some).then(|| Arc::new(branch));
        }
        Table { root: Arc::new(root), len, hasher: self.hasher }
    }
}

fn close(leaves: Mutex<Vec<OpenLeaf>>) -> Branch {
    let leaves = leaves.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut branch: Branch = [const { None }; BRANCH];
    branch.iter_mut().zip(leaves).for_each(|(place, leaf)| *place = leaf.close());
    branch
}
