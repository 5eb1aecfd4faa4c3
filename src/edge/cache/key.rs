//! Cache keys: the effective request URI (RFC 9110 §7.1) with its query, and the widget.

use std::sync::Arc;

use quick_cache::Equivalent;

use embedgate_policy::widget::Environment;

/// Cache key of a resource, owned. `Vary` decides which of its answers fits a request.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct AssetKey {
    widget: Box<str>,
    environment: Environment,
    upstream: Box<str>,
    https: bool,
    host: Box<str>,
    target: Box<[u8]>,
}

impl AssetKey {
    /// The widget whose purge drops this key.
    pub fn widget(&self) -> &str {
        &self.widget
    }

    /// Memory used by the key, in bytes.
    pub fn weight(&self) -> u64 {
        (self.widget.len() + self.upstream.len() + self.host.len() + self.target.len()) as u64
    }
}

/// Cache key borrowed from a request, so that a lookup allocates nothing.
#[derive(Clone, Copy, Debug, Hash)]
pub struct AssetKeyRef<'r> {
    /// The widget of the request.
    pub widget: &'r str,
    /// The environment that the upstream gets.
    pub environment: Environment,
    /// The name of the request's upstream.
    pub upstream: &'r str,
    /// Whether the browser's scheme is https: its answers have `Strict-Transport-Security`.
    pub https: bool,
    /// The authority, as the request names it.
    pub host: &'r str,
    /// The request target with its query, as the request has it.
    pub target: &'r [u8],
}

impl AssetKeyRef<'_> {
    /// The owned key.
    pub fn to_key(self) -> Arc<AssetKey> {
        let Self { widget, environment, upstream, https, host, target } = self;
        Arc::new(AssetKey {
            widget: widget.into(),
            environment,
            upstream: upstream.into(),
            https,
            host: host.into(),
            target: target.into(),
        })
    }
}

impl Equivalent<Arc<AssetKey>> for AssetKeyRef<'_> {
    fn equivalent(&self, key: &Arc<AssetKey>) -> bool {
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

    fn key((widget, environment, upstream, https, host, target): &Parts) -> AssetKeyRef<'_> {
        AssetKeyRef { widget, environment: *environment, upstream, https: *https, host, target }
    }

    #[test]
    fn each_part_counts() {
        let environment = Environment::Production;
        let one = AssetKeyRef {
            widget: "w",
            environment,
            upstream: "app",
            https: false,
            host: "a.example",
            target: b"/a?v=1",
        };
        let owned = one.to_key();
        for other in [
            AssetKeyRef { widget: "v", ..one },
            AssetKeyRef { environment: Environment::Staging, ..one },
            AssetKeyRef { upstream: "other", ..one },
            AssetKeyRef { https: true, ..one },
            AssetKeyRef { host: "b.example", ..one },
            AssetKeyRef { target: b"/a?v=2", ..one },
            AssetKeyRef { target: b"/a", ..one },
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
