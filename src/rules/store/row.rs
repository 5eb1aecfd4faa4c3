//! Compiled rules as bytes, so that a start need not read JSON.
//!
//! ```text
//! row   = sum:u32 flags:u8 revision:u64 fingerprint:u64 list      (little-endian; the list is packed)
//! sum   = CRC-32 of id and all that follows
//! flags = enabled:1 voice:1 public_trust_center:1 staging:1 access:2
//! ```

use std::sync::Arc;

use crate::policy::allowlist::Allowlist;
use crate::policy::decision::WidgetRules;
use crate::policy::widget::{Access, Environment, WidgetId};
use crate::rules::book::{Fingerprint, Stored};

/// Grows when a row comes to mean something else; rows of another format are derived again.
pub(super) const ROW_FORMAT: u64 = 1 << 32 | Allowlist::PACKED_FORMAT;

const SUM: usize = 4;
const HEAD: usize = SUM + 1 + 8 + 8;

const ENABLED: u8 = 1;
const VOICE: u8 = 1 << 1;
const TRUST_CENTER: u8 = 1 << 2;
const STAGING: u8 = 1 << 3;
const ACCESS_SHIFT: u32 = 4;

pub(super) fn write(stored: &Stored) -> Vec<u8> {
    let rules = &stored.rules;
    let flag = |on: bool, bit: u8| if on { bit } else { 0 };
    let access: u8 = match rules.access {
        Access::Open => 0,
        Access::Monitor => 1,
        Access::Enforce => 2,
    };
    let flags = flag(rules.enabled, ENABLED)
        | flag(rules.voice, VOICE)
        | flag(rules.public_trust_center, TRUST_CENTER)
        | flag(rules.environment == Environment::Staging, STAGING)
        | access << ACCESS_SHIFT;
    let list = rules.allowlist.packed_bytes();
    let mut row = Vec::with_capacity(HEAD + list.len());
    row.extend([0; SUM]);
    row.push(flags);
    row.extend(rules.revision.to_le_bytes());
    row.extend(stored.fingerprint.0.to_le_bytes());
    row.extend(list);
    let sum = sum(rules.id.as_bytes(), row.get(SUM..).unwrap_or_default());
    for (place, byte) in row.iter_mut().zip(sum.to_le_bytes()) {
        *place = byte;
    }
    row
}

/// `None` where the bytes are not what was written.
pub(super) fn read(id: &str, row: &[u8]) -> Option<Arc<Stored>> {
    let id = WidgetId::parse(id).ok()?;
    let (expected, rest) = row.split_first_chunk::<SUM>()?;
    if u32::from_le_bytes(*expected) != sum(id.as_bytes(), rest) {
        return None;
    }
    let (flags, rest) = rest.split_first()?;
    let (revision, rest) = rest.split_first_chunk::<8>()?;
    let (fingerprint, list) = rest.split_first_chunk::<8>()?;
    let access = match flags >> ACCESS_SHIFT {
        0 => Access::Open,
        1 => Access::Monitor,
        2 => Access::Enforce,
        _ => return None,
    };
    let rules = WidgetRules {
        id,
        environment: if flags & STAGING == 0 { Environment::Production } else { Environment::Staging },
        access,
        enabled: flags & ENABLED != 0,
        voice: flags & VOICE != 0,
        public_trust_center: flags & TRUST_CENTER != 0,
        revision: u64::from_le_bytes(*revision),
        allowlist: Allowlist::from_packed(list),
    };
    Some(Arc::new(Stored { rules, fingerprint: Fingerprint(u64::from_le_bytes(*fingerprint)) }))
}

fn sum(id: &[u8], rest: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(id);
    hasher.update(rest);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;
    use crate::rules::fixtures::widget;

    fn stored(json: &str) -> Stored {
        Stored { rules: widget(json).compile(), fingerprint: Fingerprint(0x0123_4567_89ab_cdef) }
    }

    const FULL: &str = r#"{"id":"wgt_a","environment":"staging","access":"monitor","enabled":false,
        "allowed_domains":["example.com","*.example.org:*","http://localhost",
            {"pattern":"pr-*.preview.example.com","expires_at":"2027-01-31T00:00:00Z"},"capacitor://localhost"],
        "capabilities":["voice"],"public_trust_center":false,"revision":7}"#;

    #[test]
    fn what_is_written_is_read() {
        let long = format!(r#"{{"id":"{}","allowed_domains":["[::1]:8443"]}}"#, "x".repeat(64));
        for json in [FULL, r#"{"id":"b"}"#, r#"{"id":"c","access":"enforce"}"#, long.as_str()] {
            let before = stored(json);
            let after = read(before.rules.id.as_str(), &write(&before)).expect(json);
            assert_eq!(format!("{before:?}"), format!("{after:?}"), "{json}");
        }
    }

    #[test]
    fn any_flipped_bit_and_any_missing_byte_is_noticed() {
        let row = write(&stored(FULL));
        for bit in 0..row.len() * 8 {
            let mut other = row.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(read("wgt_a", &other).is_none(), "bit {bit}");
        }
        for length in 0..row.len() {
            assert!(read("wgt_a", &row[..length]).is_none(), "length {length}");
        }
        assert!(read("wgt_b", &row).is_none(), "another widget's");
    }

    #[test]
    fn a_format_keeps_its_bytes() {
        let row = write(&stored(FULL));
        // Other bytes here call for another ROW_FORMAT or Allowlist::PACKED_FORMAT, or old stores are misread.
        assert_eq!((ROW_FORMAT, crc32fast::hash(&row)), (1 << 32 | 1, 1_586_583_442));
    }
}
