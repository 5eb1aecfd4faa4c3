//! The snapshot itself, and reading it.

use std::fmt;

use super::census::Census;
use super::record::WidgetRecord;
use super::table::RecordTable;
use crate::rules::documents::canonical;
use crate::rules::fingerprint::FingerprintKey;
use crate::rules::tombstone::Tombstone;
use embedgate_policy::compiled::WidgetRules;
use embedgate_policy::widget::Widget;

/// Immutable snapshot of all widgets at one instant, and of the tombstones of deleted ones.
#[derive(Clone, Default)]
pub struct RuleBook {
    pub(super) generation: u64,
    /// Records ([`WidgetRecord`]) by id.
    pub(super) widgets: RecordTable,
    /// Tombstones by id.
    pub(super) deleted: RecordTable,
    pub(super) census: Census,
    pub(super) key: FingerprintKey,
}

impl RuleBook {
    /// A book without widgets, generation 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// This book's version on this edge: one more with every swap, 0 before the first.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The rules of a widget: one hash lookup, no allocation. Texts that are no id are simply not found.
    #[inline]
    pub fn get<'a>(&'a self, id: &'a str) -> Option<WidgetRules<'a>> {
        self.stored(id).map(|stored| stored.rules)
    }

    /// The tombstone of a deleted widget.
    pub fn tombstone(&self, id: &str) -> Option<Tombstone> {
        Tombstone::read(self.deleted.get(id.as_bytes())?.1)
    }

    /// Whether this document is the one in force, revisions aside.
    pub fn holds(&self, widget: &Widget) -> bool {
        let fingerprint = || self.key.fingerprint(&canonical(&mut widget.clone()));
        self.stored(widget.id.as_str()).is_some_and(|stored| stored.fingerprint == fingerprint())
    }

    /// How many widgets there are.
    pub fn len(&self) -> usize {
        self.widgets.len()
    }

    /// Whether there is no widget at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every widget's rules, in no particular order.
    pub fn widgets(&self) -> impl Iterator<Item = WidgetRules<'_>> {
        self.all_stored().map(|stored| stored.rules)
    }

    /// Every deleted widget that is remembered, in no particular order.
    pub fn tombstones(&self) -> impl Iterator<Item = (&str, Tombstone)> {
        self.deleted
            .iter()
            .filter_map(|(id, bytes)| Some((str::from_utf8(id).ok()?, Tombstone::read(bytes)?)))
    }

    /// How many widgets of which kind.
    pub fn census(&self) -> &Census {
        &self.census
    }

    /// The key of its fingerprints.
    pub(in crate::rules) fn key(&self) -> FingerprintKey {
        self.key
    }

    /// This book under another number.
    pub(in crate::rules) fn at_generation(self, generation: u64) -> Self {
        Self { generation, ..self }
    }

    #[inline]
    pub(super) fn stored<'a>(&'a self, id: &'a str) -> Option<WidgetRecord<'a>> {
        // The same id as the one in the book, and known to be a text.
        let (_, record) = self.widgets.get(id.as_bytes())?;
        WidgetRecord::read(id, record)
    }

    pub(super) fn all_stored(&self) -> impl Iterator<Item = WidgetRecord<'_>> {
        self.widgets.iter().filter_map(|(id, record)| WidgetRecord::read(str::from_utf8(id).ok()?, record))
    }
}

impl fmt::Debug for RuleBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuleBook")
            .field("generation", &self.generation)
            .field("widgets", &self.widgets.len())
            .field("deleted", &self.deleted.len())
            .finish_non_exhaustive()
    }
}
