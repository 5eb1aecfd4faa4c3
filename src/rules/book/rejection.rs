//! Changes that a book refuses, and why.

use crate::rules::change::Precondition;
use crate::rules::error::RuleFault;
use embedgate_policy::widget::{MAX_REVISION, RevisionTooHigh, WidgetId};

/// Refused change of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Which of the batch, from 0.
    pub index: usize,
    /// The widget it is about.
    pub id: WidgetId,
    /// Why not.
    pub error: ChangeError,
}

/// Reason why a change is refused.
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
    #[error("{}", unmet(*.wanted, *.stored))]
    PreconditionFailed {
        /// What it was to be taken on.
        wanted: WantedState,
        /// The widget's revision; `None` where there is no such widget.
        stored: Option<u64>,
    },
    /// Its revision is one that nobody may state.
    #[error(transparent)]
    RevisionTooHigh(#[from] RevisionTooHigh),
}

/// What a change was to be taken on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WantedState {
    /// A widget at this revision; `None`: at one of several.
    Revision(Option<u64>),
    /// A widget.
    Present,
    /// No widget.
    Absent,
}

/// Says what is there instead.
fn unmet(wanted: WantedState, stored: Option<u64>) -> String {
    match (wanted, stored) {
        (WantedState::Absent, Some(stored)) => format!(
            "the widget is there already, at revision {stored}, and this was to create it alone; leave out \
             `If-None-Match: *` to change it"
        ),
        (WantedState::Revision(Some(revision)), Some(stored)) => format!(
            "the widget is at revision {stored}, not at {revision}, so somebody else was faster: read it again and decide \
             anew"
        ),
        (WantedState::Revision(_), Some(stored)) => format!(
            "the widget is at revision {stored}, which is none of those in If-Match, so somebody else was faster: read \
             it again and decide anew"
        ),
        (WantedState::Revision(Some(revision)), None) => format!(
            "there is no such widget, so it is not at revision {revision}: it was deleted, or its id is another one"
        ),
        _ => "there is no such widget, and this was only for one that is there: leave out If-Match to create it".to_owned(),
    }
}

impl From<&Precondition> for WantedState {
    fn from(condition: &Precondition) -> Self {
        match condition {
            Precondition::Revision(revisions) => Self::Revision(match **revisions {
                [only] => Some(only),
                _ => None,
            }),
            Precondition::Present => Self::Present,
            Precondition::None | Precondition::Absent => Self::Absent,
        }
    }
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

impl ChangeError {
    /// The fault of a change that came alone.
    pub(in crate::rules) fn of(self, id: &WidgetId) -> RuleFault {
        let (pointer, code) = (self.pointer().into(), self.code());
        RuleFault {
            index: None,
            widget: Some(id.clone()),
            place: None,
            pointer,
            code,
            detail: self.to_string(),
        }
    }
}

impl From<Rejection> for RuleFault {
    fn from(Rejection { index, id, error }: Rejection) -> Self {
        Self { index: Some(index), ..error.of(&id) }
    }
}
