//! Observers of swaps and refusals.

use std::time::Duration;

use super::handed_over::FollowedChange;
use crate::rules::book::RuleBook;
use crate::rules::change::ChangedWidget;
use crate::rules::error::RulesError;
use crate::rules::source::kind::SourceKind;

/// Observer of every swap and every refusal. Called by the writer, one at a time and in the order of the
/// generations, before the change is answered: be quick, hand long work on.
pub trait Observer: Send + Sync {
    /// Other rules are in force.
    fn swapped(&self, swap: &Swap<'_>);

    /// An update was refused; the rules in force stayed, whole.
    fn rejected(&self, source: SourceKind, error: &RulesError);
}

/// Swap of the rule book: other rules are in force.
#[derive(Clone, Copy, Debug)]
pub struct Swap<'a> {
    /// Where they came from.
    pub source: SourceKind,
    /// The book in force now, with its generation and its census.
    pub book: &'a RuleBook,
    /// The widgets whose rules are others now, by id; none of a store's book at start.
    pub changed: &'a [ChangedWidget],
    /// The changes, where another process has made them: their documents are there alone.
    pub followed: Option<&'a [FollowedChange]>,
    /// From taking up the change to having it in force.
    pub took: Duration,
}
