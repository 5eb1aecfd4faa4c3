//! Tells whether a document is the one already in force, without keeping the document.

use std::fmt::{self, Write};
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::LazyLock;

use crate::policy::widget::Widget;

/// What a document says, its revision aside, in 64 bits of SipHash under a key of this process: two documents
/// of one widget are taken for the same by mistake once in 2^64, and nobody can work towards it. Means nothing
/// outside the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(u64);

static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);

impl Fingerprint {
    /// The fingerprint of a document. Entries count by their canonical text.
    pub fn of(widget: &Widget) -> Self {
        // Named one by one, so that a new field can't be forgotten here.
        let Widget {
            id,
            environment,
            access,
            enabled,
            allowed_domains,
            capabilities,
            public_trust_center,
            labels,
            revision: _,
        } = widget;
        let mut hasher = KEY.build_hasher();
        id.as_str().hash(&mut hasher);
        environment.as_str().hash(&mut hasher);
        access.map(|access| access.as_str()).hash(&mut hasher);
        (enabled, public_trust_center, labels, allowed_domains.len()).hash(&mut hasher);
        for rule in allowed_domains {
            // Infallible: neither an entry's Display nor the hasher fails.
            let _ = write!(HashText(&mut hasher), "{}", rule.entry);
            hasher.write_u8(0xff);
            (rule.expires_at, &rule.note).hash(&mut hasher);
        }
        for capability in capabilities {
            capability.as_str().hash(&mut hasher);
        }
        Self(hasher.finish())
    }
}

/// Feeds formatted text to a hasher without a string in between.
struct HashText<'a, H>(&'a mut H);

impl<H: Hasher> Write for HashText<'_, H> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;
    use crate::rules::fixtures::widget;

    #[test]
    fn spelling_and_revision_do_not_count_but_every_field_does() {
        let base = r#"{"id":"a","allowed_domains":["example.com","b.example"],"revision":3}"#;
        let of = |text: &str| Fingerprint::of(&widget(text));
        for same in [
            r#"{"id":"a","allowed_domains":["EXAMPLE.com","b.example"]}"#,
            r#"{"id":"a","allowed_domains":["example.com","b.example"],"environment":"production","enabled":true}"#,
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
        ] {
            assert_ne!(of(base), of(other), "{other}");
        }
    }
}
