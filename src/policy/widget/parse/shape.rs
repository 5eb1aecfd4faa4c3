//! The shape of a document: which fields there are and of what type. The values are judged later.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_path_to_error::{Path, Segment};

use super::super::{Access, Capability, Environment, Fault};
use crate::policy::json_position::push_token;

/// A document as it was written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document<'j> {
    #[serde(borrow)]
    pub id: Cow<'j, str>,
    pub environment: Option<Environment>,
    pub access: Option<Access>,
    pub enabled: Option<bool>,
    #[serde(default, borrow)]
    pub allowed_domains: Vec<Line<'j>>,
    #[serde(default)]
    pub capabilities: BTreeSet<Capability>,
    pub public_trust_center: Option<bool>,
    #[serde(default, deserialize_with = "labels")]
    pub labels: BTreeMap<String, String>,
    pub revision: Option<u64>,
}

/// The fields of a document and of an entry: what an unknown one is compared with.
const FIELDS: [&str; 12] = [
    "id",
    "environment",
    "access",
    "enabled",
    "allowed_domains",
    "capabilities",
    "public_trust_center",
    "labels",
    "revision",
    "pattern",
    "expires_at",
    "note",
];

/// One element of `allowed_domains`.
pub(super) enum Line<'j> {
    /// Just the entry.
    Text(Cow<'j, str>),
    /// The entry and what goes with it.
    Object(LineObject<'j>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LineObject<'j> {
    #[serde(borrow)]
    pub pattern: Cow<'j, str>,
    pub expires_at: Option<String>,
    pub note: Option<String>,
}

/// Reads the shape; the first thing that doesn't fit is the only one that can be told.
pub(super) fn read(json: &[u8]) -> Result<Document<'_>, Fault> {
    // Nearly every document is in order: where a fault is, is asked only once there is one.
    if let Ok(Object(document)) = serde_json::from_slice(json) {
        return Ok(document);
    }
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let Object(document) = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| fault(pointer(error.path()), error.inner()))?;
    deserializer.end().map_err(|error| fault(String::new(), &error))?;
    Ok(document)
}

/// A document that is an object: what serde derives would also take an array of the fields' values.
struct Object<'j>(Document<'j>);

impl<'de: 'j, 'j> Deserialize<'de> for Object<'j> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor;

        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a widget: an object with at least {\"id\": \"...\"}")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<'de>, A::Error> {
                Document::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(ObjectVisitor)
    }
}

impl<'de: 'j, 'j> Deserialize<'de> for Line<'j> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LineVisitor;

        impl<'de> Visitor<'de> for LineVisitor {
            type Value = Line<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "an entry such as \"example.com\", or an object {\"pattern\": \"example.com\"} ",
                )?;
                f.write_str("with `expires_at` and `note` where wanted")
            }

            fn visit_str<E>(self, text: &str) -> Result<Line<'de>, E> {
                Ok(Line::Text(text.to_owned().into()))
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Line<'de>, E> {
                Ok(Line::Text(text.into()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Line<'de>, A::Error> {
                LineObject::deserialize(MapAccessDeserializer::new(map)).map(Line::Object)
            }
        }

        deserializer.deserialize_any(LineVisitor)
    }
}

/// An object of strings in which no key comes twice.
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

/// The path of a value as a JSON Pointer (RFC 6901).
fn pointer(path: &Path) -> String {
    let mut pointer = String::new();
    for segment in path.iter() {
        match segment {
            Segment::Seq { index } => push_token(&mut pointer, &index.to_string()),
            Segment::Map { key } => push_token(&mut pointer, key),
            // A variant's name is a string's value, no place of its own; an unknown segment is one that serde
            // doesn't name.
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}

/// What serde says, as a fault. It tells the kind of an error by its words only.
fn fault(mut pointer: String, error: &serde_json::Error) -> Fault {
    let message = error.to_string();
    if !error.is_data() {
        return Fault { pointer: String::new(), code: "invalid_json", detail: message };
    }
    // The line and column count from the start of this document, which may be a part of a file.
    let place = format!(" at line {} column {}", error.line(), error.column());
    let mut detail = message.strip_suffix(place.as_str()).unwrap_or(&message).to_owned();
    let code = code_of(&detail);
    if let Some(name) = quoted(&detail).map(str::to_owned) {
        // The path of a doubled key ends at its object, that of an unknown one at the key.
        if code == "duplicate_field" {
            push_token(&mut pointer, &name);
        }
        if code == "unknown_field"
            && let Some(near) = nearest(&name, &FIELDS)
        {
            detail.push_str(&format!("; did you mean `{near}`?"));
        }
    }
    Fault { pointer, code, detail }
}

fn code_of(message: &str) -> &'static str {
    const KINDS: [(&str, &str); 6] = [
        ("unknown field", "unknown_field"),
        ("missing field", "missing_field"),
        ("duplicate field", "duplicate_field"),
        ("unknown variant", "unknown_value"),
        ("invalid type", "invalid_type"),
        ("invalid value", "invalid_value"),
    ];
    KINDS.iter().find(|(words, _)| message.starts_with(words)).map_or("invalid_document", |(_, code)| code)
}

/// The name that a message is about, in back-quotes; it may hold some itself.
fn quoted(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once('`')?;
    rest.split_once("`, expected").or_else(|| rest.rsplit_once('`')).map(|(name, _)| name)
}

/// The known name that a slip of the pen would turn into `name`.
fn nearest<'n>(name: &str, known: &[&'n str]) -> Option<&'n str> {
    let name = name.to_ascii_lowercase().replace('-', "_");
    known
        .iter()
        .map(|candidate| (distance(&name, candidate), *candidate))
        .filter(|(distance, candidate)| *distance * 3 <= candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance in bytes: insertions, deletions and replacements that turn one into the other.
fn distance(a: &str, b: &str) -> usize {
    // A name far longer than any field is near to none; its length is the sender's choice.
    if a.len() > 64 {
        return usize::MAX / 4;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut before = i + 1;
        for (cell, right) in row.iter_mut().skip(1).zip(b.bytes()) {
            let replaced = diagonal + usize::from(left != right);
            diagonal = *cell;
            *cell = replaced.min(diagonal + 1).min(before + 1);
            before = *cell;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(a.len())
}
