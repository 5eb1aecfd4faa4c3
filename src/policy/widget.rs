//! A widget: one embeddable experience and the rules it carries, as one JSON document.
//!
//! ```json
//! { "id": "wgt_demo", "environment": "production", "access": "enforce", "enabled": true,
//!   "allowed_domains": ["example.com", "*.example.org",
//!       {"pattern": "https://pr-*.preview.example.com", "expires_at": "2027-01-31T00:00:00Z", "note": "launch"}],
//!   "capabilities": ["chat", "voice"], "public_trust_center": true,
//!   "labels": {"team": "growth"}, "revision": 7 }
//! ```
//!
//! Only `id` is required. A [`Widget`] exists only after [`Widget::parse`] found no fault in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use super::allowlist::{Allowlist, AllowlistBuf};
use super::decision::{WidgetRules, WidgetRulesBuf};
use super::entry::Entry;
use super::suffix::PublicSuffixes;

mod id;
mod parse;
mod revision;
mod schema;

pub use id::{MAX_ID_CHARS, WidgetId, WidgetIdError};
pub use revision::{MAX_REVISION, RevisionTooHigh, next_revision};

/// The largest document, in bytes of JSON.
pub const MAX_DOCUMENT_BYTES: usize = 256 * 1024;
/// The most entries in one list.
pub const MAX_ENTRIES: usize = 1000;

/// Declares an enum whose values are lower-case words in a document.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "lowercase")]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// Every value, in the order of the declaration.
            pub const ALL: [$name; [$($name::$variant),+].len()] = [$($name::$variant),+];

            /// The word in documents, logs and metrics.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

words! {
    /// Where a widget lives. A route may name one upstream for each.
    #[derive(Default)]
    Environment {
        /// For the public; the default.
        #[default]
        Production = "production",
        /// For trying out.
        Staging = "staging",
    }
}

words! {
    /// What becomes of an embedder that the list doesn't admit.
    Access {
        /// Any embedder is welcome; the list isn't asked.
        Open = "open",
        /// Judged and recorded, and let through.
        Monitor = "monitor",
        /// Judged and denied.
        Enforce = "enforce",
    }
}

words! {
    /// What a widget can do.
    Capability {
        /// Text.
        Chat = "chat",
        /// The microphone, which browsers give to secure pages only.
        Voice = "voice",
    }
}

/// One line of `allowed_domains`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What is admitted.
    pub entry: Entry,
    /// The instant from which it admits nothing any more.
    pub expires_at: Option<Timestamp>,
    /// For people.
    pub note: Option<String>,
}

impl Rule {
    /// Whether the entry admits nothing any more: its instant itself is already too late.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| now >= at)
    }

    /// Whether it names a plain-http site ([`Entry::is_plain_http`]).
    pub fn is_plain_http(&self) -> bool {
        self.entry.is_plain_http()
    }
}

impl Serialize for Rule {
    /// A string, or an object where there is an expiry or a note.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.expires_at.is_none() && self.note.is_none() {
            return serializer.collect_str(&self.entry);
        }
        let fields = 1 + usize::from(self.expires_at.is_some()) + usize::from(self.note.is_some());
        let mut object = serializer.serialize_struct("Rule", fields)?;
        object.serialize_field("pattern", &self.entry.to_string())?;
        if let Some(at) = &self.expires_at {
            object.serialize_field("expires_at", at)?;
        }
        if let Some(note) = &self.note {
            object.serialize_field("note", note)?;
        }
        object.end()
    }
}

/// A document. Serialises canonically: every field but an unstated `access` and a missing `revision`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Widget {
    /// Its name.
    pub id: WidgetId,
    /// Where it lives.
    pub environment: Environment,
    /// As the document states it; [`Widget::effective_access`] says what holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
    /// `false` denies everything but public pages.
    pub enabled: bool,
    /// Where it may be embedded, in the order of the document.
    pub allowed_domains: Vec<Rule>,
    /// What it can do.
    pub capabilities: BTreeSet<Capability>,
    /// Whether its public pages answer.
    pub public_trust_center: bool,
    /// The owner's own marks.
    pub labels: BTreeMap<String, String>,
    /// Its version, set by its writer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
}

impl Widget {
    /// Reads one document. On failure every fault; a document of another shape (a wrong type) tells one.
    pub fn parse(json: &[u8], suffixes: &PublicSuffixes) -> Result<Widget, Vec<Fault>> {
        parse::widget(json, suffixes)
    }

    /// The canonical document, see [`Widget`].
    #[expect(clippy::expect_used, reason = "every key is a string and no field's Serialize fails")]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("a widget is plain JSON")
    }

    /// The access in effect: as stated, otherwise open for an empty list and enforced for a list.
    pub fn effective_access(&self) -> Access {
        match self.access {
            Some(stated) => stated,
            None if self.allowed_domains.is_empty() => Access::Open,
            None => Access::Enforce,
        }
    }

    /// Whether it may ask for the microphone.
    pub fn has_voice(&self) -> bool {
        self.capabilities.contains(&Capability::Voice)
    }

    /// Whether both say the same, revisions aside.
    pub fn same_document(&self, other: &Widget) -> bool {
        // Taken apart so that a new field can't be forgotten here.
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
        } = self;
        *id == other.id
            && *environment == other.environment
            && *access == other.access
            && *enabled == other.enabled
            && *allowed_domains == other.allowed_domains
            && *capabilities == other.capabilities
            && *public_trust_center == other.public_trust_center
            && *labels == other.labels
    }

    /// The form that requests are judged by.
    pub fn compile(&self) -> WidgetRulesBuf {
        WidgetRulesBuf {
            id: self.id.clone(),
            allowlist: AllowlistBuf::compile(&self.allowed_domains),
            terms: WidgetRules {
                id: "",
                environment: self.environment,
                access: self.effective_access(),
                enabled: self.enabled,
                voice: self.has_voice(),
                public_trust_center: self.public_trust_center,
                revision: self.revision.unwrap_or(0),
                allowlist: Allowlist::default(),
            },
        }
    }
}

/// One thing that is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{}: {detail} ({code})", if pointer.is_empty() { "the document" } else { pointer.as_str() })]
pub struct Fault {
    /// Where: a JSON Pointer (RFC 6901) into the document; empty for the whole.
    pub pointer: String,
    /// What kind, a stable code.
    pub code: &'static str,
    /// What is wrong and what would be right.
    pub detail: String,
}

#[cfg(test)]
mod tests;
