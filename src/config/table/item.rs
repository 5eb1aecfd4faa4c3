//! Values of the configuration and their checks.

use std::fmt::Display;

use super::ConfigTable;
use crate::config::document::{ConfigDocument, ConfigValue, Node, ValueSource};

/// Value of the configuration with its dotted name.
pub(in crate::config) struct Item<'d> {
    pub(super) document: &'d ConfigDocument<'d>,
    pub(super) name: String,
    pub(super) node: &'d Node,
    /// Whether the value is an element of an array.
    pub(super) member: bool,
}

impl<'d> Item<'d> {
    pub fn spot(&self) -> &'d ValueSource {
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
            ConfigValue::Boolean(flag) => Some(flag),
            _ => {
                self.mismatch("true or false");
                None
            }
        }
    }

    /// A whole number within bounds, inclusive.
    pub fn count(self, least: usize, most: usize) -> Option<usize> {
        let number = match self.node.value {
            ConfigValue::Integer(Some(number)) => usize::try_from(number).ok(),
            ConfigValue::Integer(None) => None,
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

    /// A string that `parse` accepts; its error says what would be right.
    pub fn text<T>(self, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        match &self.node.value {
            ConfigValue::String(text) => parse(text).map_err(|detail| self.fault(detail)).ok(),
            _ => {
                self.mismatch("a string");
                None
            }
        }
    }

    /// A string or number with a unit. A bare number is passed to `parse`, whose error names the units.
    pub fn quantity<T>(self, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        match self.node.value {
            ConfigValue::Integer(Some(number)) => {
                parse(&number.to_string()).map_err(|detail| self.fault(detail)).ok()
            }
            _ => self.text(parse),
        }
    }

    /// One of some words.
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

    /// The elements of an array; `example` shows a valid one.
    pub fn list(self, example: &str) -> Option<Vec<Item<'d>>> {
        let ConfigValue::Array(nodes) = &self.node.value else {
            self.fault(format!("must be an array such as {example}, not {}", self.node.value.kind()));
            return None;
        };
        let member = |node| Item { document: self.document, name: self.name.clone(), node, member: true };
        Some(nodes.iter().map(member).collect())
    }

    /// The strings of an array, each parsed and with its place. All faults are noted.
    pub fn texts<T>(
        self,
        example: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<(T, &'d ValueSource)>> {
        let read = |item: Item<'d>| {
            let spot = item.spot();
            item.text(&parse).map(|value| (value, spot))
        };
        Some(self.list(example)?.into_iter().filter_map(read).collect())
    }

    /// Like [`Self::texts`], but the array can't be empty.
    pub fn some_texts<T>(
        self,
        example: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<(T, &'d ValueSource)>> {
        if matches!(&self.node.value, ConfigValue::Array(nodes) if nodes.is_empty()) {
            self.fault(format!("can't be empty; write it like {example}"));
            return None;
        }
        self.texts(example, parse)
    }

    /// A table.
    pub fn table<T>(self, read: impl FnOnce(&ConfigTable<'d>) -> T) -> Option<T> {
        self.as_table().map(|table| table.read(read))
    }

    pub fn is_table(&self) -> bool {
        matches!(self.node.value, ConfigValue::Table(_))
    }

    pub(super) fn as_table(&self) -> Option<ConfigTable<'d>> {
        let ConfigValue::Table(entries) = &self.node.value else {
            self.mismatch("a table");
            return None;
        };
        let header =
            if self.member { format!("in [[{}]]", self.name) } else { format!("in [{}]", self.name) };
        Some(ConfigTable::new(self.document, self.name.clone(), header, self.spot(), entries))
    }
}

/// The values of a list, which must not repeat.
pub(in crate::config) fn distinct<T: PartialEq + Display>(
    document: &ConfigDocument<'_>,
    values: Vec<(T, &ValueSource)>,
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
