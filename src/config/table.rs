//! Reader of the parsed tree: tables and items note every fault with its place, and go on.

use std::cell::{Cell, RefCell};

use super::document::{ConfigDocument, Entries, Node, ValueSource};

mod item;

pub(super) use item::{Item, closest, distinct};

/// Table of the configuration. The keys that are read are the known ones; any other key is a fault.
pub(super) struct ConfigTable<'d> {
    document: &'d ConfigDocument<'d>,
    name: String,
    header: String,
    spot: ValueSource,
    entries: &'d Entries,
    asked: RefCell<Vec<&'static str>>,
    any_key: Cell<bool>,
}

impl<'d> ConfigTable<'d> {
    /// Reads the outermost table of the document.
    pub fn root<T>(
        document: &'d ConfigDocument<'d>,
        entries: &'d Entries,
        read: impl FnOnce(&Self) -> T,
    ) -> T {
        Self::new(document, String::new(), "at the top level".to_owned(), &ValueSource::Nowhere, entries)
            .read(read)
    }

    fn new(
        document: &'d ConfigDocument<'d>,
        name: String,
        header: String,
        spot: &ValueSource,
        entries: &'d Entries,
    ) -> Self {
        let (asked, any_key) = (RefCell::default(), Cell::default());
        Self { document, name, header, spot: spot.clone(), entries, asked, any_key }
    }

    fn read<T>(self, read: impl FnOnce(&Self) -> T) -> T {
        let result = read(&self);
        self.refuse_unknown();
        result
    }

    fn refuse_unknown(&self) {
        if self.any_key.get() {
            return;
        }
        let asked = self.asked.borrow();
        for (key, (spot, _)) in self.entries {
            if asked.contains(&key.as_str()) {
                continue;
            }
            let right = match closest(key, &asked) {
                Some(known) => format!("did you mean '{known}'?"),
                None => format!("known keys: {}", asked.join(", ")),
            };
            self.document.unknown_key(spot, format!("unknown key '{key}' {}; {right}", self.header));
        }
    }

    /// The value of a key, if it is there.
    pub fn item(&self, key: &'static str) -> Option<Item<'d>> {
        self.asked.borrow_mut().push(key);
        self.entries.get(key).map(|(_, node)| self.child(key, node))
    }

    /// The value of a required key.
    pub fn required(&self, key: &'static str, example: &str) -> Option<Item<'d>> {
        let item = self.item(key);
        if item.is_none() {
            self.fault(&self.spot, format!("'{key}' is missing {}; write {key} = {example}", self.header));
        }
        item
    }

    /// The parsed value of a key, or its default.
    pub fn or<T>(&self, key: &'static str, read: impl FnOnce(Item<'d>) -> Option<T>, default: T) -> T {
        self.item(key).and_then(read).unwrap_or(default)
    }

    /// Reads a table inside this one. If it is left out, an empty one is read, so that all defaults come from
    /// one place.
    pub fn table<T>(&self, key: &'static str, read: impl FnOnce(&ConfigTable<'d>) -> T) -> T {
        const NONE: &Entries = &Entries::new();
        let item = self.item(key);
        let table = item.as_ref().and_then(Item::as_table).unwrap_or_else(|| {
            let spot = item.as_ref().map_or(&ValueSource::Nowhere, Item::spot);
            ConfigTable::new(self.document, self.path(key), format!("in [{}]", self.path(key)), spot, NONE)
        });
        table.read(read)
    }

    /// All keys with their place and value, for a table whose keys are free names.
    pub fn named(&self) -> impl Iterator<Item = (&'d str, &'d ValueSource, Item<'d>)> {
        self.any_key.set(true);
        self.entries.iter().map(|(key, (spot, node))| (key.as_str(), spot, self.child(key, node)))
    }

    pub fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// The place of a key, if it is there.
    pub fn place_of(&self, key: &str) -> Option<&'d ValueSource> {
        self.entries.get(key).map(|(spot, _)| spot)
    }

    /// The table's own place.
    pub fn spot(&self) -> &ValueSource {
        &self.spot
    }

    /// The table's dotted name.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn document(&self) -> &'d ConfigDocument<'d> {
        self.document
    }

    pub fn fault(&self, spot: &ValueSource, detail: impl Into<String>) {
        self.document.fault(spot, detail);
    }

    fn path(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    fn child(&self, key: &str, node: &'d Node) -> Item<'d> {
        Item { document: self.document, name: self.path(key), node, member: false }
    }
}
