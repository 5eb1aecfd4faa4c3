//! Changes to the rules, and their outcomes.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::source::kind::SourceKind;
use embedgate_policy::widget::{Widget, WidgetId};

/// Change to the rules.
#[derive(Clone, Debug)]
pub enum Change {
    /// This document, whole, from now on. Without a revision it gets the stored one plus one, at first 1.
    Put {
        /// The document.
        widget: Widget,
        /// What must hold for it to be taken.
        only_if: Precondition,
    },
    /// No such widget any more.
    Delete {
        /// The widget.
        id: WidgetId,
        /// The revision of the deletion; without one the stored one plus one.
        revision: Option<u64>,
        /// What must hold for it to be taken.
        only_if: Precondition,
    },
}

impl Change {
    /// Saves a document, whatever is stored.
    pub fn put(widget: Widget) -> Self {
        Self::Put { widget, only_if: Precondition::None }
    }

    /// Deletes a widget, whatever is stored.
    pub fn delete(id: WidgetId, revision: Option<u64>) -> Self {
        Self::Delete { id, revision, only_if: Precondition::None }
    }

    /// The same, to be taken only if this holds at that moment.
    #[must_use]
    pub fn only_if(mut self, condition: Precondition) -> Self {
        match &mut self {
            Self::Put { only_if, .. } | Self::Delete { only_if, .. } => *only_if = condition,
        }
        self
    }

    /// The widget it is about.
    pub fn id(&self) -> &WidgetId {
        match self {
            Self::Put { widget, .. } => &widget.id,
            Self::Delete { id, .. } => id,
        }
    }
}

/// Precondition of a change (RFC 9110 section 13.1). The writer judges it together with the change, so that nothing
/// comes in between.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Precondition {
    /// Nothing.
    #[default]
    None,
    /// It exists at one of these revisions: `If-Match` with entity tags.
    Revision(Box<[u64]>),
    /// It exists: `If-Match: *`.
    Present,
    /// It doesn't: `If-None-Match: *`.
    Absent,
}

impl Precondition {
    /// It exists at this revision.
    pub fn revision(revision: u64) -> Self {
        Self::Revision([revision].into())
    }

    /// Whether it holds of a widget at this revision; `None` where there is no such widget.
    pub fn holds(&self, stored: Option<u64>) -> bool {
        match self {
            Self::None => true,
            Self::Revision(revisions) => stored.is_some_and(|stored| revisions.contains(&stored)),
            Self::Present => stored.is_some(),
            Self::Absent => stored.is_none(),
        }
    }

    /// Whether a document that states this revision is based on the stored one: the writer has read it at this revision,
    /// has edited it, and means the next one.
    pub(in crate::rules) fn is_base(&self, stated: Option<u64>, stored: Option<u64>) -> bool {
        match (self, stated) {
            (Self::Revision(revisions), Some(stated)) => {
                stored == Some(stated) && revisions.contains(&stated)
            }
            _ => false,
        }
    }
}

/// Author of a change, for the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// Somebody with an admin token, by the name under which that may be written down: never the token itself.
    Token(Box<str>),
    /// The source of the rules: an edited file, the seed of a new store, another edge.
    Source(SourceKind),
    /// Somebody at the command line of this machine.
    CommandLine,
    /// Whoever has made a change on another edge, as that edge calls them.
    Elsewhere(Arc<str>),
}

impl fmt::Display for Actor {
    /// `token:NAME`, `source:KIND` or `command line`; of another edge what it says.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(name) => write!(f, "token:{name}"),
            Self::Source(kind) => write!(f, "source:{kind}"),
            Self::CommandLine => f.write_str("command line"),
            Self::Elsewhere(name) => f.write_str(name),
        }
    }
}

impl Serialize for Actor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Options of a batch. The default is the careful one: late changes are errors, widgets not named stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ApplyOptions {
    /// What becomes of changes that come too late.
    pub stale: Stale,
    /// What becomes of widgets that the batch does not name.
    pub absent: Absent,
    /// Where a fleet shares the rules, a batch larger than its bucket takes at once is saved in several pieces. Each is
    /// whole or not at all; all of them together are not.
    pub chunked: bool,
}

/// What becomes of a change whose revision is not above the stored one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stale {
    /// It is an error, and with it the batch.
    #[default]
    Refuse,
    /// It is left out: somebody newer was faster.
    Skip,
}

/// What becomes of widgets that a batch does not name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Absent {
    /// They stay.
    #[default]
    Keep,
    /// They are deleted, each as by [`Change::Delete`] without a revision.
    Delete,
    /// They are withdrawn: gone, but the very same document may come back at its old revision. For sources that
    /// hold the whole truth at any time, such as a file: taking an edit back must not need a new revision.
    Withdraw,
}

/// Outcome of one change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There was no such widget, now there is.
    Created {
        /// Its revision.
        revision: u64,
    },
    /// The widget has another document, or the same with a higher revision.
    Updated {
        /// Its revision.
        revision: u64,
    },
    /// The widget is gone, and this revision is remembered.
    Deleted {
        /// The revision of the deletion.
        revision: u64,
    },
    /// That is how it was.
    Unchanged {
        /// The stored revision.
        revision: u64,
    },
    /// It came too late and was left out ([`Stale::Skip`]).
    Skipped {
        /// The stored revision, which is newer.
        revision: u64,
    },
}

impl Outcome {
    /// Whether the book is another one for it.
    pub fn is_change(&self) -> bool {
        matches!(self, Self::Created { .. } | Self::Updated { .. } | Self::Deleted { .. })
    }

    /// The widget's revision afterwards.
    pub fn revision(&self) -> u64 {
        match *self {
            Self::Created { revision }
            | Self::Updated { revision }
            | Self::Deleted { revision }
            | Self::Unchanged { revision }
            | Self::Skipped { revision } => revision,
        }
    }
}

/// Widget whose rules a swap has changed: its open sessions are to be judged again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedWidget {
    /// The widget.
    pub id: WidgetId,
    /// Its revision before; `None` where there was no such widget.
    pub before: Option<u64>,
    /// Its revision now; `None` where it is gone.
    pub after: Option<u64>,
}
