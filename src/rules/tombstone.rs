//! Record of a deletion.

use super::fingerprint::Fingerprint;
use embedgate_policy::varint;

/// Tombstone of a deleted widget, kept for good: enough that a late push can't bring the widget back and that it
/// can't come back open in silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// The revision of the deletion.
    pub revision: u64,
    /// It wasn't `open` when it was deleted, or nothing is known of it.
    pub was_restricted: bool,
    /// Set where its source merely stopped naming it ([`Withdraw`](crate::rules::change::Absent::Withdraw)): this
    /// document may come back at the same revision.
    pub withdrawn: Option<Fingerprint>,
}

const WAS_RESTRICTED: u8 = 1;
const WITHDRAWN: u8 = 1 << 1;

impl Tombstone {
    /// `flags:u8 varint(revision) [fingerprint:u64]`
    pub(in crate::rules) fn write(self) -> Vec<u8> {
        let restricted = if self.was_restricted { WAS_RESTRICTED } else { 0 };
        let withdrawn = if self.withdrawn.is_some() { WITHDRAWN } else { 0 };
        let mut bytes = vec![restricted | withdrawn];
        varint::write(&mut bytes, self.revision);
        bytes.extend(self.withdrawn.into_iter().flat_map(|Fingerprint(print)| print.to_le_bytes()));
        bytes
    }

    pub(in crate::rules) fn read(bytes: &[u8]) -> Option<Self> {
        let (&flags, rest) = bytes.split_first()?;
        let (revision, rest) = varint::read(rest)?;
        let withdrawn = match flags & WITHDRAWN {
            0 => None,
            _ => Some(Fingerprint(u64::from_le_bytes(*rest.first_chunk()?))),
        };
        Some(Self { revision, was_restricted: flags & WAS_RESTRICTED != 0, withdrawn })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(revision: u64, was_restricted: bool, print: Option<u64>) {
            let tombstone = Tombstone { revision, was_restricted, withdrawn: print.map(Fingerprint) };
            prop_assert_eq!(Tombstone::read(&tombstone.write()), Some(tombstone));
        }
    }
}
