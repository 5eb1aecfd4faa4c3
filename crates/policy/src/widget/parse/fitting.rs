//! Documents whose shape does not fit: every fault of it, and what fits all the same, for the checks of its values.
//!
//! A deserialiser stops at its first error. So each member and each element is given to it alone: what it says of one
//! is the same as in the whole document.

use std::collections::HashMap;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::shape::{self, EntryShape};
use crate::json_position::push_token;
use crate::limits::LimitPart;
use crate::widget::{Capability, DocumentFault};

/// Maximum number of faults of one document's shape. Whoever has more has written another kind of document.
const MOST_FAULTS: usize = 100;

/// What of a document fits.
#[derive(Debug, Default)]
pub(super) struct Fitting<'j> {
    pub(super) id: Option<String>,
    pub(super) lines: Vec<(usize, EntryShape<'j>)>,
    /// The number of lines, also of those that do not fit.
    pub(super) count: usize,
    pub(super) has_voice: bool,
    pub(super) revision: Option<u64>,
}

/// What fits, and every fault of the shape, at least one.
///
/// # Errors
///
/// The only fault of a text that is no JSON object.
pub(super) fn of(json: &[u8]) -> Result<(Fitting<'_>, Vec<DocumentFault>), DocumentFault> {
    let members: MemberList<'_> = match serde_json::from_slice::<&RawValue>(json) {
        Err(error) => return Err(shape::syntax_fault(json, &error)),
        Ok(whole) => match MemberList::of(whole) {
            Some(members) => members,
            None => return Err(shape::first_fault(json).unwrap_or_else(unknown)),
        },
    };
    let mut reader = ShapeReader { faults: Vec::new(), more: false };
    let mut fitting = Fitting::default();
    let has_id = members.0.iter().any(|(key, _)| key == "id");
    for (key, value) in reader.once_each("", members) {
        reader.field(&key, value, &mut fitting);
    }
    if !has_id {
        reader.note(document_fault("{}"));
    }
    let mut faults = reader.faults;
    if reader.more {
        let detail = format!("there are more faults than these {MOST_FAULTS}; mend these first");
        faults.push(DocumentFault { pointer: String::new(), code: "more_faults", detail });
    }
    if faults.is_empty() {
        // What no member shows by itself.
        faults.push(shape::first_fault(json).unwrap_or_else(unknown));
    }
    Ok((fitting, faults))
}

fn unknown() -> DocumentFault {
    let detail = "not a widget: an object with at least {\"id\": \"...\"}".to_owned();
    DocumentFault { pointer: String::new(), code: "invalid_document", detail }
}

/// Reader of the members and elements, one by one.
struct ShapeReader {
    faults: Vec<DocumentFault>,
    /// There are faults that are not told.
    more: bool,
}

impl ShapeReader {
    fn field<'j>(&mut self, key: &str, value: &'j RawValue, fitting: &mut Fitting<'j>) {
        match key {
            "allowed_domains" => {
                let Some(lines) = elements(value) else { return self.member("", key, value) };
                fitting.count = lines.len();
                for (index, line) in lines.into_iter().enumerate() {
                    self.line(index, line);
                    fitting.lines.extend(read(line).map(|line| (index, line)));
                }
            }
            "capabilities" => {
                let Some(capabilities) = elements(value) else { return self.member("", key, value) };
                fitting.has_voice = capabilities.iter().any(|one| read(one) == Some(Capability::Voice));
                for (index, capability) in capabilities.into_iter().enumerate() {
                    // Alone in its list, so its number is put right.
                    let fault =
                        document_fault(&format!("{{\"capabilities\":[{}],\"id\":\"x\"}}", capability.get()));
                    self.note(
                        fault.map(|fault| DocumentFault { pointer: format!("/{key}/{index}"), ..fault }),
                    );
                }
            }
            "labels" => {
                let Some(labels) = MemberList::of(value) else { return self.member("", key, value) };
                for (label, value) in self.once_each("/labels", labels) {
                    let label = serde_json::Value::from(label);
                    self.note(document_fault(&format!("{{\"labels\":{{{label}:{value}}},\"id\":\"x\"}}")));
                }
            }
            "limits" => self.limits(value),
            _ => {
                match key {
                    "id" => fitting.id = read(value),
                    "revision" => fitting.revision = read(value),
                    _ => {}
                }
                self.member("", key, value);
            }
        }
    }

    /// An element of `allowed_domains`.
    fn line(&mut self, index: usize, line: &RawValue) {
        let at = format!("/allowed_domains/{index}");
        let Some(members) = MemberList::of(line) else {
            let fault = shape::first_fault_of_entry(line.get().as_bytes());
            return self.note(fault.map(|fault| moved(&at, fault)));
        };
        if !members.0.iter().any(|(key, _)| key == "pattern") {
            self.note(shape::first_fault_of_entry(b"{}").map(|fault| moved(&at, fault)));
        }
        for (key, value) in self.once_each(&at, members) {
            let name = serde_json::Value::from(key.as_str());
            let rest = if key == "pattern" { "" } else { ",\"pattern\":\"x\"" };
            let alone = format!("{{{name}:{value}{rest}}}");
            self.note(shape::first_fault_of_entry(alone.as_bytes()).map(|fault| moved(&at, fault)));
        }
    }

    /// The member `limits`.
    fn limits(&mut self, limits: &RawValue) {
        let Some(members) = MemberList::of(limits) else { return self.member("", "limits", limits) };
        for (name, value) in self.once_each("/limits", members) {
            let quoted = serde_json::Value::from(name.as_str());
            let is_part = LimitPart::ALL.iter().any(|part| part.as_str() == name);
            let Some(kinds) = MemberList::of(value).filter(|_| is_part) else {
                self.note(document_fault(&format!("{{\"limits\":{{{quoted}:{value}}},\"id\":\"x\"}}")));
                continue;
            };
            for (kind, value) in self.once_each(&format!("/limits/{name}"), kinds) {
                let kind = serde_json::Value::from(kind);
                let alone = format!("{{\"limits\":{{{quoted}:{{{kind}:{value}}}}},\"id\":\"x\"}}");
                self.note(document_fault(&alone));
            }
        }
    }

    /// A member of the document.
    fn member(&mut self, at: &str, key: &str, value: &RawValue) {
        let name = serde_json::Value::from(key);
        let rest = if key == "id" { "" } else { ",\"id\":\"x\"" };
        let fault = document_fault(&format!("{{{name}:{value}{rest}}}"));
        self.note(fault.map(|fault| moved(at, fault)));
    }

    /// The members of an object, each key once: of a repeated one, which is a fault, the last. It is where the fault is
    /// shown.
    fn once_each<'j>(
        &mut self,
        at: &str,
        MemberList(members): MemberList<'j>,
    ) -> Vec<(String, &'j RawValue)> {
        let mut last: HashMap<String, usize> = HashMap::with_capacity(members.len());
        for (index, (key, _)) in members.iter().enumerate() {
            if last.insert(key.clone(), index).is_some() {
                let mut pointer = at.to_owned();
                push_token(&mut pointer, key);
                let detail = format!("duplicate field `{key}`");
                self.note(Some(DocumentFault { pointer, code: "duplicate_field", detail }));
            }
        }
        let members = members.into_iter().enumerate();
        members.filter(|(index, (key, _))| last.get(key) == Some(index)).map(|(_, member)| member).collect()
    }

    fn note(&mut self, fault: Option<DocumentFault>) {
        let Some(fault) = fault else { return };
        if self.faults.len() < MOST_FAULTS {
            self.faults.push(fault);
        } else {
            self.more = true;
        }
    }
}

fn document_fault(alone: &str) -> Option<DocumentFault> {
    shape::first_fault(alone.as_bytes())
}

/// The fault of a part, as one of the document.
fn moved(at: &str, fault: DocumentFault) -> DocumentFault {
    DocumentFault { pointer: format!("{at}{}", fault.pointer), ..fault }
}

/// The value as this type; `None` where it is none.
fn read<'j, T: Deserialize<'j>>(value: &'j RawValue) -> Option<T> {
    serde_json::from_str(value.get()).ok()
}

/// The elements of an array; `None` where the value is none.
fn elements(value: &RawValue) -> Option<Vec<&RawValue>> {
    read(value)
}

/// MemberList of an object, in their order and with repeated keys.
struct MemberList<'j>(Vec<(String, &'j RawValue)>);

impl<'j> MemberList<'j> {
    /// The members of an object; `None` where the value is none.
    fn of(value: &'j RawValue) -> Option<Self> {
        read(value)
    }
}

impl<'de: 'j, 'j> Deserialize<'de> for MemberList<'j> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(Collect).map(Self)
    }
}
