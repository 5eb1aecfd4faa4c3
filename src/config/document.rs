//! Parsed configuration: a tree of values that know their place in the file.
//!
//! The tree is read by hand and not with serde, because a deserialiser stops at the first error. An operator
//! should see all of them at once.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::{ConfigFault, ConfigPlace};
use super::syntax;

/// Source of a value: a byte offset into the text, or an environment variable.
#[derive(Clone, Debug)]
pub(super) enum ValueSource {
    Offset(usize),
    Variable(Arc<str>),
    Nowhere,
}

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub spot: ValueSource,
    pub value: ConfigValue,
}

#[derive(Clone, Debug)]
pub(super) enum ConfigValue {
    String(String),
    /// A whole number; `None` if it doesn't fit into 64 bits.
    Integer(Option<i64>),
    Boolean(bool),
    Array(Vec<Node>),
    Table(Entries),
    /// A type that no setting has, by name.
    Other(&'static str),
}

/// Keys of a table, each with the place of the key itself.
pub(super) type Entries = BTreeMap<String, (ValueSource, Node)>;

impl ConfigValue {
    /// The kind of value with its article, for messages.
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

/// Configuration while it is read: its name and text, and the errors and warnings so far.
pub(super) struct ConfigDocument<'t> {
    file: Arc<str>,
    text: &'t str,
    faults: RefCell<Vec<ConfigFault>>,
    warnings: RefCell<Vec<ConfigFault>>,
    unknown_key: Cell<bool>,
}

impl<'t> ConfigDocument<'t> {
    pub fn new(file: &str, text: &'t str) -> Self {
        Self {
            file: file.into(),
            text,
            faults: RefCell::default(),
            warnings: RefCell::default(),
            unknown_key: Cell::new(false),
        }
    }

    /// Parses the text. A fault of its syntax is noted, and then there is no tree.
    pub fn parse(&self) -> Option<Entries> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        if let Some((offset, detail)) = syntax::cause(self.text, &errors) {
            self.fault(&ValueSource::Offset(offset), detail);
        }
        errors.is_empty().then(|| entries(table.into_inner(), &|span| ValueSource::Offset(span)))
    }

    pub fn fault(&self, spot: &ValueSource, detail: impl Into<String>) {
        self.faults.borrow_mut().push(ConfigFault { place: self.place(spot), detail: detail.into() });
    }

    /// Notes a fault that is a key nobody knows.
    pub fn unknown_key(&self, spot: &ValueSource, detail: String) {
        self.unknown_key.set(true);
        self.fault(spot, detail);
    }

    pub fn has_unknown_key(&self) -> bool {
        self.unknown_key.get()
    }

    pub fn warn(&self, spot: &ValueSource, detail: impl Into<String>) {
        self.warnings.borrow_mut().push(ConfigFault { place: self.place(spot), detail: detail.into() });
    }

    /// The faults and the warnings.
    pub fn finish(self) -> (Vec<ConfigFault>, Vec<ConfigFault>) {
        let mut warnings = self.warnings.into_inner();
        warnings.sort();
        (self.faults.into_inner(), warnings)
    }

    pub fn place(&self, spot: &ValueSource) -> ConfigPlace {
        match spot {
            ValueSource::Nowhere => ConfigPlace::File(self.file.clone()),
            ValueSource::Variable(name) => ConfigPlace::Variable(name.clone()),
            ValueSource::Offset(offset) => {
                let before = self.text.get(..*offset).unwrap_or(self.text);
                let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
                let line = before.matches('\n').count() + 1;
                let column = before.get(line_start..).map_or(0, |part| part.chars().count()) + 1;
                ConfigPlace::Line { file: self.file.clone(), line, column }
            }
        }
    }
}

/// The value of an environment variable: TOML if it parses as TOML, else a string.
pub(super) fn variable_value(variable: &Arc<str>, text: &str) -> Node {
    let spot = |_: usize| ValueSource::Variable(variable.clone());
    match DeValue::parse(text) {
        Ok(value) => node(value, &spot),
        Err(_) => Node { spot: spot(0), value: ConfigValue::String(text.to_owned()) },
    }
}

fn node(spanned: Spanned<DeValue<'_>>, spot: &dyn Fn(usize) -> ValueSource) -> Node {
    let start = spanned.span().start;
    let value = match spanned.into_inner() {
        DeValue::String(text) => ConfigValue::String(text.into_owned()),
        DeValue::Integer(number) => {
            ConfigValue::Integer(i64::from_str_radix(number.as_str(), number.radix()).ok())
        }
        DeValue::Boolean(flag) => ConfigValue::Boolean(flag),
        DeValue::Array(items) => ConfigValue::Array(items.into_iter().map(|item| node(item, spot)).collect()),
        DeValue::Table(table) => ConfigValue::Table(entries(table, spot)),
        DeValue::Float(_) => ConfigValue::Other("a number with a fraction"),
        DeValue::Datetime(_) => ConfigValue::Other("a date"),
    };
    Node { spot: spot(start), value }
}

fn entries(table: DeTable<'_>, spot: &dyn Fn(usize) -> ValueSource) -> Entries {
    let entry = |(key, value): (Spanned<_>, _)| {
        let key_spot = spot(key.span().start);
        let name: std::borrow::Cow<'_, str> = key.into_inner();
        (name.into_owned(), (key_spot, node(value, spot)))
    };
    table.into_iter().map(entry).collect()
}

/// The places of all values in the tree, without tables, by dotted name: `edge.listen`, `rules.store.path`.
pub(super) fn stated(document: &ConfigDocument<'_>, entries: &Entries) -> BTreeMap<String, ConfigPlace> {
    let mut places = BTreeMap::new();
    collect(document, entries, "", &mut places);
    places
}

fn collect(
    document: &ConfigDocument<'_>,
    entries: &Entries,
    prefix: &str,
    places: &mut BTreeMap<String, ConfigPlace>,
) {
    for (key, (_, node)) in entries {
        let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match &node.value {
            ConfigValue::Table(inner) => collect(document, inner, &name, places),
            _ => {
                places.insert(name, document.place(&node.spot));
            }
        }
    }
}
