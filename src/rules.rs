//! The first floor: the rules in force, and the one way to change them.
//!
//! [`book::RuleBook`] is an immutable snapshot of all widgets. [`live::LiveRules`] is how everyone else reads the
//! newest one, without waiting. [`publisher::Publisher`] is the only writer: it judges a batch of
//! [`change::Change`]s against the book in force, makes the next book, swaps it in, and tells its observers.
//! [`source`] holds the sources of rules, all of which end in the publisher; `storage` keeps what is published, in
//! memory or in the embedded store. [`edit::Edit`]s are changes that the writer makes of what is stored. [`brake`] holds
//! what would touch many widgets at once until it is confirmed.
//! [`error`] has one type a subject. [`sessions`] tells of open sessions, [`assets`] of cached assets, as far as rules
//! are about them.
//!
//! Invariants: a batch is in force whole or not at all; a refused one changes nothing; a generation number names
//! one book; a widget that was restricted never opens without a document that says so.

pub mod assets;
pub mod audit;
pub mod book;
pub mod brake;
pub mod change;
pub mod documents;
pub mod edit;
pub mod error;
pub mod fingerprint;
pub mod fleet;
pub mod import;
pub mod lines;
pub mod live;
mod parallel;
pub mod publisher;
pub mod sessions;
mod shared;
pub mod source;
pub mod status;
mod storage;
pub mod tombstone;

pub(crate) use storage::redb::caught;

#[cfg(test)]
pub(crate) mod fixtures;
