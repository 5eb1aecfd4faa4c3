//! Form of the description that generators of clients take, whatever derived it: numbers in registered formats, lists
//! in place of tuples, named variants with a discriminator, and texts without links of the code's documentation.

use serde_json::{Map, Value, json};

type JsonObject = Map<String, Value>;

const SCHEMAS: &str = "#/components/schemas/";

/// Media types of texts in pieces, each of which has a schema.
const IN_PIECES: [&str; 2] = ["application/x-ndjson", "text/event-stream"];

/// Members with values of callers, and not with parts of the description.
const VALUES: [&str; 7] = ["const", "default", "enum", "example", "examples", "mapping", "required"];

/// Members whose names are not words of the description.
const NAMED: [&str; 2] = ["properties", "schemas"];

/// Gives the whole description this form.
pub(super) fn suit(api: &mut Value) {
    name_variants(api);
    name_maps(api);
    each(api, false, &mut |part| {
        register_format(part);
        untuple(part);
        single_value(part);
        for text in ["description", "summary"] {
            if let Some(Value::String(text)) = part.get_mut(text) {
                *text = plain(text);
            }
        }
        if let Some(Value::Object(content)) = part.get_mut("content") {
            IN_PIECES.iter().for_each(|media| as_text(content, media));
        }
    });
}

/// Calls `change` with every object of the description. `is_named`: the members of this one have names of their own.
fn each(value: &mut Value, is_named: bool, change: &mut impl FnMut(&mut JsonObject)) {
    match value {
        Value::Object(part) => {
            if !is_named {
                change(part);
            }
            for (name, value) in part {
                if is_named || !VALUES.contains(&name.as_str()) {
                    each(value, !is_named && NAMED.contains(&name.as_str()), change);
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| each(value, false, change)),
        _ => {}
    }
}

/// OpenAPI's registry has no formats for numbers without a sign; `minimum` says that they have none.
fn register_format(part: &mut JsonObject) {
    let signed = match part.get("format").and_then(Value::as_str) {
        Some("u-int64" | "uint64" | "u-int32" | "uint32") => "int64",
        Some("u-int16" | "uint16" | "u-int8" | "uint8") => "int32",
        _ => return,
    };
    part.insert("format".to_owned(), signed.into());
}

/// A tuple whose members are all alike is a list of so many.
fn untuple(part: &mut JsonObject) {
    let alike = match part.get("prefixItems").and_then(Value::as_array).map(Vec::as_slice) {
        Some([first, others @ ..]) if others.iter().all(|other| other == first) => {
            (first.clone(), others.len() + 1)
        }
        _ => return,
    };
    let (member, length) = alike;
    part.remove("prefixItems");
    part.insert("items".to_owned(), member);
    part.insert("minItems".to_owned(), length.into());
    part.insert("maxItems".to_owned(), length.into());
}

/// The only value of an enumeration is a constant.
fn single_value(part: &mut JsonObject) {
    if let Some([only]) = part.get("enum").and_then(Value::as_array).map(Vec::as_slice) {
        let only = only.clone();
        part.remove("enum");
        part.insert("const".to_owned(), only);
    }
}

/// The schema of a text in pieces describes one of them. OpenAPI 3.1 has no word for that but those of JSON Schema for
/// texts, and generators that don't know them see a text.
fn as_text(content: &mut JsonObject, media: &str) {
    let Some(of_media) = content.get_mut(media).and_then(Value::as_object_mut) else { return };
    let Some(piece) = of_media.remove("schema") else { return };
    let text = match piece.get("$ref") {
        Some(_) => json!({ "type": "string", "contentMediaType": media, "contentSchema": piece }),
        None => piece,
    };
    of_media.insert("schema".to_owned(), text);
}

/// Makes each variant of a choice a schema with a name, so that generators need not number them.
fn name_variants(api: &mut Value) {
    let Some(schemas) = api.pointer_mut("/components/schemas").and_then(Value::as_object_mut) else { return };
    let mut named = Vec::new();
    let taken: Vec<String> = schemas.keys().cloned().collect();
    for (choice, schema) in schemas.iter_mut() {
        let Some(variants) = schema.get_mut("oneOf").and_then(Value::as_array_mut) else { continue };
        let mut mapping = JsonObject::new();
        let mut tags = Vec::new();
        for variant in variants.iter_mut() {
            let Some((tag, value)) = variant_name(variant) else { continue };
            let name = format!("{choice}{}", pascal(&value));
            if taken.contains(&name) {
                continue;
            }
            let reference = format!("{SCHEMAS}{name}");
            mapping.insert(value, reference.clone().into());
            tags.extend(tag);
            named.push((name, std::mem::replace(variant, json!({ "$ref": reference }))));
        }
        if let Some(tag) = tags.first().filter(|_| tags.len() == variants.len()) {
            let discriminator = json!({ "propertyName": tag, "mapping": mapping });
            if let Some(schema) = schema.as_object_mut() {
                schema.insert("discriminator".to_owned(), discriminator);
            }
        }
    }
    schemas.extend(named);
    schemas.sort_keys();
}

/// Makes each map that may be `null` a schema with a name, for the same reason.
fn name_maps(api: &mut Value) {
    let Some(schemas) = api.pointer_mut("/components/schemas").and_then(Value::as_object_mut) else { return };
    let mut named = Vec::new();
    for (name, schema) in schemas.iter_mut() {
        let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
        for (property, schema) in properties.into_iter().flatten() {
            if schema.get("type") == Some(&json!(["object", "null"])) {
                let name = format!("{name}{}", pascal(property));
                let nullable =
                    json!({ "oneOf": [{ "$ref": format!("{SCHEMAS}{name}") }, { "type": "null" }] });
                let mut map = std::mem::replace(schema, nullable);
                if let Some(map) = map.as_object_mut() {
                    map.insert("type".to_owned(), "object".into());
                }
                named.push((name, map));
            }
        }
    }
    named.retain(|(name, _)| !schemas.contains_key(name));
    schemas.extend(named);
    schemas.sort_keys();
}

/// What a variant is called by: the only value of its tag, with the tag; or its first required member.
fn variant_name(variant: &Value) -> Option<(Option<String>, String)> {
    let required = variant.get("required")?.as_array()?.iter().filter_map(Value::as_str);
    let tagged = required.clone().find_map(|name| {
        let schema = variant.pointer(&format!("/properties/{name}"))?;
        match schema.get("enum")?.as_array()?.as_slice() {
            [only] => Some((Some(name.to_owned()), only.as_str()?.to_owned())),
            _ => None,
        }
    });
    tagged.or_else(|| required.clone().next().map(|first| (None, first.to_owned())))
}

fn pascal(word: &str) -> String {
    let parts = word.split(['_', '-']).filter_map(|part| {
        let mut letters = part.chars();
        letters.next().map(|first| first.to_uppercase().chain(letters).collect::<String>())
    });
    parts.collect()
}

/// A text for people who don't see the code: links to it are left out, and so are the ends of its lines. Paragraphs and
/// links to pages stay.
fn plain(text: &str) -> String {
    let paragraphs = text.split("\n\n").map(|paragraph| {
        let lines = paragraph.lines().map(str::trim);
        unlinked(&lines.collect::<Vec<_>>().join(" "))
    });
    paragraphs.collect::<Vec<_>>().join("\n\n")
}

fn unlinked(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('[') {
        plain.push_str(before);
        rest = after;
        let Some((label, behind)) = after.split_once(']') else {
            plain.push('[');
            continue;
        };
        let target = behind.strip_prefix('(').and_then(|target| target.split_once(')'));
        match target {
            Some((target, behind)) if !target.starts_with("http") => {
                plain.push_str(&last_of_path(label));
                rest = behind;
            }
            None if label.len() > 2 && label.starts_with('`') && label.ends_with('`') => {
                plain.push_str(&last_of_path(label));
                rest = behind;
            }
            _ => plain.push('['),
        }
    }
    plain + rest
}

/// `` `a::b` `` is `` `b` ``.
fn last_of_path(label: &str) -> String {
    match label.rsplit_once("::") {
        Some((_, last)) if label.starts_with('`') => format!("`{last}"),
        _ => label.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_for_people() {
        for (written, expected) in [
            ("One\nparagraph.\n\nAnother\none.", "One paragraph.\n\nAnother one."),
            ("As [`Change`] and [`Change::put`](crate::rules::change) say", "As `Change` and `put` say"),
            ("[a word](crate::word), [page](https://example.com)", "a word, [page](https://example.com)"),
            ("`[::1]`, `errors[0]`, an [open one", "`[::1]`, `errors[0]`, an [open one"),
        ] {
            assert_eq!(plain(written), expected);
        }
    }

    #[test]
    fn numbers_tuples_and_single_values_are_what_generators_know() {
        let mut api = json!({ "components": { "schemas": { "T": { "properties": {
            "format": { "type": "integer", "format": "u-int64", "minimum": 0 },
            "pairs": { "type": "array", "items": false, "prefixItems": [{ "type": "string" }, { "type": "string" }] },
            "enum": { "type": "string", "enum": ["only"] },
        }, "example": { "format": "u-int64", "enum": ["x"] } } } } });
        suit(&mut api);
        let expected = json!({ "properties": {
            "format": { "type": "integer", "format": "int64", "minimum": 0 },
            "pairs": { "type": "array", "items": { "type": "string" }, "minItems": 2, "maxItems": 2 },
            "enum": { "type": "string", "const": "only" },
        }, "example": { "format": "u-int64", "enum": ["x"] } });
        assert_eq!(api["components"]["schemas"]["T"], expected);
    }

    #[test]
    fn variants_have_names_and_where_they_have_tags_a_discriminator() {
        let tagged = |value: &str| {
            json!({ "type": "object", "required": ["code", "kind"], "properties": {
                "code": { "type": "string" }, "kind": { "type": "string", "enum": [value] },
            } })
        };
        let mut api = json!({ "components": { "schemas": {
            "Event": { "oneOf": [tagged("session_ended"), tagged("swap")] },
            "Entry": { "oneOf": [{ "type": "string" }, { "type": "object", "required": ["pattern"] }] },
        } } });
        suit(&mut api);
        let schemas = &api["components"]["schemas"];
        assert_eq!(schemas["Event"]["oneOf"][0]["$ref"], "#/components/schemas/EventSessionEnded");
        let discriminator = json!({ "propertyName": "kind", "mapping": {
            "session_ended": "#/components/schemas/EventSessionEnded", "swap": "#/components/schemas/EventSwap",
        } });
        assert_eq!(schemas["Event"]["discriminator"], discriminator);
        assert_eq!(schemas["EventSwap"]["properties"]["kind"]["const"], "swap");
        assert_eq!(schemas["Entry"]["oneOf"][1]["$ref"], "#/components/schemas/EntryPattern");
        assert_eq!(schemas["Entry"].get("discriminator"), None);
    }

    #[test]
    fn a_map_that_may_be_null_has_a_name() {
        let labels = json!({ "type": ["object", "null"], "additionalProperties": { "type": "string" } });
        let mut api =
            json!({ "components": { "schemas": { "Patch": { "properties": { "labels": labels } } } } });
        suit(&mut api);
        let schemas = &api["components"]["schemas"];
        let reference =
            json!({ "oneOf": [{ "$ref": "#/components/schemas/PatchLabels" }, { "type": "null" }] });
        assert_eq!(schemas["Patch"]["properties"]["labels"], reference);
        assert_eq!(schemas["PatchLabels"]["type"], "object");
    }

    #[test]
    fn a_text_in_pieces_names_the_schema_of_a_piece() {
        let mut api = json!({ "content": { "application/x-ndjson": { "schema": { "$ref": "#/x" } } } });
        suit(&mut api);
        let text = json!({ "type": "string", "contentMediaType": "application/x-ndjson", "contentSchema": { "$ref": "#/x" } });
        assert_eq!(api["content"]["application/x-ndjson"]["schema"], text);
    }
}
