//! Some records in one block of bytes, and where in it each begins. Immutable.
//!
//! ```text
//! index   = (tag:u16 place:u16)[count], sorted            (tag: 16 bits of the key's hash)
//! records = (key-length:u8 varint(length) key bytes)[count]
//! ```
//! Tags are spread evenly, so a tag's own size says about where in the index it stands: a look-up reads one cache
//! line of the index, mostly, and then the record that it wants. In blocks of more than 64 KiB records begin at
//! multiples of a power of two, which follows from the block's length.

use std::hint::black_box;
use std::io::Write;
use std::iter::{once, repeat_n};
use std::sync::Arc;

use embedgate_policy::varint;

/// The key's hash, as far as it tells records of one leaf apart.
pub(super) type Tag = u16;

/// Index entry: a record's tag and where the record begins. Sorted by both.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Slot(u32);

impl Slot {
    fn new(tag: Tag, place: usize) -> Self {
        Self(u32::from(tag) << 16 | place as u32 & 0xffff)
    }

    fn tag(self) -> Tag {
        (self.0 >> 16) as Tag
    }

    fn place(self) -> usize {
        (self.0 & 0xffff) as usize
    }
}

/// Record of a leaf, under its tag.
#[derive(Clone, Copy)]
pub(super) struct LeafRecord<'p> {
    pub(super) tag: Tag,
    pub(super) key: &'p [u8],
    pub(super) bytes: &'p [u8],
}

impl LeafRecord<'_> {
    fn size(&self) -> usize {
        Self::size_of(self.key.len(), self.bytes.len())
    }

    /// The bytes that a record takes whose key and bytes have these lengths.
    pub(super) fn size_of(key: usize, bytes: usize) -> usize {
        1 + varint::length(bytes as u64) + key + bytes
    }

    /// What stands before key and bytes. Keys have at most 255 bytes: ids do.
    fn head(&self) -> Vec<u8> {
        let mut head = Vec::with_capacity(4);
        head.push(self.key.len() as u8);
        varint::write(&mut head, self.bytes.len() as u64);
        head
    }
}

/// The key and the bytes of the record at the front, and what follows.
#[inline]
fn split_record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (&key, rest) = bytes.split_first()?;
    let (length, rest) = varint::read(rest)?;
    let (key, rest) = rest.split_at_checked(usize::from(key))?;
    let (bytes, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    Some((key, bytes, rest))
}

/// Immutable block of records with its index.
#[derive(Clone)]
pub(super) struct Leaf {
    index: Arc<[Slot]>,
    records: Arc<[u8]>,
}

impl Leaf {
    /// A leaf of these records; `None` where there are none.
    pub(super) fn build(records: &[LeafRecord<'_>]) -> Option<Self> {
        let size = (records.len(), records.iter().map(LeafRecord::size).sum());
        let mut open = LeafBuilder::side_by_side(once(size)).pop()?;
        records.iter().all(|record| open.put(record)).then(|| open.close()).flatten()
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    #[inline]
    pub(super) fn get(&self, tag: Tag, key: &[u8]) -> Option<(&[u8], &[u8])> {
        let shift = shift(self.records.len());
        let mut at = (usize::from(tag) * self.index.len()) >> Tag::BITS;
        while at > 0 && self.index.get(at - 1).is_some_and(|slot| slot.tag() >= tag) {
            at -= 1;
        }
        while let Some(slot) = self.index.get(at).filter(|slot| slot.tag() <= tag) {
            at += 1;
            if slot.tag() == tag {
                let record = self.records.get(slot.place() << shift..)?;
                fetch(record);
                let (found, bytes, _) = split_record(record)?;
                if found == key {
                    return Some((found, bytes));
                }
            }
        }
        None
    }

    /// In the order of their tags.
    pub(super) fn records(&self) -> impl Iterator<Item = LeafRecord<'_>> {
        let shift = shift(self.records.len());
        self.index.iter().filter_map(move |slot| {
            let (key, bytes, _) = split_record(self.records.get(slot.place() << shift..)?)?;
            Some(LeafRecord { tag: slot.tag(), key, bytes })
        })
    }
}

/// Asks for the cache lines of a record at once, where reading it would find them missing one after the other.
#[inline]
fn fetch(record: &[u8]) {
    const LINE: usize = 64;
    let line = |number: usize| record.get(number * LINE).copied();
    black_box((line(1), line(2)));
}

/// How far apart records may begin in a block of this length: 1 << shift.
#[inline]
fn shift(length: usize) -> u32 {
    let last = length.saturating_sub(1) >> 16;
    usize::BITS - last.leading_zeros()
}

/// Leaf being filled.
pub(super) struct LeafBuilder {
    index: Arc<[Slot]>,
    records: Arc<[u8]>,
    /// How many records are in it, and where the next one begins.
    count: usize,
    end: usize,
}

impl LeafBuilder {
    /// Leaves with room for so many records of so many bytes in all. Their indexes lie side by side: look-ups find
    /// them on few pages.
    pub(super) fn side_by_side(sizes: impl Iterator<Item = (usize, usize)> + Clone) -> Vec<Self> {
        let indexes: Vec<Arc<[Slot]>> =
            sizes.clone().map(|(count, _)| repeat_n(Slot(0), count).collect()).collect();
        let records = sizes.map(|(count, bytes)| repeat_n(0, room(count, bytes)).collect());
        indexes
            .into_iter()
            .zip(records)
            .map(|(index, records)| Self { index, records, count: 0, end: 0 })
            .collect()
    }

    /// Adds a record; `false` where there is no room for it.
    pub(super) fn put(&mut self, record: &LeafRecord<'_>) -> bool {
        let shift = shift(self.records.len());
        // Nobody else has seen them yet.
        let slot = Arc::get_mut(&mut self.index).and_then(|index| index.get_mut(self.count));
        let room = Arc::get_mut(&mut self.records).and_then(|records| records.get_mut(self.end..));
        let (Some(slot), Some(mut room)) = (slot, room.filter(|room| record.size() <= room.len())) else {
            return false;
        };
        // Into a slice there is always written as much as fits.
        let written = room.write_all(&record.head()).and_then(|()| room.write_all(record.key));
        if written.and_then(|()| room.write_all(record.bytes)).is_err() {
            return false;
        }
        *slot = Slot::new(record.tag, self.end >> shift);
        self.count += 1;
        self.end = align(self.end + record.size(), shift);
        true
    }

    /// The leaf; `None` where nothing was put in.
    pub(super) fn close(mut self) -> Option<Leaf> {
        if self.count < self.index.len() {
            self.index = self.index.get(..self.count)?.into();
        }
        Arc::get_mut(&mut self.index)?.sort_unstable();
        (self.count > 0).then_some(Leaf { index: self.index, records: self.records })
    }
}

/// The length of a block for so many records of so many bytes in all, wherever its length makes them begin.
fn room(count: usize, bytes: usize) -> usize {
    let length = |shift: u32| bytes + count * ((1 << shift) - 1);
    let mut shift = 0;
    while length(shift) > 1 << (16 + shift) {
        shift += 1;
    }
    length(shift)
}

fn align(length: usize, shift: u32) -> usize {
    length.next_multiple_of(1 << shift)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use proptest::prelude::*;

    use super::*;

    /// Records whose sizes go up to about `most`, under few enough tags that some share theirs.
    fn records(most: usize) -> impl Strategy<Value = Vec<(Tag, Vec<u8>, Vec<u8>)>> {
        let record = (0..40_u16, 0..most, any::<u8>());
        prop::collection::vec(record, 0..90).prop_map(|records| {
            let mut records: Vec<_> = (0..)
                .zip(records)
                .map(|(n, (tag, length, byte)): (u32, _)| {
                    (tag * 1601, format!("k{n}").into_bytes(), vec![byte; length])
                })
                .collect();
            records.sort_by_key(|(tag, ..)| *tag);
            records
        })
    }

    fn check(records: &[(Tag, Vec<u8>, Vec<u8>)]) {
        let parts: Vec<LeafRecord<'_>> =
            records.iter().map(|(tag, key, bytes)| LeafRecord { tag: *tag, key, bytes }).collect();
        let Some(leaf) = Leaf::build(&parts) else { return assert!(parts.is_empty()) };
        assert_eq!(leaf.len(), records.len());
        for (tag, key, bytes) in records {
            assert_eq!(leaf.get(*tag, key), Some((key.as_slice(), bytes.as_slice())));
            assert_eq!(leaf.get(*tag, b"nobody"), None);
            assert_eq!(leaf.get(tag.wrapping_add(1), key), None);
        }
        let mut again: Vec<_> =
            leaf.records().map(|part| (part.tag, part.key.to_vec(), part.bytes.to_vec())).collect();
        let mut expected = records.to_vec();
        again.sort();
        expected.sort();
        assert_eq!(again, expected);
    }

    proptest! {
        #[test]
        fn every_record_is_found_and_no_other(records in records(300)) {
            check(&records);
        }

        #[test]
        fn foreign_bytes_never_panic(bytes: Vec<u8>, places: Vec<(Tag, u16)>, tag: Tag) {
            let mut index: Vec<Slot> =
                places.iter().map(|(tag, place)| Slot::new(*tag, usize::from(*place % 64))).collect();
            index.sort();
            let leaf = Leaf { index: index.into(), records: bytes.into() };
            let _ = (leaf.get(tag, b"k1"), leaf.records().count());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

        #[test]
        fn large_records_are_found_too(records in records(60_000)) {
            check(&records);
        }
    }

    #[test]
    fn the_shift_follows_from_the_length() {
        for (length, expected) in [(0, 0), (1, 0), (65_536, 0), (65_537, 1), (131_072, 1), (131_073, 2)] {
            assert_eq!(shift(length), expected, "{length}");
        }
        // Around the limit.
        for last in [0, 1, 2, 3, 4, 5, 6, 1000] {
            let bytes = vec![7; 32_768 - 5];
            let end = vec![8; bytes.len() + last];
            check(&[(3, b"a".to_vec(), bytes.clone()), (9, b"b".to_vec(), end)]);
        }
    }
}
