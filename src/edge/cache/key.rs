//! What an answer is kept under: the effective request URI (RFC 9110 §7.1) with its query, and whose it is.

use std::sync::Arc;

use quick_cache::Equivalent;

use crate::policy::widget::Environment;

/// The key of a resource, owned. Which of its answers fits a request is a matter of `Vary`, not of the key.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Key {
    widget: Box<str>,
    environment: Environment,
    upstream: Box<str>,
    https: bool,
    host: Box<str>,
    target: Box<[u8]>,
}

impl Key {
    /// The widget whose purge drops what is kept here.
    pub fn widget(&self) -> &str {
        &self.widget
    }

    /// What it takes, in bytes.
    pub fn weight(&self) -> u64 {
        (self.widget.len() + self.upstream.len() + self.host.len() + self.target.len()) as u64
    }
}

/// The same, borrowed from a request, so that looking up allocates nothing.
#[derive(Clone, Copy, Debug, Hash)]
pub struct KeyRef<'r> {
    /// The widget that the request is for.
    pub widget: &'r str,
    /// The environment that its upstream is told.
    pub environment: Environment,
    /// The name of the upstream that it would go to.
    pub upstream: &'r str,
    /// Whether the browser's scheme is https: its answers carry `Strict-Transport-Security`.
    pub https: bool,
    /// The authority, as the request names it.
    pub host: &'r str,
    /// The request target with its query, as the request has it.
    pub target: &'r [u8],
}

impl KeyRef<'_> {
    /// The owned key.
    pub fn to_key(self) -> Arc<Key> {
        let Self { widget, environment, upstream, https, host, target } = self;
        Arc::new(Key {
            widget: widget.into(),
            environment,
            upstream: upstream.into(),
            https,
            host: host.into(),
            target: target.into(),
        })
    }
}

impl Equivalent<Arc<Key>> for KeyRef<'_> {
    fn equivalent(&self, key: &Arc<Key>) -> bool {
        *self.target == *key.target
            && *self.widget == *key.widget
            && *self.upstream == *key.upstream
            && *self.host == *key.host
            && self.https == key.https
            && self.environment == key.environment
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::hash::{BuildHasher, RandomState};

    use proptest::prelude::*;

    use super::*;

    type Parts = (String, Environment, String, bool, String, Vec<u8>);

    fn parts() -> impl Strategy<Value = Parts> {
        // Few letters, so that neighbours such as ("a", "ab") and ("aa", "b") meet.
        let environment = prop_oneof![Just(Environment::Production), Just(Environment::Staging)];
        let target = proptest::collection::vec(97u8..99, 0..3);
        ("[ab]{0,3}", environment, "[ab]{0,3}", any::<bool>(), "[ab]{0,3}", target)
    }

    fn key((widget, environment, upstream, https, host, target): &Parts) -> KeyRef<'_> {
        KeyRef { widget, environment: *environment, upstream, https: *https, host, target }
    }

    #[test]
    fn each_part_counts() {
        let environment = Environment::Production;
        let one = KeyRef {
            widget: "w",
            environment,
            upstream: "app",
            https: false,
            host: "a.example",
            target: b"/a?v=1",
        };
        let owned = one.to_key();
        for other in [
            KeyRef { widget: "v", ..one },
            KeyRef { environment: Environment::Staging, ..one },
            KeyRef { upstream: "other", ..one },
            KeyRef { https: true, ..one },
            KeyRef { host: "b.example", ..one },
            KeyRef { target: b"/a?v=2", ..one },
            KeyRef { target: b"/a", ..one },
        ] {
            assert!(!other.equivalent(&owned) && other.to_key() != owned, "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn a_request_finds_its_own_key_and_no_other(one in parts(), other in parts()) {
            let state = RandomState::new();
            let owned = key(&one).to_key();
            prop_assert!(key(&one).equivalent(&owned));
            prop_assert_eq!(state.hash_one(key(&one)), state.hash_one(&owned));
            prop_assert_eq!(key(&other).equivalent(&owned), one == other);
            prop_assert_eq!(key(&other).to_key() == owned, one == other);
        }
    }
}
