//! Keyed hash of a document: tells whether a document is the one in force without keeping the document.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::LazyLock;

use siphasher::sip::SipHasher24;

/// SipHash-2-4 of a document's canonical JSON without its revision: two documents of one widget are taken for the same
/// by mistake once in 2^64, and nobody who lacks the key can work towards it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(pub(in crate::rules) u64);

/// Key of a book's fingerprints. A store keeps its own, so that they mean the same after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::rules) struct FingerprintKey(pub(in crate::rules) u64, pub(in crate::rules) u64);

impl FingerprintKey {
    /// A key that nobody knows.
    pub(in crate::rules) fn random() -> Self {
        let number = || RandomState::new().build_hasher().finish();
        Self(number(), number())
    }

    /// The fingerprint of canonical JSON.
    pub(in crate::rules) fn fingerprint(self, json: &[u8]) -> Fingerprint {
        let mut hasher = SipHasher24::new_with_keys(self.0, self.1);
        hasher.write(json);
        Fingerprint(hasher.finish())
    }
}

impl Default for FingerprintKey {
    /// This process's key.
    fn default() -> Self {
        static PROCESS: LazyLock<FingerprintKey> = LazyLock::new(FingerprintKey::random);
        *PROCESS
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;
    use crate::rules::documents::canonical;
    use crate::rules::fixtures::widget;

    #[test]
    fn spelling_and_revision_do_not_count_but_every_field_does() {
        let base = r#"{"id":"a","allowed_domains":["example.com","b.example"],"revision":3}"#;
        let of = |text: &str| FingerprintKey::default().fingerprint(&canonical(&mut widget(text)));
        for same in [
            r#"{"id":"a","allowed_domains":["EXAMPLE.com","b.example"]}"#,
            r#"{"id":"a","allowed_domains":["example.com","b.example"],"environment":"production","enabled":true}"#,
            r#"{"id":"a","allowed_domains":["example.com","b.example"],"limits":{"mode":"enforce","address":{}}}"#,
        ] {
            assert_eq!(of(base), of(same), "{same}");
        }
        for other in [
            r#"{"id":"b","allowed_domains":["example.com","b.example"]}"#,
            r#"{"id":"a","allowed_domains":["b.example","example.com"]}"#,
            r#"{"id":"a","allowed_domains":["example.com"]}"#,
            r#"{"id":"a","allowed_domains":["example.com","https://b.example"]}"#,
            r#"{"id":"a","allowed_domains":["example.com",{"pattern":"b.example","note":"n"}]}"#,
            r#"{"id":"a","allowed_domains":["example.com",{"pattern":"b.example","expires_at":"2027-01-31T00:00:00Z"}]}"#,
            r#"{"id":"a","allowed_domains":["example.com","b.example"],"access":"enforce"}"#,
            r#"{"id":"a","allowed_domains":["example.com","b.example"],"enabled":false}"#,
            r#"{"id":"a","allowed_domains":["example.com","b.example"],"environment":"staging"}"#,
            r#"{"id":"a","allowed_domains":["example.com","b.example"],"public_trust_center":false}"#,
            r#"{"id":"a","allowed_domains":["example.com","b.example"],"capabilities":["voice"]}"#,
            r#"{"id":"a","allowed_domains":["example.com","b.example"],"labels":{"team":"growth"}}"#,
            r#"{"id":"a","allowed_domains":["example.com","b.example"],"limits":{"mode":"monitor"}}"#,
            r#"{"id":"a","allowed_domains":["example.com","b.example"],"limits":{"address":{"sessions":5}}}"#,
        ] {
            assert_ne!(of(base), of(other), "{other}");
        }
    }

    #[test]
    fn another_key_gives_other_fingerprints() {
        let (one, other) = (FingerprintKey(1, 2), FingerprintKey(1, 3));
        assert_ne!(one.fingerprint(b"{}"), other.fingerprint(b"{}"));
        assert_ne!(FingerprintKey::random(), FingerprintKey::random());
    }
}
