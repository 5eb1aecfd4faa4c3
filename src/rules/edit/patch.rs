//! JSON Merge Patch (RFC 7396) of a stored document.

use serde_json::{Map, Value};

use super::judged;
use embedgate_policy::suffix::PublicSuffixes;
use embedgate_policy::widget::{DocumentFault, Widget};

/// The document with the patch in it. Its revision is the one that the patch states.
pub(in crate::rules) fn apply(
    stored: &Widget,
    patch: &Value,
    suffixes: &PublicSuffixes,
) -> Result<Widget, Vec<DocumentFault>> {
    let Value::Object(fields) = patch else {
        let detail = "a merge patch is an object with the fields that change, such as {\"enabled\": false}; this one \
                      is none";
        return Err(vec![fault("", "invalid_document", detail.to_owned())]);
    };
    let mut faults = unknown_nulls(fields, suffixes);
    let mut document = Widget { revision: None, ..stored.clone() }.to_json();
    merge(&mut document, patch);
    let id = document.get("id");
    if id.and_then(Value::as_str) != Some(stored.id.as_str()) {
        let given = id.map_or_else(|| "null".to_owned(), Value::to_string);
        let detail = format!(
            "the patch makes the id {given}, but the path is about `{}`; leave the id out, it never changes",
            stored.id
        );
        faults.push(fault("/id", "id_mismatch", detail));
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    judged::widget(document.to_string().as_bytes(), stored, suffixes)
}

/// RFC 7396 section 2.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        target.clone_from(patch);
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(members) = target else { return };
    for (name, value) in fields {
        if value.is_null() {
            members.shift_remove(name);
        } else {
            merge(members.entry(name.as_str()).or_insert(Value::Null), value);
        }
    }
}

/// The fields that are to go and that no document has, such as `{"limits": {"widgets": null}}`: a slip, which would
/// otherwise do nothing in silence.
fn unknown_nulls(patch: &Map<String, Value>, suffixes: &PublicSuffixes) -> Vec<DocumentFault> {
    let mut probe = nulls(patch);
    // The names of labels are free, and an id never changes.
    probe.shift_remove("labels");
    probe.insert("id".to_owned(), "a".into());
    let probe = Value::Object(probe).to_string();
    let mut found = Widget::parse_of_any_size(probe.as_bytes(), suffixes).err().unwrap_or_default();
    found.retain(|fault| fault.code == "unknown_field");
    found
}

/// The fields of a patch that are to go, with the objects that they are in.
fn nulls(fields: &Map<String, Value>) -> Map<String, Value> {
    let of_field = |(name, value): (&String, &Value)| match value {
        Value::Null => Some((name.clone(), Value::Null)),
        Value::Object(inner) => {
            let inner = nulls(inner);
            (!inner.is_empty()).then(|| (name.clone(), inner.into()))
        }
        _ => None,
    };
    fields.iter().filter_map(of_field).collect()
}

fn fault(pointer: &str, code: &'static str, detail: String) -> DocumentFault {
    DocumentFault { pointer: pointer.to_owned(), code, detail }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use serde_json::json;

    use super::*;
    use crate::rules::fixtures::{newer_suffixes, widget};

    #[test]
    fn the_examples_of_the_rfc_hold() {
        // RFC 7396 appendix A: original, patch, result.
        for (original, patch, result) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, r#"{}"#),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
            (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
            (r#"{"a":"foo"}"#, "null", "null"),
            (r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
            ("[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
            ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
        ] {
            let mut document: Value = serde_json::from_str(original).unwrap();
            merge(&mut document, &serde_json::from_str(patch).unwrap());
            assert_eq!(document.to_string(), result, "{original} {patch}");
        }
    }

    fn patched(stored: &str, patch: &Value) -> Result<Widget, Vec<(String, &'static str)>> {
        apply(&widget(stored), patch, PublicSuffixes::shipped())
            .map_err(|faults| faults.into_iter().map(|fault| (fault.pointer, fault.code)).collect())
    }

    #[test]
    fn a_patch_changes_what_it_names() {
        let stored = r#"{"id":"a","access":"monitor","enabled":false,"allowed_domains":["a.example",
            {"pattern":"b.example","note":"n"}],"capabilities":["voice"],"labels":{"team":"x","k":"v"},"revision":7}"#;
        for (patch, expected) in [
            (
                json!({}),
                r#"{"id":"a","access":"monitor","enabled":false,"allowed_domains":["a.example",
                {"pattern":"b.example","note":"n"}],"capabilities":["voice"],"labels":{"team":"x","k":"v"}}"#,
            ),
            (
                json!({ "enabled": null, "access": null, "capabilities": null, "labels": null }),
                r#"{"id":"a","allowed_domains":["a.example",{"pattern":"b.example","note":"n"}]}"#,
            ),
            (
                json!({ "id": "a", "labels": { "team": null, "new": "y" }, "revision": 9, "allowed_domains": ["C.example"] }),
                r#"{"id":"a","access":"monitor","enabled":false,"allowed_domains":["c.example"],
                "capabilities":["voice"],"labels":{"k":"v","new":"y"},"revision":9}"#,
            ),
        ] {
            assert_eq!(patched(stored, &patch), Ok(widget(expected)), "{patch}");
        }
    }

    #[test]
    fn a_patch_changes_one_limit_one_part_or_all() {
        let with = |limits: &str| format!(r#"{{"id":"a","allowed_domains":["a.example"]{limits}}}"#);
        let stored = with(
            r#","limits":{"mode":"monitor","widget":{"sessions":50,"opens_per_day":900},"address":{"sessions":5}}"#,
        );
        for (limits, expected) in [
            (
                json!({}),
                r#""mode":"monitor","widget":{"sessions":50,"opens_per_day":900},"address":{"sessions":5}"#,
            ),
            (
                json!({ "mode": null }),
                r#""widget":{"sessions":50,"opens_per_day":900},"address":{"sessions":5}"#,
            ),
            (
                json!({ "widget": { "sessions": 60, "opens_per_day": null }, "embedder": { "sessions": 20 } }),
                r#""mode":"monitor","widget":{"sessions":60},"embedder":{"sessions":20},"address":{"sessions":5}"#,
            ),
            (
                json!({ "address": { "sessions": null } }),
                r#""mode":"monitor","widget":{"sessions":50,"opens_per_day":900}"#,
            ),
            // The mode stays for the limits that come next.
            (json!({ "widget": null, "address": null }), r#""mode":"monitor""#),
        ] {
            let expected = widget(&with(&format!(r#","limits":{{{expected}}}"#)));
            assert_eq!(patched(&stored, &json!({ "limits": limits })), Ok(expected), "{limits}");
        }
        let unlimited = widget(&with(""));
        for none in [
            json!(null),
            json!({ "mode": null, "widget": {"sessions": null, "opens_per_day": null}, "address": null }),
        ] {
            let patched = patched(&stored, &json!({ "limits": none })).unwrap();
            assert_eq!((&patched, patched.to_json().get("limits")), (&unlimited, None));
        }
    }

    #[test]
    fn every_fault_has_its_place() {
        let stored = r#"{"id":"a","allowed_domains":["a.example"],"capabilities":["voice"]}"#;
        for (patch, faults) in [
            (json!([1]), &[("", "invalid_document")][..]),
            (json!("enabled"), &[("", "invalid_document")]),
            (json!(null), &[("", "invalid_document")]),
            (json!({ "id": "b" }), &[("/id", "id_mismatch")]),
            (json!({ "id": null }), &[("/id", "id_mismatch")]),
            (json!({ "id": ["a"] }), &[("/id", "id_mismatch")]),
            (json!({ "enable": false }), &[("/enable", "unknown_field")]),
            (
                json!({ "enable": null, "acces": null, "enabled": null }),
                &[("/enable", "unknown_field"), ("/acces", "unknown_field")],
            ),
            (
                json!({ "limits": { "widgets": null, "address": null } }),
                &[("/limits/widgets", "unknown_field")],
            ),
            (
                json!({ "limits": { "address": { "session": null, "sessions": null } }, "labels": { "any": null } }),
                &[("/limits/address/session", "unknown_field")],
            ),
            (
                json!({ "limits": { "widget": { "sessions": 0 } } }),
                &[("/limits/widget/sessions", "invalid_value")],
            ),
            (json!({ "limits": 5 }), &[("/limits", "invalid_type")]),
            (json!({ "enabled": "no" }), &[("/enabled", "invalid_type")]),
            (json!({ "revision": 9_007_199_254_740_991_u64 }), &[("/revision", "invalid_revision")]),
            (
                json!({ "allowed_domains": ["*.co.uk", "b.example", "http://c.example", "https://b.example:443"] }),
                &[
                    ("/allowed_domains/0", "public_suffix"),
                    ("/allowed_domains/2", "insecure_voice"),
                    ("/allowed_domains/3", "duplicate_entry"),
                ],
            ),
            (json!({ "labels": { "filler": "x".repeat(256 * 1024) } }), &[("", "document_too_large")]),
        ] {
            let faults: Vec<_> =
                faults.iter().map(|(pointer, code)| ((*pointer).to_owned(), *code)).collect();
            assert_eq!(patched(stored, &patch).unwrap_err(), faults, "{patch}");
        }
    }

    #[test]
    fn what_was_listed_before_it_became_a_public_suffix_stays() {
        let stored = widget(r#"{"id":"a","allowed_domains":["*.example.org","b.example"]}"#);
        let judged = |list: Value| {
            let judged = apply(&stored, &json!({ "allowed_domains": list }), &newer_suffixes());
            judged.map(|widget| widget.allowed_domains.len()).map_err(|faults| {
                faults.into_iter().map(|fault| (fault.pointer, fault.code)).collect::<Vec<_>>()
            })
        };
        let refused = |place: &str, code| Err(vec![(place.to_owned(), code)]);
        assert_eq!(judged(json!(["c.example", "https://*.example.org"])), Ok(2));
        assert_eq!(judged(json!([{ "pattern": "*.EXAMPLE.org", "note": "kept" }])), Ok(1));
        assert_eq!(
            judged(json!(["*.example.org", "http://*.example.org"])),
            refused("/allowed_domains/1", "public_suffix")
        );
        assert_eq!(judged(json!([".example.org"])), refused("/allowed_domains/0", "public_suffix"));
        assert_eq!(
            judged(json!(["*.example.org", "https://*.example.org"])),
            refused("/allowed_domains/1", "duplicate_entry")
        );
    }
}
