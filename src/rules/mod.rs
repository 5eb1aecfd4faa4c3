//! The first floor: the rules in force, and the one road on which they change.
//!
//! [`book::RuleBook`] is an immutable snapshot of all widgets. [`live::LiveRules`] is how everyone else reads the
//! newest one, without waiting. [`publisher::Publisher`] is the only writer: it judges a batch of
//! [`change::Change`]s against the book in force, makes the next book, swaps it in, and tells its observers.
//! [`source`] holds the ways in which changes arrive; all of them end in the publisher. [`brake`] holds a change that
//! would take much away at once until it is confirmed. [`sessions`] is what the rules know of sessions that are open,
//! [`assets`] of assets that are kept in memory.
//!
//! Invariants: a batch is in force whole or not at all; a refused one changes nothing; a generation number names
//! one book; a widget that was restricted never opens without a document that says so.

pub mod assets;
pub mod audit;
pub mod book;
pub mod brake;
pub mod change;
pub mod documents;
pub mod error;
pub mod import;
pub mod live;
mod parallel;
pub mod publisher;
pub mod sessions;
pub mod source;
pub mod status;
mod storage;
pub mod store;

#[cfg(test)]
pub(crate) mod fixtures;
