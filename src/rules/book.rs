//! The rule book: an immutable snapshot of every widget's rules.
//!
//! A batch makes a new book that shares all it didn't touch with the old one (a hash array mapped trie), so that
//! a save costs microseconds at any size and readers of the old book are never disturbed. Documents themselves
//! are not kept here: compiled rules are what requests need, a [`Fingerprint`] is what saves need.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use foldhash::quality::RandomState;
use imbl::GenericHashMap;
use imbl::shared_ptr::DefaultSharedPtr;

pub use self::apply::{Applied, ChangeError, Rejection};
pub use self::census::Census;
pub use self::fingerprint::Fingerprint;
pub(in crate::rules) use self::fingerprint::FingerprintKey;
pub(in crate::rules) use self::prepared::{Prepared, prepare};
use crate::policy::decision::WidgetRules;
use crate::policy::widget::Widget;
use crate::rules::documents::canonical;

mod apply;
mod census;
mod fingerprint;
mod prepared;

/// A persistent map. The trie spends the hash a few bits at a time, hence foldhash's `quality` variant; its seed
/// is the process's, so that nobody can choose ids that collide.
type Persistent<K, V> = GenericHashMap<K, V, RandomState, DefaultSharedPtr>;

/// All widgets at one instant, and what is remembered of deleted ones.
#[derive(Clone, Default)]
pub struct RuleBook {
    generation: u64,
    widgets: Persistent<Slot, ()>,
    deleted: Persistent<Arc<str>, Tombstone>,
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
    pub fn get(&self, id: &str) -> Option<&WidgetRules> {
        self.stored(id).map(|stored| &stored.rules)
    }

    /// What is remembered of a deleted widget.
    pub fn tombstone(&self, id: &str) -> Option<&Tombstone> {
        self.deleted.get(id)
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
        self.widgets.is_empty()
    }

    /// Every widget's rules, in no particular order.
    pub fn widgets(&self) -> impl Iterator<Item = &WidgetRules> {
        self.widgets.keys().map(|slot| &slot.0.rules)
    }

    /// Every deleted widget that is remembered, in no particular order.
    pub fn tombstones(&self) -> impl Iterator<Item = (&str, &Tombstone)> {
        self.deleted.iter().map(|(id, tombstone)| (&**id, tombstone))
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
        self.widgets.get_key_value(id).map(|(slot, ())| &*slot.0)
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

/// One pointer, so that copying a node of the trie copies counts, not ids. It stands for the widget's id.
#[derive(Clone)]
struct Slot(Arc<Stored>);

impl Slot {
    fn id(&self) -> &str {
        self.0.rules.id.as_str()
    }
}

impl Borrow<str> for Slot {
    fn borrow(&self) -> &str {
        self.id()
    }
}

impl PartialEq for Slot {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}

impl Eq for Slot {}

impl Hash for Slot {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id().hash(state);
    }
}

#[cfg(test)]
mod tests;
