//! Shape of a document: its fields and their types. The values are checked later.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_path_to_error::{Path, Segment};

use crate::json_position::{Position, push_token};
use crate::json_syntax::{offset_of, syntax_detail};
use crate::widget::{DocumentFault, WidgetDocument};

/// Element of `allowed_domains`, as written.
#[derive(Debug)]
pub(in crate::widget) enum EntryShape<'j> {
    /// Only the entry's text.
    Text(Cow<'j, str>),
    /// An object with the entry's text and more.
    Object(EntryObject<'j>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::widget) struct EntryObject<'j> {
    #[serde(borrow)]
    pub pattern: Cow<'j, str>,
    pub expires_at: Option<String>,
    pub note: Option<String>,
}

/// Reads the shape; `None` where it does not fit.
pub(super) fn read(json: &[u8]) -> Option<WidgetDocument<'_>> {
    let Object(document) = serde_json::from_slice(json).ok()?;
    Some(document)
}

/// The first fault of a document's shape; `None` where it fits.
pub(in crate::widget) fn first_fault(json: &[u8]) -> Option<DocumentFault> {
    fault_of::<Object<'_>>(json)
}

/// The first fault of an element of `allowed_domains`; `None` where it fits.
pub(super) fn first_fault_of_entry(json: &[u8]) -> Option<DocumentFault> {
    fault_of::<EntryShape<'_>>(json)
}

/// The first fault of a value that is read as this type. The parser that tracks the path is the slower one.
fn fault_of<'j, T: Deserialize<'j>>(json: &'j [u8]) -> Option<DocumentFault> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
        Err(error) => Some(fault(json, pointer(error.path()), error.inner())),
        Ok(_) => deserializer.end().err().map(|error| fault(json, String::new(), &error)),
    }
}

/// The fault of a text that is no JSON.
pub(super) fn syntax_fault(json: &[u8], error: &serde_json::Error) -> DocumentFault {
    let detail = match std::str::from_utf8(json) {
        Ok(text) => {
            let place = Position::of_offset(text, offset_of(text, error));
            format!("line {}, column {}: {}", place.line, place.column, syntax_detail(text, error))
        }
        Err(error) => format!("not UTF-8 from byte {} on", error.valid_up_to()),
    };
    DocumentFault { pointer: String::new(), code: "invalid_json", detail }
}

/// Document that must be a JSON object: the derived deserialiser would also accept an array of the fields'
/// values.
struct Object<'j>(WidgetDocument<'j>);

impl<'de: 'j, 'j> Deserialize<'de> for Object<'j> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor;

        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a widget: an object with at least {\"id\": \"...\"}")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<'de>, A::Error> {
                WidgetDocument::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(ObjectVisitor)
    }
}

impl<'de: 'j, 'j> Deserialize<'de> for EntryShape<'j> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LineVisitor;

        impl<'de> Visitor<'de> for LineVisitor {
            type Value = EntryShape<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "an entry such as \"example.com\", or an object {\"pattern\": \"example.com\"} ",
                )?;
                f.write_str("with optional `expires_at` and `note`")
            }

            fn visit_str<E>(self, text: &str) -> Result<EntryShape<'de>, E> {
                Ok(EntryShape::Text(text.to_owned().into()))
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<EntryShape<'de>, E> {
                Ok(EntryShape::Text(text.into()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<EntryShape<'de>, A::Error> {
                EntryObject::deserialize(MapAccessDeserializer::new(map)).map(EntryShape::Object)
            }
        }

        deserializer.deserialize_any(LineVisitor)
    }
}

/// The path of a value as a JSON Pointer (RFC 6901).
fn pointer(path: &Path) -> String {
    let mut pointer = String::new();
    for segment in path.iter() {
        match segment {
            Segment::Seq { index } => push_token(&mut pointer, &index.to_string()),
            Segment::Map { key } => push_token(&mut pointer, key),
            // A variant's name is a value, not a place. An unknown segment has no name in serde.
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}

/// Turns an error of serde into a fault. The kind of error is only in serde's words.
fn fault(json: &[u8], mut pointer: String, error: &serde_json::Error) -> DocumentFault {
    let message = error.to_string();
    if !error.is_data() {
        let text = std::str::from_utf8(json);
        let detail = text.map_or(message, |text| syntax_detail(text, error));
        return DocumentFault { pointer, code: "invalid_json", detail };
    }
    // Line and column count from the start of this document, which may be part of a file, so they are cut
    // off.
    let place = format!(" at line {} column {}", error.line(), error.column());
    let mut detail = message.strip_suffix(place.as_str()).unwrap_or(&message).to_owned();
    let code = code_of(&detail);
    if let Some(name) = quoted(&detail).map(str::to_owned) {
        // The path of a repeated key ends at its object, that of an unknown one at the key.
        if code == "duplicate_field" {
            push_token(&mut pointer, &name);
        }
        if code == "unknown_field"
            && let Some(near) = nearest(&name, expected(&detail))
        {
            let suggestion = format!("; did you mean `{near}`?");
            detail.push_str(&suggestion);
        }
    }
    DocumentFault { pointer, code, detail }
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

/// The name in back-quotes in a message; the name may contain back-quotes itself.
fn quoted(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once('`')?;
    rest.split_once("`, expected").or_else(|| rest.rsplit_once('`')).map(|(name, _)| name)
}

/// The names that a message about an unknown one lists.
fn expected(message: &str) -> impl Iterator<Item = &str> {
    let (_, list) = message.rsplit_once("`, expected ").unwrap_or_default();
    list.split('`').skip(1).step_by(2)
}

/// The known name that a typing error could have turned into `name`.
fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let name = name.to_ascii_lowercase().replace('-', "_");
    known
        .map(|candidate| (distance(&name, candidate), candidate))
        .filter(|(distance, candidate)| *distance * 3 <= candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance in bytes: insertions, deletions and replacements that turn one into the other.
fn distance(a: &str, b: &str) -> usize {
    // A sender may choose any length. A name far longer than any field is close to none.
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
