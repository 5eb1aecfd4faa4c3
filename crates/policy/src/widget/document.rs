//! Fields of a widget's document, all in one place: as a writer sends them, and as they are once checked. What
//! requests are judged by is [`compiled`](crate::compiled) from them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::parse::{self, EntryShape};
use super::{Access, Capability, DocumentFault, Environment, WidgetId};
use crate::entry::listed::ListedEntry;
use crate::limits::Limits;
use crate::suffix::PublicSuffixes;

/// A widget's document as a writer sends it: what is left out, or `null`, takes its default.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(
    example = json!({
        "id": "wgt_demo", "environment": "production", "access": "enforce", "enabled": true,
        "allowed_domains": ["example.com", "*.example.org",
            {"pattern": "https://pr-*.preview.example.com", "expires_at": "2027-12-31T00:00:00Z", "note": "launch"}],
        "capabilities": ["chat", "voice"], "public_trust_center": true,
        "limits": {"widget": {"sessions": 500, "opens_per_minute": 600, "opens_per_day": 50_000},
            "embedder": {"opens_per_minute": 300}, "address": {"sessions": 5, "opens_per_minute": 20}},
        "labels": {"team": "growth"},
    }),
)]
pub struct WidgetDocument<'j> {
    #[serde(borrow)]
    #[schema(value_type = WidgetId)]
    pub(super) id: Cow<'j, str>,
    /// Left out: production.
    pub(super) environment: Option<Environment>,
    /// Left out: `open` for an empty list, `enforce` for a list.
    pub(super) access: Option<Access>,
    /// `false` denies everything but public pages at once. Left out: `true`.
    pub(super) enabled: Option<bool>,
    /// Where the widget may be embedded.
    #[serde(default, borrow)]
    #[schema(max_items = 1000, required = false, value_type = Vec<ListedEntry>)]
    pub(super) allowed_domains: Vec<EntryShape<'j>>,
    /// What the widget can do.
    #[serde(default)]
    #[schema(required = false, value_type = Vec<Capability>)]
    pub(super) capabilities: BTreeSet<Capability>,
    /// Whether its public pages answer. Left out: `true`.
    pub(super) public_trust_center: Option<bool>,
    /// How many sessions may be open and opened. Left out: as many as there are.
    pub(super) limits: Option<Limits>,
    /// Free labels of the owner.
    #[serde(default, deserialize_with = "labels")]
    #[schema(required = false)]
    pub(super) labels: BTreeMap<String, String>,
    /// The widget's version, which only grows. Left out: the stored one plus one, or 1 for a new widget.
    #[schema(maximum = 9007199253692416_u64)]
    pub(super) revision: Option<u64>,
}

impl WidgetDocument<'_> {
    /// The widget, with what had to be checked first.
    pub(super) fn into_widget(self, id: WidgetId, allowed_domains: Vec<ListedEntry>) -> Widget {
        Widget {
            id,
            environment: self.environment.unwrap_or_default(),
            access: self.access,
            enabled: self.enabled.unwrap_or(true),
            allowed_domains,
            capabilities: self.capabilities,
            public_trust_center: self.public_trust_center.unwrap_or(true),
            limits: self.limits.unwrap_or_default(),
            labels: self.labels,
            revision: self.revision,
        }
    }
}

/// Widget document. It serialises canonically: all fields, except an unstated `access` and a missing
/// `revision`.
// A field that comes later is left out at its default (`skip_serializing_if`), so that the fingerprints of documents
// which are stored already stay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Widget {
    /// The widget's id.
    pub id: WidgetId,
    /// The environment.
    pub environment: Environment,
    /// The access, if the document states it. Left out: `open` for an empty list, `enforce` for a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
    /// `false` denies everything but public pages.
    pub enabled: bool,
    /// The entries: where the widget may be embedded, in the order of the document.
    pub allowed_domains: Vec<ListedEntry>,
    /// What the widget can do.
    pub capabilities: BTreeSet<Capability>,
    /// Whether the widget's public pages answer.
    pub public_trust_center: bool,
    /// How many sessions may be open and opened.
    #[serde(skip_serializing_if = "Limits::is_default")]
    pub limits: Limits,
    /// Free labels of the owner.
    pub labels: BTreeMap<String, String>,
    /// The widget's version, set by its writer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
}

impl Widget {
    /// Parses one document.
    ///
    /// # Errors
    ///
    /// Every error of the document; of those of its shape, the first hundred.
    pub fn parse(json: &[u8], suffixes: &PublicSuffixes) -> Result<Widget, Vec<DocumentFault>> {
        parse::widget(json, suffixes)
    }

    /// Parses one document whatever its size: a canonical document states what its writer left out, so it may be
    /// longer than what was accepted.
    ///
    /// # Errors
    ///
    /// Those of [`Widget::parse`], its size aside.
    pub fn parse_of_any_size(json: &[u8], suffixes: &PublicSuffixes) -> Result<Widget, Vec<DocumentFault>> {
        parse::of_any_size(json, suffixes)
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

    /// Whether the widget may ask for the microphone.
    pub fn has_voice(&self) -> bool {
        self.capabilities.contains(&Capability::Voice)
    }

    /// Whether two documents are equal, except for their revisions.
    pub fn same_document(&self, other: &Widget) -> bool {
        // All fields are named, so that a new one can't be forgotten here.
        let Widget {
            id,
            environment,
            access,
            enabled,
            allowed_domains,
            capabilities,
            public_trust_center,
            limits,
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
            && *limits == other.limits
            && *labels == other.labels
    }
}

/// Reads an object of strings without repeated keys.
fn labels<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    struct LabelsVisitor;

    impl<'de> Visitor<'de> for LabelsVisitor {
        type Value = BTreeMap<String, String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object whose values are strings, such as {\"team\": \"growth\"}")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut labels = BTreeMap::new();
            while let Some((key, value)) = map.next_entry::<String, String>()? {
                if labels.contains_key(&key) {
                    return Err(A::Error::custom(format_args!("duplicate field `{key}`")));
                }
                labels.insert(key, value);
            }
            Ok(labels)
        }
    }

    deserializer.deserialize_map(LabelsVisitor)
}
