//! The answer to a change.

use crate::rules::change::{ChangedWidget, Outcome};

/// Answer to a change that is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The generation of the book in force, which holds the change.
    pub generation: u64,
    /// What became of each change, in their order.
    pub outcomes: Vec<Outcome>,
    /// The widgets whose rules are others now, by id; also those that a batch took out by not naming them.
    pub changed: Vec<ChangedWidget>,
}

impl Published {
    /// How many changes made a difference.
    pub fn applied(&self) -> usize {
        self.outcomes.iter().filter(|outcome| outcome.is_change()).count()
    }

    /// How many found everything as they wanted it.
    pub fn unchanged(&self) -> usize {
        self.outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Unchanged { .. })).count()
    }

    /// How many came too late and were left out.
    pub fn skipped(&self) -> usize {
        self.outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Skipped { .. })).count()
    }
}
