//! What differs between two documents of a widget.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use embedgate_policy::widget::Widget;

/// What differs between two documents, revisions aside, by field: `{"before", "after"}`, and for lists `{"added",
/// "removed"}` (`"reordered"` where it is neither).
pub fn differences(was: &Widget, now: &Widget) -> Map<String, Value> {
    let fields = |widget: &Widget| match (Widget { revision: None, ..widget.clone() }).to_json() {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    of_fields(&fields(was), &fields(now))
}

/// The same of two documents as they are stored.
pub(super) fn of_json(was: &[u8], now: &[u8]) -> serde_json::Result<Map<String, Value>> {
    Ok(of_fields(&serde_json::from_slice(was)?, &serde_json::from_slice(now)?))
}

fn of_fields(was: &Map<String, Value>, now: &Map<String, Value>) -> Map<String, Value> {
    let names: BTreeSet<&String> = was.keys().chain(now.keys()).collect();
    let differing = names.into_iter().filter(|name| was.get(*name) != now.get(*name));
    differing.map(|name| (name.clone(), difference(was.get(name), now.get(name)))).collect()
}

fn difference(was: Option<&Value>, now: Option<&Value>) -> Value {
    let (Some(Value::Array(was)), Some(Value::Array(now))) = (was, now) else {
        return serde_json::json!({ "before": was, "after": now });
    };
    let texts = |list: &[Value]| list.iter().map(Value::to_string).collect::<BTreeSet<_>>();
    let (had, has) = (texts(was), texts(now));
    let only = |list: &[Value], others: &BTreeSet<String>| {
        list.iter().filter(|value| !others.contains(&value.to_string())).cloned().collect::<Vec<_>>()
    };
    let (added, removed) = (only(now, &had), only(was, &has));
    if added.is_empty() && removed.is_empty() {
        return serde_json::json!({ "reordered": true });
    }
    serde_json::json!({ "added": added, "removed": removed })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::rules::fixtures::widget;

    #[test]
    fn documents_differ_by_field() {
        let was = widget(r#"{"id":"a","allowed_domains":["a.example","b.example"],"revision":1}"#);
        for (now, expected) in [
            (r#"{"id":"a","allowed_domains":["a.example","b.example"],"revision":2}"#, json!({})),
            (
                r#"{"id":"a","allowed_domains":["b.example","a.example"]}"#,
                json!({ "allowed_domains": { "reordered": true } }),
            ),
            (
                r#"{"id":"a","allowed_domains":["b.example",{"pattern":"c.example","note":"n"}],"access":"enforce","enabled":false}"#,
                json!({
                    "access": { "before": null, "after": "enforce" },
                    "allowed_domains": { "added": [{ "pattern": "c.example", "note": "n" }], "removed": ["a.example"] },
                    "enabled": { "before": true, "after": false },
                }),
            ),
        ] {
            assert_eq!(Value::Object(differences(&was, &widget(now))), expected, "{now}");
        }
    }
}
