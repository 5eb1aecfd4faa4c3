//! The kill switch, on a document as it is stored.

use serde_json::{Map, Value};

use crate::rules::documents::Json;

/// The document with `enabled: false`. It is not read as a widget's, so that one that this version refuses can be
/// switched off, too. `None` where it is no JSON object.
pub(in crate::rules) fn disabled(json: &[u8]) -> Option<Json> {
    let mut document: Map<String, Value> = serde_json::from_slice(json).ok()?;
    // A field that is there keeps its place, so that a canonical document stays one.
    document.insert("enabled".to_owned(), Value::Bool(false));
    serde_json::to_vec(&document).ok().map(Json::from)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::rules::documents::canonical;
    use crate::rules::fixtures::widget;

    #[test]
    fn a_canonical_document_stays_canonical() {
        for fields in [
            "",
            r#","access":"monitor","allowed_domains":["b.example",{"pattern":"a.example","note":"\"enabled\":true"}]"#,
            r#","labels":{"enabled":"true","team":"a"},"capabilities":["voice"],"environment":"staging""#,
        ] {
            let mut on = widget(&format!(r#"{{"id":"a"{fields}}}"#));
            let mut off = widget(&format!(r#"{{"id":"a","enabled":false{fields}}}"#));
            assert_eq!(disabled(&canonical(&mut on)).unwrap(), canonical(&mut off), "{fields}");
        }
    }

    #[test]
    fn what_is_no_widget_any_more_is_switched_off_too() {
        let of_later =
            br#"{"id":"a","enabled":true,"allowed_domains":["?"],"later":{"n":18446744073709551615}}"#;
        let off = br#"{"id":"a","enabled":false,"allowed_domains":["?"],"later":{"n":18446744073709551615}}"#;
        assert_eq!(&*disabled(of_later).unwrap(), off);
        for damaged in [&b""[..], b"{", b"[]", b"\xff\x00", b"null"] {
            assert_eq!(disabled(damaged), None);
        }
    }
}
