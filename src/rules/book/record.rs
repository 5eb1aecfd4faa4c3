//! Binary record of a widget, as the book and the store keep it.
//!
//! ```text
//! record = terms fingerprint:u64 list         (little-endian; the list is packed)
//! ```

use crate::rules::fingerprint::Fingerprint;
use embedgate_policy::allowlist::Allowlist;
use embedgate_policy::compiled::WidgetRules;
use embedgate_policy::varint;

/// Grows when a record comes to mean something else: then all of them are compiled anew from their documents. Limits did not
/// make it grow, because the record of a widget without limits kept its bytes. An older version would misread the others, but
/// never gets to see them: the store's own format tells it.
pub(in crate::rules) const RECORD_FORMAT: u64 = 2 << 32 | Allowlist::PACKED_FORMAT;

/// Borrowed view of a widget's record: its rules and the fingerprint of its document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::rules) struct WidgetRecord<'a> {
    pub(in crate::rules) rules: WidgetRules<'a>,
    pub(in crate::rules) fingerprint: Fingerprint,
}

impl<'a> WidgetRecord<'a> {
    /// The record, without the id.
    pub(in crate::rules) fn write(&self) -> Vec<u8> {
        let list = self.rules.allowlist.packed_bytes();
        let mut record = Vec::with_capacity(1 + varint::length(self.rules.revision) + 8 + list.len());
        self.rules.write_terms(&mut record);
        record.extend(self.fingerprint.0.to_le_bytes());
        record.extend(list);
        record
    }

    /// The widget of this id. `None` where the bytes are no record.
    #[inline]
    pub(in crate::rules) fn read(id: &'a str, record: &'a [u8]) -> Option<Self> {
        let (terms, rest) = WidgetRules::read_terms(id, record)?;
        let (fingerprint, list) = rest.split_first_chunk::<8>()?;
        let rules = WidgetRules { allowlist: Allowlist::from_packed(list), ..terms };
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
    const LIMITED: &str = r#"{"id":"wgt_b","allowed_domains":["example.com"],"revision":300,"limits":{"mode":"monitor",
        "widget":{"sessions":500,"opens_per_minute":600,"opens_per_day":50000},"embedder":{"opens_per_minute":300},
        "address":{"sessions":5,"opens_per_minute":20,"opens_per_day":4294967295}}}"#;
    const FINGERPRINT: Fingerprint = Fingerprint(0x0123_4567_89ab_cdef);

    fn long() -> String {
        let entries: Vec<String> = (0..30).map(|n| format!("\"s{n}.example\"")).collect();
        format!(r#"{{"id":"{}","allowed_domains":[{}]}}"#, "x".repeat(64), entries.join(","))
    }

    #[test]
    fn what_is_written_is_read() {
        for json in [FULL, LIMITED, r#"{"id":"b"}"#, r#"{"id":"c","access":"enforce"}"#, &long()] {
            let widget = widget(json).compile();
            for revision in [0, 127, 128, u64::MAX] {
                let rules = WidgetRules { revision, ..widget.as_rules() };
                let before = WidgetRecord { rules, fingerprint: FINGERPRINT };
                assert_eq!(WidgetRecord::read(rules.id, &before.write()), Some(before), "{json}");
            }
        }
    }

    #[test]
    fn a_format_keeps_its_bytes() {
        let sums: Vec<u32> = [FULL, &long(), LIMITED]
            .map(|json| {
                let widget = widget(json).compile();
                crc32fast::hash(&WidgetRecord { rules: widget.as_rules(), fingerprint: FINGERPRINT }.write())
            })
            .into();
        // Other bytes here call for another RECORD_FORMAT or Allowlist::PACKED_FORMAT, or old stores are misread.
        assert_eq!((RECORD_FORMAT, sums), (2 << 32 | 2, vec![1_115_484_583, 1_948_520_819, 687_572_356]));
    }
}
