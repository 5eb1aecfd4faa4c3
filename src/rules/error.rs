//! Errors of the rules, one type a subject: [`SourceError`] where rules are read, [`StoreError`] where they are kept,
//! [`SaveError`] where a change is made. [`RulesError`] is for places where several of these meet, such as a start.
//!
//! Every error has a stable code, for metrics and for writers, and says all that is wrong at once, each fault with
//! its place: file, line and column where there is a file, the number of the change where there is a batch.

mod bucket;
mod fault;
mod loss;
mod restore;
mod save;
mod source;
mod store;
mod wide;

pub use self::bucket::BucketError;
pub use self::fault::{FaultList, FilePosition, RuleFault};
pub use self::loss::{IDS_NAMED, StoreLoss};
pub use self::restore::RestoreError;
pub use self::save::SaveError;
pub use self::source::SourceError;
pub use self::store::StoreError;
pub use self::wide::{Road, WideChange};

/// Failure to read, keep or change rules; the rules in force stayed as they were.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RulesError {
    /// The source can't be read, or its documents have faults.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The store can't be opened or read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A change was not saved.
    #[error(transparent)]
    Save(#[from] SaveError),
}

impl RulesError {
    /// Stable code, one of few: that of the first fault where there are several.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Source(error) => error.code(),
            Self::Store(error) => error.code(),
            Self::Save(error) => error.code(),
        }
    }

    /// Whether the source could not be read at all, rather than says something wrong.
    pub fn is_absence(&self) -> bool {
        matches!(
            self,
            Self::Source(SourceError::Unreadable { .. } | SourceError::NoFiles { .. })
                | Self::Store(StoreError::Unreadable { .. })
                | Self::Save(SaveError::Storage(StoreError::Unreadable { .. }))
        )
    }

    /// Text to show where room is short: the first `most` faults and how many more there are.
    pub fn summary(&self, most: usize) -> String {
        match self {
            Self::Source(SourceError::Invalid(faults)) | Self::Save(SaveError::Invalid(faults)) => {
                faults.summary(most)
            }
            other => other.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use embedgate_policy::widget::WidgetId;

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
    fn a_summary_counts_what_it_leaves_out() {
        let faults = FaultList::from(vec![fault(0), fault(1), fault(2)]);
        let error = RulesError::from(SaveError::from(faults));
        assert_eq!(error.summary(1), "change 0 (a): /revision: too low\nand 2 more");
        assert_eq!(error.summary(3).lines().count(), 3);
        assert_eq!(error.to_string(), error.summary(3));
        assert_eq!(error.code(), "stale_revision");
    }
}
