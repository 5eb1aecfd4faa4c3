//! The parsed form: a tree of values that remember where they were written.
//!
//! The tree is read by hand and not through serde, because a deserialiser stops at the first fault: an operator
//! should see all of them at once.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::{Fault, Place};

/// Where a value comes from: a byte offset into the text, or an environment variable.
#[derive(Clone, Debug)]
pub(super) enum Spot {
    Offset(usize),
    Variable(Arc<str>),
    Nowhere,
}

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub spot: Spot,
    pub value: Value,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    String(String),
    /// `None` when it doesn't fit 64 bits.
    Integer(Option<i64>),
    Boolean(bool),
    Array(Vec<Node>),
    Table(Entries),
    /// A type that no setting has; its name.
    Other(&'static str),
}

/// A table's keys, each with the place of the key itself.
pub(super) type Entries = BTreeMap<String, (Spot, Node)>;

impl Value {
    /// With its article, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::String(_) => "a string",
            Self::Integer(_) => "a number",
            Self::Boolean(_) => "a boolean",
            Self::Array(_) => "an array",
            Self::Table(_) => "a table",
            Self::Other(kind) => kind,
        }
    }
}

/// One configuration being read: its name and text, and what was found wrong so far.
pub(super) struct Document<'t> {
    file: Arc<str>,
    text: &'t str,
    faults: RefCell<Vec<Fault>>,
    warnings: RefCell<Vec<Fault>>,
}

impl<'t> Document<'t> {
    pub fn new(file: &str, text: &'t str) -> Self {
        Self { file: file.into(), text, faults: RefCell::default(), warnings: RefCell::default() }
    }

    /// The text's tree. Syntax errors become faults, all of them; then the tree is not worth reading.
    pub fn parse(&self) -> Option<Entries> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in &errors {
            let spot = error.span().map_or(Spot::Nowhere, |span| Spot::Offset(span.start));
            self.fault(&spot, format!("not TOML: {}", error.message().replace('\n', ", ")));
        }
        errors.is_empty().then(|| entries(table.into_inner(), &|span| Spot::Offset(span)))
    }

    pub fn fault(&self, spot: &Spot, detail: impl Into<String>) {
        self.faults.borrow_mut().push(Fault { place: self.place(spot), detail: detail.into() });
    }

    pub fn warn(&self, spot: &Spot, detail: impl Into<String>) {
        self.warnings.borrow_mut().push(Fault { place: self.place(spot), detail: detail.into() });
    }

    /// Faults and warnings.
    pub fn finish(self) -> (Vec<Fault>, Vec<Fault>) {
        let mut warnings = self.warnings.into_inner();
        warnings.sort();
        (self.faults.into_inner(), warnings)
    }

    pub fn place(&self, spot: &Spot) -> Place {
        match spot {
            Spot::Nowhere => Place::File(self.file.clone()),
            Spot::Variable(name) => Place::Variable(name.clone()),
            Spot::Offset(offset) => {
                let before = self.text.get(..*offset).unwrap_or(self.text);
                let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
                let line = before.matches('\n').count() + 1;
                let column = before.get(line_start..).map_or(0, |part| part.chars().count()) + 1;
                Place::Line { file: self.file.clone(), line, column }
            }
        }
    }
}

/// A value that an environment variable holds: TOML where it reads as TOML, else its text.
pub(super) fn variable_value(variable: &Arc<str>, text: &str) -> Node {
    let spot = |_: usize| Spot::Variable(variable.clone());
    match DeValue::parse(text) {
        Ok(value) => node(value, &spot),
        Err(_) => Node { spot: spot(0), value: Value::String(text.to_owned()) },
    }
}

fn node(spanned: Spanned<DeValue<'_>>, spot: &dyn Fn(usize) -> Spot) -> Node {
    let start = spanned.span().start;
    let value = match spanned.into_inner() {
        DeValue::String(text) => Value::String(text.into_owned()),
        DeValue::Integer(number) => Value::Integer(i64::from_str_radix(number.as_str(), number.radix()).ok()),
        DeValue::Boolean(flag) => Value::Boolean(flag),
        DeValue::Array(items) => Value::Array(items.into_iter().map(|item| node(item, spot)).collect()),
        DeValue::Table(table) => Value::Table(entries(table, spot)),
        DeValue::Float(_) => Value::Other("a number with a fraction"),
        DeValue::Datetime(_) => Value::Other("a date"),
    };
    Node { spot: spot(start), value }
}

fn entries(table: DeTable<'_>, spot: &dyn Fn(usize) -> Spot) -> Entries {
    let entry = |(key, value): (Spanned<_>, _)| {
        let key_spot = spot(key.span().start);
        let name: std::borrow::Cow<'_, str> = key.into_inner();
        (name.into_owned(), (key_spot, node(value, spot)))
    };
    table.into_iter().map(entry).collect()
}

/// The dotted names of all keys in the tree, tables themselves aside: `edge.listen`, `rules.store.path`.
pub(super) fn stated(entries: &Entries) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    collect(entries, "", &mut names);
    names
}

fn collect(entries: &Entries, prefix: &str, names: &mut BTreeSet<String>) {
    for (key, (_, node)) in entries {
        let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match &node.value {
            Value::Table(inner) => collect(inner, &name, names),
            _ => {
                names.insert(name);
            }
        }
    }
}
