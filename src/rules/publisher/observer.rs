//! Observers of swaps and refusals.

use std::sync::Arc;
use std::time::Duration;

use super::handed_over::FollowedChanges;
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
    /// Who changed each of those, in their order, as the audit log calls them; empty where that isn't known here.
    pub actors: &'a [Arc<str>],
    /// The changes, where another process has made them: their documents are there alone.
    pub followed: Option<&'a FollowedChanges>,
    /// From taking up the change to having it in force.
    pub took: Duration,
}

impl<'a> Swap<'a> {
    /// The widgets whose rules are others now, each with who changed it, where that is known.
    pub fn changes(&self) -> impl Iterator<Item = (&'a ChangedWidget, Option<&'a str>)> + use<'a> {
        let actors = self.actors.iter().map(|actor| Some(&**actor)).chain(std::iter::repeat(None));
        self.changed.iter().zip(actors)
    }

    /// Who changed this widget, where that is known.
    pub fn actor(&self, id: &str) -> Option<&'a str> {
        let place = self.changed.binary_search_by(|changed| changed.id.as_str().cmp(id)).ok()?;
        self.actors.get(place).map(|actor| &**actor)
    }
}
