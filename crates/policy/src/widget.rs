//! Widget: one embeddable experience with its rules, as one JSON document.
//!
//! ```json
//! { "id": "wgt_demo", "environment": "production", "access": "enforce", "enabled": true,
//!   "allowed_domains": ["example.com", "*.example.org",
//!       {"pattern": "https://pr-*.preview.example.com", "expires_at": "2027-01-31T00:00:00Z", "note": "launch"}],
//!   "capabilities": ["chat", "voice"], "public_trust_center": true,
//!   "limits": {"widget": {"sessions": 500, "opens_per_day": 50000}, "address": {"sessions": 5}},
//!   "labels": {"team": "growth"}, "revision": 7 }
//! ```
//!
//! Only `id` is required. A [`Widget`] exists only after [`Widget::parse`] found no error.

use serde::Serialize;

mod document;
mod id;
mod parse;
mod revision;
mod schema;

pub use document::{Widget, WidgetDocument};
pub use id::{MAX_ID_CHARS, WidgetId, WidgetIdError};
pub use revision::{MAX_REVISION, RevisionTooHigh, next_revision};

/// Maximum size of a document, in bytes of JSON.
pub const MAX_DOCUMENT_BYTES: usize = 256 * 1024;
/// Maximum number of entries in one list.
pub const MAX_ENTRIES: usize = 1000;

/// Declares an enum whose values are lower-case words in a document.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ::serde::Serialize, ::utoipa::ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// Every value, in the order of the declaration.
            pub const ALL: [$name; [$($name::$variant),+].len()] = [$($name::$variant),+];

            /// The word in documents, logs and metrics.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word,)+ }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        // The derived one calls a value that is no text "no JSON".
        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct WordVisitor;

                impl ::serde::de::Visitor<'_> for WordVisitor {
                    type Value = $name;

                    fn expecting(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                        let words = $name::ALL.map(|word| format!("\"{word}\""));
                        f.write_str(&words.join(" or "))
                    }

                    fn visit_str<E: ::serde::de::Error>(self, text: &str) -> Result<$name, E> {
                        match text {
                            $($word => Ok($name::$variant),)+
                            other => Err(E::unknown_variant(other, &[$($word),+])),
                        }
                    }
                }

                deserializer.deserialize_str(WordVisitor)
            }
        }
    };
}

pub(crate) use words;

words! {
    /// Environment of a widget. A route may name one upstream for each.
    #[derive(Default)]
    Environment {
        /// For the public. The default.
        #[default]
        Production = "production",
        /// For tests.
        Staging = "staging",
    }
}

words! {
    /// Access rule for embedders that the list doesn't admit.
    Access {
        /// Any embedder is allowed; the list is not used.
        Open = "open",
        /// Such an embedder is recorded, but allowed.
        Monitor = "monitor",
        /// Such an embedder is denied.
        Enforce = "enforce",
    }
}

words! {
    /// Capability of a widget.
    Capability {
        /// Text.
        Chat = "chat",
        /// The microphone, which browsers give to secure pages only.
        Voice = "voice",
    }
}

/// Error in a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{}: {detail} ({code})", if pointer.is_empty() { "the document" } else { pointer.as_str() })]
pub struct DocumentFault {
    /// The place: a JSON Pointer (RFC 6901) into the document; empty for the whole.
    pub pointer: String,
    /// The kind of error, a stable code.
    pub code: &'static str,
    /// What is wrong and what would be right.
    pub detail: String,
}

#[cfg(test)]
mod tests;
