//! The rule book: an immutable snapshot of every widget's rules.
//!
//! A batch makes a new book that shares all it didn't touch with the old one (see [`table`]), so that a save costs
//! microseconds at any size and readers of the old book are never disturbed. Documents themselves are not kept
//! here: compiled rules are what requests need, a [`Fingerprint`] is what saves need.
//!
//! Measured at a million widgets with four entries each, look-ups cold and each waiting for the one before it (two
//! busy cores): 364 ns where a plain `HashMap` of the same rules takes 257 ns, and 5 µs for a save beside its disk
//! sync. `imbl`'s map, tried before, saved in 3 µs, but took about twice the plain map's time to read and 54 bytes
//! a widget more. `make bench-scale` measures again.

use std::fmt;
use std::sync::Arc;

pub use self::apply::{Applied, ChangeError, Rejection};
pub use self::census::Census;
pub use self::fingerprint::Fingerprint;
pub(in crate::rules) use self::fingerprint::FingerprintKey;
pub(in crate::rules) use self::prepared::{Prepared, prepare};
use self::table::{Keyed, Table};
use crate::policy::decision::WidgetRules;
use crate::policy::widget::{Widget, WidgetId};
use crate::rules::documents::canonical;

mod apply;
mod census;
mod fingerprint;
mod prepared;
mod table;

/// All widgets at one instant, and what is remembered of deleted ones.
#[derive(Clone, Default)]
pub struct RuleBook {
    generation: u64,
    widgets: Table<Arc<Stored>>,
    deleted: Table<Arc<Grave>>,
    census: Census,
    key: FingerprintKey,
}

impl RuleBook {
    /// A book without widgets, generation 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// A book as it was kept.
    pub(in crate::rules) fn restore(
        key: FingerprintKey,
        generation: u64,
        widgets: Vec<Arc<Stored>>,
        deleted: Vec<(WidgetId, Tombstone)>,
    ) -> Self {
        let mut census = Census::default();
        for stored in &widgets {
            census.add(stored.rules.environment, stored.rules.access);
        }
        let graves = deleted.into_iter().map(|(id, tombstone)| Arc::new(Grave { id, tombstone })).collect();
        Self { generation, widgets: Table::build(widgets), deleted: Table::build(graves), census, key }
    }

    /// This book's version on this edge: one more with every swap, 0 before the first.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The rules of a widget: one hash lookup, no allocation. Texts that are no id are simply not found.
    #[inline]
    pub fn get(&self, id: &str) -> Option<&WidgetRules> {
        self.stored(id).map(|stored| &stored.rules)
    }

    /// What is remembered of a deleted widget.
    pub fn tombstone(&self, id: &str) -> Option<&Tombstone> {
        self.deleted.get(id).map(|grave| &grave.tombstone)
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
    pub fn widgets(&self) -> impl Iterator<Item = &WidgetRules> {
        self.widgets.iter().map(|stored| &stored.rules)
    }

    /// Every deleted widget that is remembered, in no particular order.
    pub fn tombstones(&self) -> impl Iterator<Item = (&str, &Tombstone)> {
        self.deleted.iter().map(|grave| (grave.id.as_str(), &grave.tombstone))
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
    fn stored(&self, id: &str) -> Option<&Stored> {
        self.widgets.get(id).map(|stored| &**stored)
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

/// What is remembered of a deleted widget, for good: enough that a late push can't bring it back and that it
/// can't come back open in silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// The revision of the deletion.
    pub revision: u64,
    /// It wasn't `open` when it was deleted, or nothing is known of it.
    pub was_restricted: bool,
    /// Set where its source merely stopped naming it ([`super::change::Absent::Withdraw`]): this document may
    /// come back at the same revision.
    pub withdrawn: Option<Fingerprint>,
}

/// A widget in the book: its rules and how to know its document again.
#[derive(Debug)]
pub(in crate::rules) struct Stored {
    pub(in crate::rules) rules: WidgetRules,
    pub(in crate::rules) fingerprint: Fingerprint,
}

impl Keyed for Arc<Stored> {
    fn key(&self) -> &[u8] {
        self.rules.id.as_bytes()
    }
}

/// A deleted widget.
#[derive(Debug)]
struct Grave {
    id: WidgetId,
    tombstone: Tombstone,
}

impl Keyed for Arc<Grave> {
    fn key(&self) -> &[u8] {
        self.id.as_bytes()
    }
}

#[cfg(test)]
mod tests;
