//! Documents of rules files, and the way back from a fault to its line.

use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::snapshot::Snapshot;
use super::text::{RulesText, message};
use crate::rules::error::{FilePosition, RuleFault, SourceError};
use embedgate_policy::json_position::{locate, push_token};
use embedgate_policy::json_syntax::syntax_detail;
use embedgate_policy::suffix::PublicSuffixes;
use embedgate_policy::widget::Widget;

/// Shape that a rules file may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// `{"widgets": [...]}`.
    Collection,
    /// That, or a single widget's document: a folder's files.
    CollectionOrWidget,
}

/// Documents of all rules files, with their positions.
#[derive(Debug)]
pub(super) struct FileDocuments<'a> {
    pub(super) widgets: Vec<Widget>,
    pub(super) positions: DocumentPositions<'a>,
}

/// Positions of the documents, in their order.
#[derive(Debug)]
pub(super) struct DocumentPositions<'a>(Vec<DocumentPosition<'a>>);

/// Position of one document: its file, and its place in that.
#[derive(Debug)]
struct DocumentPosition<'a> {
    source: &'a RulesText,
    json: &'a str,
    /// The number of the document in its file's `widgets`; `None` where it is the whole file.
    element: Option<usize>,
}

/// Reads all files. On failure every fault of every file.
pub(super) fn parse<'a>(
    snapshot: &'a Snapshot,
    suffixes: &PublicSuffixes,
) -> Result<FileDocuments<'a>, SourceError> {
    let shape = if snapshot.is_folder { Shape::CollectionOrWidget } else { Shape::Collection };
    let mut documents = FileDocuments { widgets: Vec::new(), positions: DocumentPositions(Vec::new()) };
    let mut faults = Vec::new();
    for source in &snapshot.texts {
        let mut reader = FileReader { source, suffixes, faults: Vec::new() };
        reader.read(shape, &mut documents);
        faults.append(&mut reader.faults);
    }
    documents.find_doubles(&mut faults);
    if faults.is_empty() { Ok(documents) } else { Err(SourceError::Invalid(faults.into())) }
}

impl DocumentPositions<'_> {
    /// Adds to a fault that names its document by number where that stands.
    pub(super) fn locate(&self, fault: RuleFault) -> RuleFault {
        match fault.index.and_then(|index| self.0.get(index)) {
            Some(position) => position.locate(fault),
            None => fault,
        }
    }
}

impl FileDocuments<'_> {
    /// A widget has one document. Which of two would win is nobody's guess.
    fn find_doubles(&self, faults: &mut Vec<RuleFault>) {
        let mut first: HashMap<&str, &DocumentPosition<'_>> = HashMap::with_capacity(self.widgets.len());
        for (widget, position) in self.widgets.iter().zip(&self.positions.0) {
            let Some(earlier) = first.insert(widget.id.as_str(), position) else { continue };
            let place = earlier.place("/id");
            let fault = RuleFault {
                index: None,
                widget: Some(widget.id.clone()),
                place: None,
                pointer: "/id".into(),
                code: "duplicate_widget",
                detail: format!("widget {} has another document at {place}; keep one of them", widget.id),
            };
            faults.push(position.locate(fault));
        }
    }
}

impl DocumentPosition<'_> {
    /// From a place in the document to one in the file.
    fn locate(&self, fault: RuleFault) -> RuleFault {
        let place = self.place(&fault.pointer);
        let pointer = match self.element {
            Some(element) => format!("/widgets/{element}{}", fault.pointer),
            None => fault.pointer,
        };
        RuleFault { place: Some(place), pointer, ..fault }
    }

    fn place(&self, pointer: &str) -> FilePosition {
        let offset = self.source.offset_of(self.json);
        match locate(self.json, pointer) {
            Some(position) => self.source.place_within(offset, position),
            None => self.source.place(offset),
        }
    }
}

/// Reader of one file.
struct FileReader<'a, 's> {
    source: &'a RulesText,
    suffixes: &'s PublicSuffixes,
    faults: Vec<RuleFault>,
}

impl<'a> FileReader<'a, '_> {
    fn read(&mut self, shape: Shape, documents: &mut FileDocuments<'a>) {
        let json = self.source.text.trim_start_matches('\u{feff}');
        let members = match serde_json::from_str::<Members<'a>>(json) {
            Ok(Members(members)) => members,
            Err(error) => return self.syntax_fault(json, &error),
        };
        let has = |name: &str| members.iter().any(|(key, _)| key == name);
        if shape == Shape::CollectionOrWidget && has("id") && !has("widgets") {
            return self.document(json.trim(), None, documents);
        }
        let mut collection = None;
        for (key, value) in &members {
            match key.as_str() {
                "widgets" if collection.is_none() => collection = Some(*value),
                "widgets" => {
                    self.member_fault(key, value, "duplicate_field", "`widgets` is written twice".into())
                }
                _ => {
                    let detail = format!("unknown field `{key}`: a rules file is {{\"widgets\": [...]}}");
                    self.member_fault(key, value, "unknown_field", detail);
                }
            }
        }
        match collection {
            Some(collection) => self.collection(collection.get(), documents),
            None => {
                let detail = match shape {
                    Shape::Collection => "`widgets` is missing: a rules file is {\"widgets\": [...]}",
                    Shape::CollectionOrWidget => {
                        "neither `widgets` nor `id`: a rules file is {\"widgets\": [...]} or one widget's document"
                    }
                };
                let offset = self.source.offset_of(json.trim_start());
                self.fault(offset, String::new(), "missing_field", detail.into());
            }
        }
    }

    fn collection(&mut self, json: &'a str, documents: &mut FileDocuments<'a>) {
        match serde_json::from_str::<Vec<&'a RawValue>>(json) {
            Ok(elements) => {
                for (index, element) in elements.into_iter().enumerate() {
                    self.document(element.get(), Some(index), documents);
                }
            }
            Err(error) => {
                let place = self.source.place_of_error(self.source.offset_of(json), &error);
                let detail = format!("{}; `widgets` is an array of documents", message(&error));
                self.placed_fault(place, "/widgets".into(), "wrong_type", detail);
            }
        }
    }

    fn document(&mut self, json: &'a str, element: Option<usize>, documents: &mut FileDocuments<'a>) {
        let position = DocumentPosition { source: self.source, json, element };
        match Widget::parse(json.as_bytes(), self.suffixes) {
            Ok(widget) => {
                documents.widgets.push(widget);
                documents.positions.0.push(position);
            }
            Err(faults) => {
                for fault in faults {
                    let fault = RuleFault {
                        index: None,
                        widget: None,
                        place: None,
                        pointer: fault.pointer,
                        code: fault.code,
                        detail: fault.detail,
                    };
                    let located = position.locate(fault);
                    self.faults.push(located);
                }
            }
        }
    }

    fn syntax_fault(&mut self, json: &str, error: &serde_json::Error) {
        let place = self.source.place_of_error(self.source.offset_of(json), error);
        let (code, detail) = match error.is_data() {
            true => ("wrong_type", message(error)),
            false => ("invalid_json", syntax_detail(json, error)),
        };
        self.placed_fault(place, String::new(), code, detail);
    }

    fn member_fault(&mut self, key: &str, value: &RawValue, code: &'static str, detail: String) {
        let mut pointer = String::new();
        push_token(&mut pointer, key);
        self.fault(self.source.offset_of(value.get()), pointer, code, detail);
    }

    fn fault(&mut self, offset: usize, pointer: String, code: &'static str, detail: String) {
        let place = self.source.place(offset);
        self.placed_fault(place, pointer, code, detail);
    }

    fn placed_fault(&mut self, place: FilePosition, pointer: String, code: &'static str, detail: String) {
        let place = Some(place);
        self.faults.push(RuleFault { index: None, widget: None, place, pointer, code, detail });
    }
}

/// The members of the outermost object, in their order and with doubles.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object such as {\"widgets\": [...]}")
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

#[cfg(test)]
mod tests;
