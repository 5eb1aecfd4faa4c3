//! The answer to a change.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::rules::change::{ChangedWidget, Outcome};
use embedgate_policy::widget::{Widget, WidgetId};

/// Answer to a change that is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The generation of the book in force, which holds the change.
    pub generation: u64,
    /// What became of each change, in their order.
    pub outcomes: Vec<Outcome>,
    /// The widgets whose rules are others now, by id; also those that a batch took out by not naming them.
    pub changed: Vec<ChangedWidget>,
    /// How many of them a batch took out by not naming them.
    pub removed: usize,
    /// What an edit has made of the document, or has found as it wanted it; `None` for other changes, and for a disabled
    /// widget whose document can't be read.
    pub document: Option<Box<Widget>>,
    /// Whether it is kept; where a fleet shares the rules, in its bucket. `false` only for a kill switch that could not be kept yet: it is in force, and is kept as soon
    /// as that is possible. A restart before that loses it.
    pub durable: bool,
    /// Where a fleet shares the rules: the sequence of the bucket's message that holds the change, or that this edge
    /// enforces where nothing had to be changed.
    pub sequence: Option<u64>,
}

impl Published {
    /// The answer where nothing was asked for.
    pub(super) fn nothing(generation: u64) -> Self {
        Self {
            generation,
            outcomes: Vec::new(),
            changed: Vec::new(),
            removed: 0,
            document: None,
            durable: true,
            sequence: None,
        }
    }

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

/// Change that is in force and could not be kept yet: a kill switch, which a restart loses; or what the bucket of a fleet
/// says, which a start reads again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct NotKept {
    /// The widget.
    pub id: WidgetId,
    /// Its revision.
    pub revision: u64,
    /// Since when.
    pub since: Timestamp,
}
