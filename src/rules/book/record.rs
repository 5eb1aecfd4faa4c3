//! A widget as bytes: what the book keeps of it, and the store.
//!
//! ```text
//! record = flags:u8 varint(revision) fingerprint:u64 list         (little-endian; the list is packed)
//! flags  = enabled:1 voice:1 public_trust_center:1 staging:1 access:2
//! ```

use super::Fingerprint;
use crate::policy::allowlist::Allowlist;
use crate::policy::decision::WidgetRules;
use crate::policy::varint;
use crate::policy::widget::{Access, Environment};

/// Grows when a record comes to mean something else.
pub(in crate::rules) const RECORD_FORMAT: u64 = 2 << 32 | Allowlist::PACKED_FORMAT;

const ENABLED: u8 = 1;
const VOICE: u8 = 1 << 1;
const TRUST_CENTER: u8 = 1 << 2;
const STAGING: u8 = 1 << 3;
const ACCESS_SHIFT: u32 = 4;

/// A widget in the book: its rules and how to know its document again. A view of its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::rules) struct Stored<'a> {
    pub(in crate::rules) rules: WidgetRules<'a>,
    pub(in crate::rules) fingerprint: Fingerprint,
}

impl<'a> Stored<'a> {
    /// The record, without the id.
    pub(in crate::rules) fn write(&self) -> Vec<u8> {
        let rules = &self.rules;
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
        let mut record = Vec::with_capacity(1 + varint::length(rules.revision) + 8 + list.len());
        record.push(flags);
        varint::write(&mut record, rules.revision);
        record.extend(self.fingerprint.0.to_le_bytes());
        record.extend(list);
        record
    }

    /// The widget of this id. `None` where the bytes are no record.
    #[inline]
    pub(in crate::rules) fn read(id: &'a str, record: &'a [u8]) -> Option<Self> {
        let (&flags, rest) = record.split_first()?;
        let (revision, rest) = varint::read(rest)?;
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
            revision,
            allowlist: Allowlist::from_packed(list),
        };
        Some(Self { rules, fingerprint: Fingerprint(u64::from_le_bytes(*fingerprint)) })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;
    use crate::rules::fixtures::widget;

    const FULL: &str = r#"{"id":"wgt_a","environment":"staging","access":"monitor","enabled":false,
        "allowed_domains":["example.com","*.example.org:*","http://localhost",
            {"pattern":"pr-*.preview.example.com","expires_at":"2027-01-31T00:00:00Z"},"capacitor://localhost"],
        "capabilities":["voice"],"public_trust_center":false,"revision":7}"#;
    const FINGERPRINT: Fingerprint = Fingerprint(0x0123_4567_89ab_cdef);

    fn long() -> String {
        let entries: Vec<String> = (0..30).map(|n| format!("\"s{n}.example\"")).collect();
        format!(r#"{{"id":"{}","allowed_domains":[{}]}}"#, "x".repeat(64), entries.join(","))
    }

    #[test]
    fn what_is_written_is_read() {
        for json in [FULL, r#"{"id":"b"}"#, r#"{"id":"c","access":"enforce"}"#, &long()] {
            let widget = widget(json).compile();
            for revision in [0, 127, 128, u64::MAX] {
                let rules = WidgetRules { revision, ..widget.as_rules() };
                let before = Stored { rules, fingerprint: FINGERPRINT };
                assert_eq!(Stored::read(rules.id, &before.write()), Some(before), "{json}");
            }
        }
    }

    #[test]
    fn a_format_keeps_its_bytes() {
        let sums: Vec<u32> = [FULL, &long()]
            .map(|json| {
                let widget = widget(json).compile();
                crc32fast::hash(&Stored { rules: widget.as_rules(), fingerprint: FINGERPRINT }.write())
            })
            .into();
        // Other bytes here call for another RECORD_FORMAT or Allowlist::PACKED_FORMAT, or old stores are misread.
        assert_eq!((RECORD_FORMAT, sums), (2 << 32 | 2, vec![1_115_484_583, 1_948_520_819]));
    }
}
