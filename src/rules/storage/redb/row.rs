//! Row of a widget's record, with its checksum: a start copies the record into the book as it is.
//!
//! ```text
//! row = sum:u32 record      (little-endian; CRC-32 of the id and the record)
//! ```

use crate::rules::book::RECORD_FORMAT;
use embedgate_policy::widget::WidgetId;

/// Grows when a row comes to mean something else; rows of another format are derived again.
pub(super) const ROW_FORMAT: u64 = RECORD_FORMAT;

/// Writes a row in the place of what is there.
pub(super) fn write(id: &str, record: &[u8], row: &mut Vec<u8>) {
    row.clear();
    row.extend(sum(id, record).to_le_bytes());
    row.extend(record);
}

/// How long the record of a row is.
pub(super) fn record_length(row: &[u8]) -> usize {
    row.len().saturating_sub(size_of::<u32>())
}

/// The record of a row. `None` where the bytes are not what was written.
pub(super) fn read<'r>(id: &str, row: &'r [u8]) -> Option<&'r [u8]> {
    let (expected, record) = row.split_first_chunk()?;
    (WidgetId::is_valid(id) && u32::from_le_bytes(*expected) == sum(id, record)).then_some(record)
}

fn sum(id: &str, record: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(id.as_bytes());
    hasher.update(record);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;

    const RECORD: &[u8] = b"\x17\x07\x01\x02\x03\x04\x05\x06\x07\x08\x01\x00\x0bexample.com";

    #[test]
    fn any_flipped_bit_and_any_missing_byte_is_noticed() {
        let mut row = vec![1, 2, 3];
        write("wgt_a", RECORD, &mut row);
        assert_eq!(read("wgt_a", &row), Some(RECORD));
        for bit in 0..row.len() * 8 {
            let mut other = row.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(read("wgt_a", &other).is_none(), "bit {bit}");
        }
        for length in 0..row.len() {
            assert!(read("wgt_a", &row[..length]).is_none(), "length {length}");
        }
        assert!(read("wgt_b", &row).is_none(), "another widget's");
        write("no id", RECORD, &mut row);
        assert!(read("no id", &row).is_none());
    }
}
