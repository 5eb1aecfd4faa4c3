//! The rule book: an immutable snapshot of every widget's rules.
//!
//! A batch makes a new book that shares all it didn't touch with the old one (see [`table`]), so that a save costs
//! microseconds at any size and readers of the old book are never disturbed. Documents themselves are not kept
//! here: compiled rules are what requests need, a [`Fingerprint`] is what saves need. Rules lie packed, some thirty
//! widgets in one block of bytes ([`leaf`]), and are judged by where they lie: what [`RuleBook::get`] gives is a view.
//!
//! Measured at a million widgets with four entries each (two busy cores): 166 bytes a widget resident, the store's own
//! cache among them, and 171 at most during a start, which takes 0.7 to 0.8 s of processor time on both cores together;
//! an import takes 9.4 µs of it a widget. A look-up that finds nothing in the processor's caches takes 0.7 to 0.9 times
//! as long as one in a `HashMap<Box<str>, _>` with the same keys, and 1.0 to 1.6 times as long as one in a
//! `HashMap<WidgetId, _>`, whose keys lie in the table itself; a whole verdict, from the header line, 1.0 to 1.2 and 1.3
//! to 2.1 times. The record is one miss in main memory: its tag and place are found in an index that stays near, its
//! further lines are asked for together with the first, and the origin is parsed while they come. `make bench-scale`
//! measures again.

use std::fmt;

pub use self::apply::{Applied, ChangeError, Rejection};
pub use self::census::Census;
pub use self::fingerprint::Fingerprint;
pub(in crate::rules) use self::fingerprint::FingerprintKey;
pub(in crate::rules) use self::intake::{Intake, Measure};
pub(in crate::rules) use self::prepared::{Prepared, prepare};
pub(in crate::rules) use self::record::{RECORD_FORMAT, Stored};
use self::table::Table;
pub use self::tombstone::Tombstone;
use crate::policy::decision::WidgetRules;
use crate::policy::widget::Widget;
use crate::rules::documents::canonical;

mod apply;
mod census;
mod draft;
mod fingerprint;
mod intake;
mod leaf;
mod prepared;
mod record;
mod table;
mod tombstone;

/// All widgets at one instant, and what is remembered of deleted ones.
#[derive(Clone, Default)]
pub struct RuleBook {
    generation: u64,
    /// Records ([`Stored`]) by id.
    widgets: Table,
    /// Tombstones by id.
    deleted: Table,
    census: Census,
    key: FingerprintKey,
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
    pub fn get(&self, id: &str) -> Option<WidgetRules<'_>> {
        self.stored(id).map(|stored| stored.rules)
    }

    /// What is remembered of a deleted widget.
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
    fn stored(&self, id: &str) -> Option<Stored<'_>> {
        let (id, record) = self.widgets.get(id.as_bytes())?;
        Stored::read(str::from_utf8(id).ok()?, record)
    }

    fn all_stored(&self) -> impl Iterator<Item = Stored<'_>> {
        self.widgets.iter().filter_map(|(id, record)| Stored::read(str::from_utf8(id).ok()?, record))
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

#[cfg(test)]
mod tests;
