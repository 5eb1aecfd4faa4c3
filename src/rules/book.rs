//! The rule book: an immutable snapshot of every widget's rules.
//!
//! A batch makes a new book that shares all it didn't touch with the old one (see [`table`]), so that a save costs
//! microseconds at any size and readers of the old book are never disturbed. Documents themselves are not kept here:
//! compiled rules are what requests need, a [`Fingerprint`](super::fingerprint::Fingerprint) is what saves need.
//! Rules lie packed, some thirty widgets in one block of bytes ([`leaf`]), and are judged by where they lie: what
//! [`RuleBook::get`] gives is a view.
//!
//! Measured at a million widgets with four entries each (two busy cores): 166 bytes a widget resident, the store's
//! own cache among them, and 171 at most during a start, which takes 3.3 s of processor time on both cores
//! together, since it checks the whole store; an import takes 9.4 to 17.5 µs of it a widget. A look-up that finds
//! nothing in the processor's caches takes 0.7 to 0.9 times as long as one in a `HashMap<Box<str>, _>` with the
//! same keys, and 1.0 to 1.6 times as long as one in a `HashMap<WidgetId, _>`, whose keys lie in the table itself;
//! a whole verdict, from the header line, 1.0 to 1.2 and 1.3 to 2.1 times. The record is one miss in main memory:
//! its tag and place are found in an index that stays near, its further lines are asked for together with the
//! first, and the origin is parsed while they come. `make bench-scale` measures again.

pub use self::census::Census;
pub(in crate::rules) use self::disable::DisabledWidget;
pub use self::draft::AppliedBatch;
pub(in crate::rules) use self::force::ForcedChange;
pub(in crate::rules) use self::loader::{BookLoader, BookSizes};
pub(in crate::rules) use self::prepared::{PreparedChange, prepare};
pub(in crate::rules) use self::record::{RECORD_FORMAT, WidgetRecord};
pub use self::rejection::{ChangeError, Rejection};
pub use self::rule_book::RuleBook;

mod apply;
mod census;
mod disable;
mod draft;
mod force;
mod leaf;
mod loader;
mod prepared;
mod record;
mod rejection;
mod rule_book;
mod table;

#[cfg(test)]
mod tests;
