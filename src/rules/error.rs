//! Why an update of the rules was refused.
//!
//! Every refusal has a stable code, for metrics and for writers, and says all that is wrong at once, each with
//! its place: file, line and column where there is a file, the number of the change where there is a batch.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use super::book::Rejection;
use super::brake::WideChange;
use super::source::SourceKind;
use crate::policy::json_position::Position;
use crate::policy::widget::WidgetId;

/// An update that changed nothing because it can't be taken.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RulesError {
    /// A rules file or folder that can't be read, or isn't there.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// A folder without any rules file, which is more often an accident than a wish.
    #[error(
        "{}: no .json file in this folder; to have no widgets, put a file with {{\"widgets\": []}} in it",
        path.display()
    )]
    NoFiles {
        /// The folder.
        path: PathBuf,
    },
    /// More than is sensible.
    #[error("{}: rules of more than {} MiB; the most that is read from files is that", path.display(), limit >> 20)]
    TooLarge {
        /// The file or folder.
        path: PathBuf,
        /// The limit, in bytes.
        limit: u64,
    },
    /// Another process has the store open.
    #[error(
        "{}: another process has this store open: stop it, or use its admin listener (PUT /v1/widgets/ID, POST \
         /v1/batch), or set another path in [rules] store",
        path.display()
    )]
    StoreLocked {
        /// The store.
        path: PathBuf,
    },
    /// The store is not what was written.
    #[error(
        "{}: this store is damaged ({detail}): put back a copy, or move it away to start anew from the seed; it is \
         left as it is",
        path.display()
    )]
    StoreDamaged {
        /// The store.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// A later version of embedgate has written the store.
    #[error(
        "{}: a newer version has written this store (format {found}, this version knows {known}): use that version, \
         or export the widgets with it and import them here",
        path.display()
    )]
    StoreNewer {
        /// The store.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The newest format that this version knows.
        known: u64,
    },
    /// The rules are somebody else's to write.
    #[error("rules come from the {source_kind} here, and can be changed only there")]
    ReadOnly {
        /// Where they come from.
        source_kind: SourceKind,
    },
    /// There is no room left to keep a change. The rules in force stay; it may be tried again.
    #[error("not saved, the rules stay as they were: no room left: {detail}")]
    StorageFull {
        /// What the system said.
        detail: String,
    },
    /// A change could not be kept, or what is kept can't be read.
    #[error("{detail}")]
    StorageFailed {
        /// What happened.
        detail: String,
    },
    /// A change could not be written to the audit log, and so was not made.
    #[error("not saved, the rules stay as they were: the audit log can't be written: {detail}")]
    AuditUnavailable {
        /// What the system said.
        detail: String,
    },
    /// A change of many widgets at once that has to be confirmed.
    #[error(
        "this would delete {} of {} widgets, so nothing was changed; if that is what is meant, confirm it by the \
         number: ?confirm={}",
        .0.deleted, .0.widgets, .0.confirm
    )]
    WideChange(WideChange),
    /// Documents that are wrong, or that may not follow the rules in force.
    #[error("{}", lines(faults, usize::MAX))]
    Invalid {
        /// Everything that is wrong, at least one.
        faults: Vec<RuleFault>,
    },
}

impl RulesError {
    /// A stable code, one of few: that of the first fault where there are several.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "unreadable",
            Self::NoFiles { .. } => "no_rules_files",
            Self::TooLarge { .. } => "too_large",
            Self::StoreLocked { .. } => "store_locked",
            Self::StoreDamaged { .. } => "store_damaged",
            Self::StoreNewer { .. } => "store_newer",
            Self::ReadOnly { .. } => "read_only_source",
            Self::StorageFull { .. } => "storage_full",
            Self::StorageFailed { .. } => "storage_failed",
            Self::AuditUnavailable { .. } => "audit_unavailable",
            Self::WideChange(_) => "wide_change",
            Self::Invalid { faults } => faults.first().map_or("invalid_document", |fault| fault.code),
        }
    }

    /// Whether the source could not be read at all, rather than says something wrong.
    pub fn is_absence(&self) -> bool {
        matches!(self, Self::Unreadable { .. } | Self::NoFiles { .. })
    }

    /// The faults of the documents; empty where no document could be read.
    pub fn faults(&self) -> &[RuleFault] {
        match self {
            Self::Invalid { faults } => faults,
            _ => &[],
        }
    }

    /// What to show where room is short: the first `most` faults and how many more there are.
    pub fn summary(&self, most: usize) -> String {
        match self {
            Self::Invalid { faults } => lines(faults, most),
            other => other.to_string(),
        }
    }
}

/// One fault a line.
fn lines(faults: &[RuleFault], most: usize) -> String {
    let mut shown: Vec<String> = faults.iter().take(most).map(RuleFault::to_string).collect();
    if let Some(more) = faults.len().checked_sub(most).filter(|more| *more > 0) {
        shown.push(format!("and {more} more"));
    }
    shown.join("\n")
}

/// One thing that is wrong with one document or change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleFault {
    /// Which change of the batch, from 0; `None` where no batch came about.
    pub index: Option<usize>,
    /// The widget, where it is known.
    pub widget: Option<WidgetId>,
    /// Where it stands, for rules from files.
    pub place: Option<Place>,
    /// Where in the file, or in the change: a JSON Pointer (RFC 6901).
    pub pointer: String,
    /// What kind, a stable code.
    pub code: &'static str,
    /// What is wrong and what would be right.
    pub detail: String,
}

impl From<Rejection> for RuleFault {
    fn from(Rejection { index, id, error }: Rejection) -> Self {
        Self {
            index: Some(index),
            widget: Some(id),
            place: None,
            pointer: error.pointer().into(),
            code: error.code(),
            detail: error.to_string(),
        }
    }
}

impl fmt::Display for RuleFault {
    /// `file:line:column: /pointer: detail`, or `change 3 (wgt_demo): /pointer: detail`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.place, self.index, &self.widget) {
            (Some(place), ..) => write!(f, "{place}: ")?,
            (None, Some(index), Some(id)) => write!(f, "change {index} ({id}): ")?,
            (None, Some(index), None) => write!(f, "change {index}: ")?,
            (None, None, Some(id)) => write!(f, "{id}: ")?,
            (None, None, None) => {}
        }
        if !self.pointer.is_empty() {
            write!(f, "{}: ", self.pointer)?;
        }
        f.write_str(&self.detail)
    }
}

/// A place in a rules file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The file, named as the configuration names it.
    pub file: Arc<Path>,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

impl Place {
    /// A position in a file.
    pub fn new(file: &Arc<Path>, Position { line, column }: Position) -> Self {
        Self { file: file.clone(), line, column }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn fault(index: usize) -> RuleFault {
        RuleFault {
            index: Some(index),
            widget: WidgetId::parse("a").ok(),
            place: None,
            pointer: "/revision".into(),
            code: "stale_revision",
            detail: "too low".into(),
        }
    }

    #[test]
    fn faults_say_where() {
        assert_eq!(fault(2).to_string(), "change 2 (a): /revision: too low");
        let place = Place { file: Path::new("conf/w.json").into(), line: 3, column: 7 };
        let fault = RuleFault { place: Some(place), pointer: "/widgets/0/revision".into(), ..fault(0) };
        assert_eq!(fault.to_string(), "conf/w.json:3:7: /widgets/0/revision: too low");
    }

    #[test]
    fn a_summary_counts_what_it_leaves_out() {
        let error = RulesError::Invalid { faults: vec![fault(0), fault(1), fault(2)] };
        assert_eq!(error.summary(1), "change 0 (a): /revision: too low\nand 2 more");
        assert_eq!(error.summary(3).lines().count(), 3);
        assert_eq!(error.to_string(), error.summary(3));
        assert_eq!(error.code(), "stale_revision");
    }
}
