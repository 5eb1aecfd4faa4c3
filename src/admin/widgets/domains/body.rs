//! Body of a change of entries: `{"add": [entry…], "remove": ["pattern"…]}`, with every error of it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::admin::input;
use crate::admin::problem::ErrorPart;
use crate::rules::documents::listed_before;
use embedgate_policy::entry::Entry;
use embedgate_policy::entry::listed::ListedEntry;
use embedgate_policy::suffix::PublicSuffixes;
use embedgate_policy::widget::{DocumentFault, Widget};

/// The members of the body.
const MEMBERS: [&str; 2] = ["add", "remove"];

/// Reads the body, or finds everything that is wrong with it.
pub(super) fn read(
    json: &[u8],
    suffixes: &PublicSuffixes,
) -> Result<(Vec<ListedEntry>, Vec<Entry>), Vec<ErrorPart>> {
    let BodyMembers(members) = serde_json::from_slice(json).map_err(|error| {
        let code = if error.is_data() { "invalid_type" } else { "invalid_json" };
        let wanted = r#"the body is {"add": ["example.com"], "remove": ["example.org"]}"#;
        vec![fault(String::new(), code, format!("{error}; {wanted}"))]
    })?;
    let mut body =
        Body { suffixes, add: Vec::new(), remove: Vec::new(), faults: Vec::new(), doubts: Vec::new() };
    let mut seen: Vec<&str> = Vec::new();
    for (name, value) in &members {
        let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        if seen.contains(&name.as_str()) {
            let detail = format!("`{}` stands twice; leave one out", name.escape_debug());
            body.faults.push(fault(pointer, "duplicate_field", detail));
            continue;
        }
        seen.push(name);
        match name.as_str() {
            "add" => body.each(value, &pointer, Body::added),
            "remove" => body.each(value, &pointer, Body::removed),
            _ => body.faults.push(unknown(name, pointer)),
        }
    }
    if members.is_empty() {
        let detail = r#"say what to add or to remove: {"add": ["example.com"]}"#;
        body.faults.push(fault(String::new(), "missing_field", detail.to_owned()));
    }
    if body.faults.is_empty() {
        return Ok((body.add, body.remove));
    }
    body.faults.append(&mut body.doubts);
    Err(body.faults)
}

/// What was read of a body.
struct Body<'s> {
    suffixes: &'s PublicSuffixes,
    add: Vec<ListedEntry>,
    remove: Vec<Entry>,
    faults: Vec<ErrorPart>,
    /// Faults only if the widget does not have the entry yet: it has become a public suffix since it was listed, perhaps.
    /// The writer knows.
    doubts: Vec<ErrorPart>,
}

impl Body<'_> {
    /// Reads each element of a list.
    fn each(&mut self, list: &RawValue, pointer: &str, read: fn(&mut Self, &RawValue, &str)) {
        let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(list.get()) else {
            let detail = r#"this is a list of entries, such as ["example.com"]"#;
            return self.faults.push(fault(pointer.to_owned(), "invalid_type", detail.to_owned()));
        };
        for (number, value) in elements.into_iter().enumerate() {
            read(self, value, &format!("{pointer}/{number}"));
        }
    }

    /// An entry as it stands in a document.
    fn added(&mut self, value: &RawValue, pointer: &str) {
        const PLACE: &str = "/allowed_domains/0";
        let faults = match listed(value.get(), self.suffixes) {
            Ok(listed) => return self.add.extend(listed),
            Err(faults) => faults,
        };
        let renewed = match faults.iter().all(|fault| fault.code == "public_suffix") {
            true => renewed(value, self.suffixes),
            false => None,
        };
        let faults = faults.into_iter().map(|DocumentFault { pointer: place, code, detail }| {
            let place = place.strip_prefix(PLACE).unwrap_or_default();
            fault(format!("{pointer}{place}"), code, detail)
        });
        match renewed {
            Some(listed) => {
                self.add.push(listed);
                self.doubts.extend(faults);
            }
            None => self.faults.extend(faults),
        }
    }

    /// The pattern of an entry that is to go.
    fn removed(&mut self, value: &RawValue, pointer: &str) {
        let Ok(text) = serde_json::from_str::<String>(value.get()) else {
            let detail = "an entry to remove is its pattern as text, such as \"example.com\"";
            return self.faults.push(fault(pointer.to_owned(), "invalid_type", detail.to_owned()));
        };
        match listed_before(&text, self.suffixes) {
            Ok(entry) => self.remove.push(entry),
            Err(error) => self.faults.push(fault(pointer.to_owned(), error.code.as_str(), error.to_string())),
        }
    }
}

/// The entry of a document that has only this one.
fn listed(entry: &str, suffixes: &PublicSuffixes) -> Result<Option<ListedEntry>, Vec<DocumentFault>> {
    let document = format!(r#"{{"id":"w","allowed_domains":[{entry}]}}"#);
    Widget::parse(document.as_bytes(), suffixes).map(|widget| widget.allowed_domains.into_iter().next())
}

/// An entry whose only fault is that it is a public suffix.
fn renewed(value: &RawValue, suffixes: &PublicSuffixes) -> Option<ListedEntry> {
    const OTHER: &str = "example.com";
    let mut value: Value = serde_json::from_str(value.get()).ok()?;
    let pattern = match &mut value {
        Value::Object(fields) => fields.get_mut("pattern")?,
        text => text,
    };
    let entry = listed_before(pattern.as_str()?, suffixes).ok()?;
    *pattern = OTHER.into();
    let listed = listed(&value.to_string(), suffixes).ok()??;
    Some(ListedEntry { entry, ..listed })
}

fn unknown(name: &str, pointer: String) -> ErrorPart {
    let detail = match input::nearest(name, MEMBERS.into_iter()) {
        Some(near) => format!("unknown field `{}`; did you mean `{near}`?", name.escape_debug()),
        None => format!("unknown field `{}`, expected `add` or `remove`", name.escape_debug()),
    };
    fault(pointer, "unknown_field", detail)
}

fn fault(pointer: String, code: &'static str, detail: String) -> ErrorPart {
    ErrorPart { pointer, code, detail, ..ErrorPart::default() }
}

/// BodyMembers of an object, in their order; a name may stand several times.
struct BodyMembers<'j>(Vec<(String, &'j RawValue)>);

impl<'de: 'j, 'j> Deserialize<'de> for BodyMembers<'j> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BodyVisitor;

        impl<'de> Visitor<'de> for BodyVisitor {
            type Value = BodyMembers<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<BodyMembers<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(BodyMembers(members))
            }
        }

        deserializer.deserialize_map(BodyVisitor)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn faults(json: &str) -> Vec<(String, &'static str)> {
        let parts = read(json.as_bytes(), PublicSuffixes::shipped()).unwrap_err();
        parts.into_iter().map(|part| (part.pointer, part.code)).collect()
    }

    #[test]
    fn entries_are_read_as_in_a_document() {
        let body = br#"{"remove": ["B.example:443", "*.vercel.app"],
            "add": ["a.example", {"pattern": "c.example", "expires_at": "2030-01-01T00:00:00Z", "note": "n"},
                    {"pattern": "*.github.io", "note": "listed before"}]}"#;
        let (add, remove) = read(body, PublicSuffixes::shipped()).unwrap();
        let texts: Vec<String> = add.iter().map(|listed| listed.entry.to_string()).collect();
        assert_eq!(texts, ["a.example", "c.example", "*.github.io"]);
        assert_eq!(add[1].note.as_deref(), Some("n"));
        assert_eq!(add[2].note.as_deref(), Some("listed before"));
        assert!(add[1].expires_at.is_some() && add[2].expires_at.is_none());
        let texts: Vec<String> = remove.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["b.example", "*.vercel.app"]);
        assert!(read(br#"{"add": []}"#, PublicSuffixes::shipped()).is_ok());
    }

    #[test]
    fn every_fault_has_its_place() {
        let body = r#"{"ad": [], "add": ["a b", "ok.example", {"pattern": "*", "not": 1}, 7, {"pattern": "c.example",
            "expires_at": "soon"}], "remove": [{"pattern": "a.example"}, "*foo.com"], "remove": [], "x/y": 1}"#;
        let told = faults(body);
        let has = |pointer: &str, code: &str| told.iter().any(|(at, kind)| at == pointer && *kind == code);
        for (pointer, code) in [
            ("/ad", "unknown_field"),
            ("/add/0", "whitespace"),
            ("/add/3", "invalid_type"),
            ("/add/4/expires_at", "invalid_expires_at"),
            ("/remove/0", "invalid_type"),
            ("/remove", "duplicate_field"),
            ("/x~1y", "unknown_field"),
        ] {
            assert!(has(pointer, code), "{pointer} {code}: {told:?}");
        }
        assert!(told.iter().any(|(at, _)| at == "/add/2/not"), "{told:?}");
        assert!(told.iter().any(|(at, _)| at == "/remove/1"), "{told:?}");
        assert!(!told.iter().any(|(at, _)| at == "/add/1"), "{told:?}");
        assert_eq!(faults("{}"), [(String::new(), "missing_field")]);
        assert_eq!(faults("[]"), [(String::new(), "invalid_type")]);
        assert_eq!(faults("{"), [(String::new(), "invalid_json")]);
        assert_eq!(faults(r#"{"add": "a.example"}"#), [("/add".to_owned(), "invalid_type")]);
        assert_eq!(faults(r#"{"add": null}"#), [("/add".to_owned(), "invalid_type")]);
    }
}
