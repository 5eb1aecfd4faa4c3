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
use std::sync::Arc;

use crate::policy::varint;

/// The key's hash, as far as it tells records of one leaf apart.
pub(super) type Tag = u16;

/// Where a record begins, under its tag: sorted by both.
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

/// A record on its way into a leaf.
#[derive(Clone, Copy)]
pub(super) struct Part<'p> {
    pub(super) tag: Tag,
    pub(super) key: &'p [u8],
    pub(super) bytes: &'p [u8],
}

impl Part<'_> {
    /// The bytes that it takes.
    pub(super) fn size(&self) -> usize {
        1 + varint::length(self.bytes.len() as u64) + self.key.len() + self.bytes.len()
    }

    /// Keys have at most 255 bytes: ids do.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.push(self.key.len() as u8);
        varint::write(out, self.bytes.len() as u64);
        out.extend_from_slice(self.key);
        out.extend_from_slice(self.bytes);
    }
}

/// The key and the bytes of the record at the front, and what follows.
#[inline]
pub(super) fn split_record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (&key, rest) = bytes.split_first()?;
    let (length, rest) = varint::read(rest)?;
    let (key, rest) = rest.split_at_checked(usize::from(key))?;
    let (bytes, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    Some((key, bytes, rest))
}

#[derive(Clone)]
pub(super) struct Leaf {
    index: Arc<[Slot]>,
    records: Arc<[u8]>,
}

impl Leaf {
    /// A leaf of these records, which come in the order of their tags. `scratch` is room to work in.
    pub(super) fn build(parts: &[Part<'_>], scratch: &mut Vec<u8>) -> Self {
        Plan::new(parts).build(parts, scratch)
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
    pub(super) fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        let shift = shift(self.records.len());
        self.index.iter().filter_map(move |slot| {
            let (key, bytes, _) = split_record(self.records.get(slot.place() << shift..)?)?;
            Some(Part { tag: slot.tag(), key, bytes })
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

/// The index of a leaf that isn't filled yet.
pub(super) struct Plan {
    index: Arc<[Slot]>,
    length: usize,
    shift: u32,
}

impl Plan {
    pub(super) fn new(parts: &[Part<'_>]) -> Self {
        // The first shift that is the one of its own length.
        let length = |shift| parts.iter().map(|part| align(part.size(), shift)).sum::<usize>();
        let mut shift = 0;
        while length(shift) > 1 << (16 + shift) {
            shift += 1;
        }
        let length = length(shift);
        let mut place = 0;
        let index = parts.iter().map(|part| {
            let slot = Slot::new(part.tag, place >> shift);
            place += align(part.size(), shift);
            slot
        });
        Self { index: index.collect(), length, shift }
    }

    pub(super) fn build(self, parts: &[Part<'_>], scratch: &mut Vec<u8>) -> Leaf {
        scratch.clear();
        scratch.reserve(self.length);
        for part in parts {
            part.write(scratch);
            scratch.resize(align(scratch.len(), self.shift), 0);
        }
        Leaf { index: self.index, records: Arc::from(scratch.as_slice()) }
    }
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
        let parts: Vec<Part<'_>> =
            records.iter().map(|(tag, key, bytes)| Part { tag: *tag, key, bytes }).collect();
        let leaf = Leaf::build(&parts, &mut Vec::new());
        assert_eq!(leaf.len(), records.len());
        for (tag, key, bytes) in records {
            assert_eq!(leaf.get(*tag, key), Some((key.as_slice(), bytes.as_slice())));
            assert_eq!(leaf.get(*tag, b"nobody"), None);
            assert_eq!(leaf.get(tag.wrapping_add(1), key), None);
        }
        let again: Vec<_> =
            leaf.parts().map(|part| (part.tag, part.key.to_vec(), part.bytes.to_vec())).collect();
        assert_eq!(again, records);
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
            let _ = (leaf.get(tag, b"k1"), leaf.parts().count());
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
        // Right at the limit, and one byte above.
        for last in [0, 1, 2, 1000] {
            let bytes = vec![7; 32_768 - 5];
            let end = vec![8; bytes.len() + last];
            check(&[(3, b"a".to_vec(), bytes.clone()), (9, b"b".to_vec(), end)]);
        }
    }
}
