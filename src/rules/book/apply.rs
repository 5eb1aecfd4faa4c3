//! A book and a batch make the next book, or a list of everything that speaks against it.

use std::collections::HashSet;

use super::RuleBook;
use super::draft::Draft;
use super::prepared::{Prepared, prepare};
use crate::policy::widget::{MAX_REVISION, RevisionTooHigh, WidgetId};
use crate::rules::change::{Absent, ApplyOptions, Change, ChangedWidget, Outcome, Stale};
use crate::rules::storage::Write;

/// The next book, not in force yet.
#[derive(Debug)]
pub struct Applied {
    /// The book with the batch in it; its generation is one more, unless nothing changed.
    pub book: RuleBook,
    /// What became of each change, in their order.
    pub outcomes: Vec<Outcome>,
    /// The widgets that differ between the books, each once.
    pub changed: Vec<ChangedWidget>,
    /// What is to be kept of it.
    pub(in crate::rules) writes: Vec<Write>,
}

/// A change that can't be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Which of the batch, from 0.
    pub index: usize,
    /// The widget it is about.
    pub id: WidgetId,
    /// Why not.
    pub error: ChangeError,
}

/// Why a change can't be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// Its revision is below the stored one, or equal with another document.
    #[error("revision {given} is not above {stored}, {}: {}",
        if *.deleted { "at which this widget was deleted" } else { "which is in force with another document" },
        if *.stored < MAX_REVISION { format!("raise it above {stored} or leave it out") } else {
            "leave it out, no higher one can be stated".to_owned()
        })]
    Stale {
        /// The revision of the change.
        given: u64,
        /// The revision it would have to be above.
        stored: u64,
        /// The stored one is that of a deletion.
        deleted: bool,
    },
    /// A widget that was restricted would be open without a word.
    #[error(
        "this would open a widget that was restricted{}: its list is empty and it states no access; say \
         \"access\": \"open\" to open it to every site, or \"access\": \"enforce\" to keep it closed",
        if *.deleted { " when it was deleted" } else { "" }
    )]
    WouldOpen {
        /// It is deleted now, and was restricted before.
        deleted: bool,
    },
    /// There is nothing to delete.
    #[error("there is no such widget; a deletion that may come before its widget states its revision")]
    Unknown,
    /// What the change was to be taken on doesn't hold.
    #[error(
        "{}, so somebody else was faster: read it again and decide anew",
        match .stored {
            Some(revision) => format!("the widget is there, at revision {revision}"),
            None => "there is no such widget".to_owned(),
        }
    )]
    PreconditionFailed {
        /// The widget's revision; `None` where there is no such widget.
        stored: Option<u64>,
    },
    /// Its revision is one that nobody may state.
    #[error(transparent)]
    RevisionTooHigh(#[from] RevisionTooHigh),
}

impl ChangeError {
    /// The stable code that writers see.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Stale { .. } => "stale_revision",
            Self::RevisionTooHigh(_) => RevisionTooHigh::CODE,
            Self::WouldOpen { .. } => "would_open_widget",
            Self::Unknown => "unknown_widget",
            Self::PreconditionFailed { .. } => "precondition_failed",
        }
    }

    /// Where in the change: a JSON Pointer (RFC 6901), empty for the whole.
    pub fn pointer(&self) -> &'static str {
        match self {
            Self::Stale { .. } | Self::RevisionTooHigh(_) => "/revision",
            Self::WouldOpen { .. } | Self::Unknown | Self::PreconditionFailed { .. } => "",
        }
    }
}

impl RuleBook {
    /// Takes a batch, whole or not at all; changes to one widget apply in their order. On failure every change
    /// that can't be made. This book stays as it is, and so does its cost: work and new memory grow with the
    /// batch. Nothing comes in force: that is the publisher's to do.
    pub fn apply(&self, changes: &[Change], options: ApplyOptions) -> Result<Applied, Vec<Rejection>> {
        self.take(prepare(changes.to_vec(), self.key), options)
    }

    /// The same, prepared with this book's key.
    pub(in crate::rules) fn take(
        &self,
        changes: Vec<Prepared>,
        options: ApplyOptions,
    ) -> Result<Applied, Vec<Rejection>> {
        let named: Option<HashSet<WidgetId>> = match options.absent {
            Absent::Keep => None,
            Absent::Delete | Absent::Withdraw => {
                Some(changes.iter().map(|change| change.id.clone()).collect())
            }
        };
        let mut draft = Draft::new(self, changes.len());
        let mut outcomes = Vec::with_capacity(changes.len());
        let mut rejections = Vec::new();
        for (index, change) in changes.into_iter().enumerate() {
            let id = change.id.clone();
            match draft.take(change) {
                Ok(outcome) => outcomes.push(outcome),
                Err(ChangeError::Stale { stored, .. }) if options.stale == Stale::Skip => {
                    outcomes.push(Outcome::Skipped { revision: stored });
                }
                Err(error) => rejections.push(Rejection { index, id, error }),
            }
        }
        if !rejections.is_empty() {
            return Err(rejections);
        }
        if let Some(named) = named {
            draft.drop_absent(&named, options.absent);
        }
        Ok(draft.finish(outcomes))
    }
}
