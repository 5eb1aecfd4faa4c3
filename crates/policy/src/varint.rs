//! Variable-length integers: seven bits per byte, lowest first; the eighth bit says that more follow.

/// Appends a number.
pub fn write(out: &mut Vec<u8>, mut number: u64) {
    while let high @ 1.. = number >> 7 {
        out.push(number as u8 | 0x80);
        number = high;
    }
    out.push(number as u8);
}

/// The number of bytes that a number takes.
pub fn length(number: u64) -> usize {
    (u64::BITS - (number | 1).leading_zeros()).div_ceil(7) as usize
}

/// The number at the front, and the rest; `None` if the bytes end too early or the number is too long.
#[inline]
pub fn read(bytes: &[u8]) -> Option<(u64, &[u8])> {
    match bytes.split_first()? {
        // Fast path for one byte, as nearly all numbers are.
        (&first, rest) if first < 0x80 => Some((u64::from(first), rest)),
        (&first, rest) => read_long(first, rest),
    }
}

#[cold]
fn read_long(first: u8, mut rest: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = u64::from(first & 0x7f);
    for shift in (7..u64::BITS).step_by(7) {
        let (&byte, behind) = rest.split_first()?;
        let bits = u64::from(byte & 0x7f);
        if bits.leading_zeros() < shift {
            return None;
        }
        number |= bits << shift;
        rest = behind;
        if byte < 0x80 {
            return Some((number, rest));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(number in any::<u64>(), shift in 0..64_u32, rest: Vec<u8>) {
            let number = number >> shift;
            let mut bytes = Vec::new();
            write(&mut bytes, number);
            prop_assert_eq!(bytes.len(), length(number));
            for cut in 0..bytes.len() {
                prop_assert_eq!(read(&bytes[..cut]), None);
            }
            bytes.extend(&rest);
            prop_assert_eq!(read(&bytes), Some((number, rest.as_slice())));
        }

        #[test]
        fn foreign_bytes_never_panic(bytes: Vec<u8>) {
            let _ = read(&bytes);
        }
    }

    #[test]
    fn the_longest_number_is_the_last() {
        let mut longest = vec![0xff; 9];
        longest.push(1);
        assert_eq!(read(&longest), Some((u64::MAX, &[][..])));
        longest[9] = 2;
        assert_eq!(read(&longest), None);
    }
}
