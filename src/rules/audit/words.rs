//! What differs between two documents of a widget, in words.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::{Map, Value};

/// Differences as [`differences`](fn@super::differences) has them, field by field: `+ shop.example.com`, `- old.example.com`,
/// `enabled: true -> false`; `the same document` if there are none.
pub fn in_words(differences: &Map<String, Value>) -> Vec<String> {
    let told: Vec<String> =
        differences.iter().flat_map(|(field, difference)| of_field(field, difference)).collect();
    match told.is_empty() {
        true => vec!["the same document".to_owned()],
        false => told,
    }
}

fn of_field(field: &str, difference: &Value) -> Vec<String> {
    // The list of sites is what changes most, so its entries stand alone.
    let prefix = if field == "allowed_domains" { String::new() } else { format!("{field}: ") };
    let (Some(added), Some(removed)) = (difference["added"].as_array(), difference["removed"].as_array())
    else {
        if difference["reordered"] == true {
            return vec![format!("{field}: another order")];
        }
        let mut told = Vec::new();
        of_values(field, &difference["before"], &difference["after"], &mut told);
        return told;
    };
    let of = |list: &[Value], wanted: &str| list.iter().find(|entry| pattern(entry) == wanted).cloned();
    let changed = added.iter().map(|entry| match of(removed, pattern(entry)) {
        None => format!("{prefix}+ {}", element(entry)),
        Some(earlier) => format!("{prefix}{} -> {}", element(&earlier), element(entry)),
    });
    let gone = removed.iter().filter(|entry| of(added, pattern(entry)).is_none());
    changed.chain(gone.map(|entry| format!("{prefix}- {}", element(entry)))).collect()
}

/// What differs in an object, member by member, and otherwise both values.
fn of_values(path: &str, before: &Value, after: &Value, told: &mut Vec<String>) {
    if !before.is_object() && !after.is_object() {
        return told.push(format!("{path}: {} -> {}", plain(before), plain(after)));
    }
    let members = [before, after].into_iter().filter_map(Value::as_object).flat_map(Map::keys);
    for name in members.collect::<BTreeSet<_>>() {
        if before[name] != after[name] {
            of_values(&format!("{path}.{name}"), &before[name], &after[name], told);
        }
    }
}

fn pattern(entry: &Value) -> &str {
    entry.as_str().or_else(|| entry["pattern"].as_str()).unwrap_or_default()
}

/// An entry with its expiry and its note, or an element of another list.
fn element(entry: &Value) -> String {
    let mut text = pattern(entry).to_owned();
    // Writing to a string does not fail.
    if let Some(at) = entry["expires_at"].as_str() {
        let _ = write!(text, " (until {at})");
    }
    if let Some(note) = entry["note"].as_str() {
        let _ = write!(text, " ({note:?})");
    }
    text
}

/// A value as people read it: a word without quotes, `none` for a field that isn't there.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn what_differs_is_told_in_words() {
        let launch = json!({"pattern": "b", "expires_at": "2027-01-31T00:00:00Z", "note": "launch"});
        for (differences, told) in [
            (json!({}), "the same document"),
            (json!({"allowed_domains": {"added": ["c"], "removed": ["a"]}}), "+ c; - a"),
            (json!({"allowed_domains": {"reordered": true}}), "allowed_domains: another order"),
            (
                json!({"allowed_domains": {"added": [launch, "c"], "removed": ["b"]}}),
                "b -> b (until 2027-01-31T00:00:00Z) (\"launch\"); + c",
            ),
            (json!({"capabilities": {"added": ["voice"], "removed": []}}), "capabilities: + voice"),
            (
                json!({"access": {"before": null, "after": "open"}, "enabled": {"before": true, "after": false}}),
                "access: none -> open; enabled: true -> false",
            ),
            (json!({"labels": {"before": {}, "after": {"team": "growth"}}}), "labels.team: none -> growth"),
            (
                json!({"limits": {"before": {"widget": {"sessions": 50, "opens_per_day": 900}, "address": {"sessions": 5}},
                    "after": {"mode": "monitor", "widget": {"sessions": 60, "opens_per_day": 900}}}}),
                "limits.address.sessions: 5 -> none; limits.mode: none -> monitor; limits.widget.sessions: 50 -> 60",
            ),
            (
                json!({"limits": {"before": null, "after": {"embedder": {"opens_per_minute": 300}}}}),
                "limits.embedder.opens_per_minute: none -> 300",
            ),
        ] {
            assert_eq!(in_words(differences.as_object().unwrap()).join("; "), told);
        }
    }
}
