//! Errors of saving a change.

use std::io;
use std::sync::Arc;

use super::bucket::BucketError;
use super::fault::{FaultList, RuleFault};
use super::store::StoreError;
use super::wide::{Road, WideChange, message};
use crate::rules::source::kind::SourceKind;

/// Failure to save a change: the rules in force stayed, whole.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SaveError {
    /// The rules are somebody else's to write.
    #[error("rules come from the {source_kind} here, and can be changed only there")]
    ReadOnly {
        /// Where they come from.
        source_kind: SourceKind,
    },
    /// Changes with faults, or that may not follow the rules in force.
    #[error(transparent)]
    Invalid(#[from] FaultList),
    /// A change of many widgets at once that has to be confirmed.
    #[error("{}", message(.wide, *.road))]
    WideChange {
        /// What it would do.
        wide: WideChange,
        /// How it came.
        road: Road,
    },
    /// A change could not be written to the audit log, and so was not made.
    #[error("not saved, the rules stay as they were: the audit log can't be written: {source}")]
    AuditUnavailable {
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// A change could not be kept.
    #[error(transparent)]
    Storage(#[from] StoreError),
    /// A change could not be shared with the fleet.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// Another process has taken over and is the writer now.
    #[error("not saved: another process has taken over and is the writer now: try again")]
    HandedOver,
    /// The writer broke down while it wrote.
    #[error("the writer failed; whether the change is saved is not known: read it again")]
    WriterFailed,
}

impl SaveError {
    /// Stable code, one of few: that of the first fault where there are several.
    pub fn code(&self) -> &'static str {
        match self {
            Self::ReadOnly { .. } => "read_only_source",
            Self::Invalid(faults) => faults.code(),
            Self::WideChange { .. } => "wide_change",
            Self::AuditUnavailable { .. } => "audit_unavailable",
            Self::Storage(error) => error.code(),
            Self::Bucket(error) => error.code(),
            Self::HandedOver => "handed_over",
            Self::WriterFailed => "storage_failed",
        }
    }

    /// The faults of the changes; empty where it isn't they that kept them from being saved.
    pub fn faults(&self) -> &[RuleFault] {
        match self {
            Self::Invalid(faults) => faults.as_slice(),
            _ => &[],
        }
    }
}
