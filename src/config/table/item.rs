//! One value: what it must be, and what is said when it isn't.

use std::fmt::Display;

use super::Table;
use crate::config::document::{Document, Node, Spot, Value};

/// One value with its dotted name.
pub(in crate::config) struct Item<'d> {
    pub(super) document: &'d Document<'d>,
    pub(super) name: String,
    pub(super) node: &'d Node,
    /// Is it one of an array's?
    pub(super) member: bool,
}

impl<'d> Item<'d> {
    pub fn spot(&self) -> &'d Spot {
        &self.node.spot
    }

    /// Notes a fault of this value.
    pub fn fault(&self, detail: impl Display) {
        self.document.fault(self.spot(), format!("{}: {detail}", self.name));
    }

    fn mismatch(&self, wanted: &str) {
        self.fault(format!("must be {wanted}, not {}", self.node.value.kind()));
    }

    pub fn boolean(self) -> Option<bool> {
        match self.node.value {
            Value::Boolean(flag) => Some(flag),
            _ => {
                self.mismatch("true or false");
                None
            }
        }
    }

    /// A whole number within bounds, both included.
    pub fn count(self, least: usize, most: usize) -> Option<usize> {
        let number = match self.node.value {
            Value::Integer(Some(number)) => usize::try_from(number).ok(),
            Value::Integer(None) => None,
            _ => {
                self.mismatch("a whole number");
                return None;
            }
        };
        let bounded = number.filter(|number| (least..=most).contains(number));
        if bounded.is_none() {
            self.fault(format!("must be from {least} to {most}"));
        }
        bounded
    }

    /// A string that `parse` understands; its error says what would be right.
    pub fn text<T>(self, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        match &self.node.value {
            Value::String(text) => parse(text).map_err(|detail| self.fault(detail)).ok(),
            _ => {
                self.mismatch("a string");
                None
            }
        }
    }

    /// A string or number with a unit. A bare number gets as far as `parse`, which knows the units to offer.
    pub fn quantity<T>(self, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        match self.node.value {
            Value::Integer(Some(number)) => {
                parse(&number.to_string()).map_err(|detail| self.fault(detail)).ok()
            }
            _ => self.text(parse),
        }
    }

    /// One of a few words.
    pub fn choice<T: Copy>(self, words: &[(&str, T)]) -> Option<T> {
        self.text(|text| {
            let found = words.iter().find(|(word, _)| *word == text);
            found.map(|(_, value)| *value).ok_or_else(|| {
                let known: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
                match known.as_slice() {
                    [one, other] => format!("'{text}' is not known; write {one} or {other}"),
                    _ => format!("'{text}' is not known; write one of {}", known.join(", ")),
                }
            })
        })
    }

    /// The members of an array; `example` shows one that is right.
    pub fn list(self, example: &str) -> Option<Vec<Item<'d>>> {
        let Value::Array(nodes) = &self.node.value else {
            self.fault(format!("must be an array such as {example}, not {}", self.node.value.kind()));
            return None;
        };
        let member = |node| Item { document: self.document, name: self.name.clone(), node, member: true };
        Some(nodes.iter().map(member).collect())
    }

    /// An array of strings, each read by `parse` and kept with its place. All faults are noted.
    pub fn texts<T>(
        self,
        example: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<(T, &'d Spot)>> {
        let read = |item: Item<'d>| {
            let spot = item.spot();
            item.text(&parse).map(|value| (value, spot))
        };
        Some(self.list(example)?.into_iter().filter_map(read).collect())
    }

    /// Like [`Self::texts`], for an array that can't be empty.
    pub fn some_texts<T>(
        self,
        example: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<(T, &'d Spot)>> {
        if matches!(&self.node.value, Value::Array(nodes) if nodes.is_empty()) {
            self.fault(format!("can't be empty; write it such as {example}"));
            return None;
        }
        self.texts(example, parse)
    }

    /// A table.
    pub fn table<T>(self, read: impl FnOnce(&Table<'d>) -> T) -> Option<T> {
        self.as_table().map(|table| table.read(read))
    }

    pub fn is_table(&self) -> bool {
        matches!(self.node.value, Value::Table(_))
    }

    pub(super) fn as_table(&self) -> Option<Table<'d>> {
        let Value::Table(entries) = &self.node.value else {
            self.mismatch("a table");
            return None;
        };
        let header =
            if self.member { format!("in [[{}]]", self.name) } else { format!("in [{}]", self.name) };
        Some(Table::new(self.document, self.name.clone(), header, self.spot(), entries))
    }
}

/// The values of a list in which none may stand twice.
pub(in crate::config) fn distinct<T: PartialEq + Display>(
    document: &Document<'_>,
    values: Vec<(T, &Spot)>,
) -> Vec<T> {
    let mut kept: Vec<T> = Vec::with_capacity(values.len());
    for (value, spot) in values {
        if kept.contains(&value) {
            document.fault(spot, format!("'{value}' is listed twice; leave one out"));
        } else {
            kept.push(value);
        }
    }
    kept
}

/// The known name that was probably meant.
pub(in crate::config) fn closest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let folded = name.to_ascii_lowercase().replace('-', "_");
    let distance = |candidate: &str| strsim::damerau_levenshtein(&folded, candidate);
    let best = known.iter().copied().min_by_key(|candidate| distance(candidate))?;
    (distance(best) <= 1 + folded.len() / 5).then_some(best)
}
