//! Sketch of how often each embedder was seen, in memory that doesn't grow: a count-min sketch with conservative update.
//! What it says is never too low. It is a little too high where embedders share their cells.

use std::hash::{BuildHasher, RandomState};

/// Cells of each embedder. What it says is the least of them.
const DEPTH: usize = 4;

/// What a cell says that can count no further: any number.
const FULL: u32 = u32::MAX;

/// So often a cell of each row is filled on average before the sketch is begun anew.
const FILLED: u64 = 4;

/// Sketch of the embedders that no list has a place for.
#[derive(Debug)]
pub(super) struct FrequencySketch {
    cells: Box<[u32]>,
    /// Rows of the cells, each a power of two long.
    mask: u64,
    hasher: RandomState,
    /// Sum of what it was given.
    given: u64,
    /// The name of its contents: another one since it was begun anew.
    epoch: u64,
}

/// Place of one embedder in the sketch.
#[derive(Clone, Copy, Debug)]
pub(super) struct SketchKey(u64);

impl FrequencySketch {
    /// An empty sketch in at most so many bytes.
    pub(super) fn new(bytes: u64) -> Self {
        let fits = (bytes / (DEPTH * size_of::<u32>()) as u64).max(2);
        let width = 1_u64 << fits.ilog2();
        let cells = vec![0; usize::try_from(width).unwrap_or(2) * DEPTH].into_boxed_slice();
        Self { cells, mask: width - 1, hasher: RandomState::new(), given: 0, epoch: rand::random() }
    }

    /// Its memory, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        size_of_val(&*self.cells) as u64
    }

    /// The name of its contents. What it said under another name is forgotten.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The place of an embedder. Nobody outside can tell whom it shares its cells with.
    pub(super) fn key(&self, widget: &str, list: u8, origin: &str) -> SketchKey {
        SketchKey(self.hasher.hash_one((widget, list, origin)))
    }

    /// How often it was counted, at most.
    pub(super) fn estimate(&self, key: SketchKey) -> u64 {
        let cells = self.places(key).map(|place| self.cells.get(place).copied().unwrap_or_default());
        match cells.into_iter().min().unwrap_or_default() {
            FULL => u64::MAX,
            count => count.into(),
        }
    }

    /// Counts it so many times more.
    pub(super) fn add(&mut self, key: SketchKey, count: u64) {
        self.raise(key, self.estimate(key).saturating_add(count));
    }

    /// Has it counted at least so many times.
    pub(super) fn raise(&mut self, key: SketchKey, count: u64) {
        self.given = self.given.saturating_add(count.saturating_sub(self.estimate(key)));
        let count = u32::try_from(count).unwrap_or(FULL);
        for place in self.places(key) {
            if let Some(cell) = self.cells.get_mut(place) {
                *cell = count.max(*cell);
            }
        }
    }

    /// Begins anew where it is so full that it would soon say too much.
    pub(super) fn renew_if_worn(&mut self) {
        if self.given >= (self.cells.len() / DEPTH) as u64 * FILLED {
            self.cells.fill(0);
            (self.given, self.epoch) = (0, rand::random());
        }
    }

    fn places(&self, SketchKey(hash): SketchKey) -> [usize; DEPTH] {
        let (first, step) = (hash & u64::from(u32::MAX), hash >> 32 | 1);
        let width = self.cells.len() / DEPTH;
        let mut row = 0;
        [0; DEPTH].map(|_: usize| {
            let place = first.wrapping_add(step.wrapping_mul(row)) & self.mask;
            let at = row * (width as u64) + place;
            row += 1;
            usize::try_from(at).unwrap_or_default()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_never_says_too_little(counted in proptest::collection::vec((0_u32..200, 1_u64..50), 1..400)) {
            let mut sketch = FrequencySketch::new(1024);
            let (mut exact, mut epoch) = (HashMap::new(), sketch.epoch());
            for (embedder, count) in counted {
                sketch.renew_if_worn();
                if sketch.epoch() != epoch {
                    (exact, epoch) = (HashMap::new(), sketch.epoch());
                }
                let key = sketch.key("w", 0, &embedder.to_string());
                sketch.add(key, count);
                *exact.entry(embedder).or_insert(0) += count;
                for (embedder, exact) in &exact {
                    let key = sketch.key("w", 0, &embedder.to_string());
                    prop_assert!(sketch.estimate(key) >= *exact);
                }
            }
        }
    }

    #[test]
    fn each_row_has_cells_of_its_own() {
        let sketch = FrequencySketch::new(1 << 16);
        for embedder in 0..100 {
            let mut rows = sketch.places(sketch.key("w", 0, &embedder.to_string())).map(|place| place >> 12);
            rows.sort_unstable();
            assert_eq!(rows, [0, 1, 2, 3]);
        }
        assert_eq!(sketch.bytes(), 1 << 16);
    }

    /// What few say is told from what many say once each.
    #[test]
    fn a_flood_is_little_noise() {
        let mut sketch = FrequencySketch::new(1 << 18);
        let width = 1_u32 << 14;
        for embedder in 0..width {
            sketch.add(sketch.key("w", 1, &embedder.to_string()), 1);
        }
        let told = |name: u32| sketch.estimate(sketch.key("w", 1, &name.to_string()));
        let most = (0..2 * width).map(told).max();
        assert!(most < Some(8), "{most:?}");
        let sum: u64 = (width..2 * width).map(told).sum();
        assert!(sum < u64::from(width) / 2, "those that never came: {sum}");
    }
}
