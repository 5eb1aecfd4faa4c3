//! Errors of sharing a change with a fleet.

use std::sync::Arc;

/// Failure to save a change in the bucket that a fleet shares.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BucketError {
    /// The bucket can't be reached, or doesn't take messages. Nothing was saved.
    #[error("not saved, the rules stay as they were: the bucket can't be written: {detail}")]
    Unavailable {
        /// Why.
        detail: Arc<str>,
    },
    /// The bucket is not what this edge, or another one, has followed, so nothing is written to it.
    #[error("not saved: the bucket can't be trusted: {detail}")]
    Faulted {
        /// What is wrong with it, and what to do.
        detail: Arc<str>,
    },
    /// The answer of the bucket is missing. The change may be saved.
    #[error("it is not known whether the change is saved: {detail}; read the widget again")]
    Uncertain {
        /// What happened.
        detail: Arc<str>,
    },
    /// Others were faster, again and again. Nothing was saved.
    #[error(
        "not saved: other edges changed the same widgets at the same time, {tries} times in a row: try again"
    )]
    Contended {
        /// How often it was tried.
        tries: u32,
    },
    /// More changes than the bucket takes at once.
    #[error(
        "{changes} changes at once, and the bucket takes {most}: send fewer, or say `chunked=true`, and they are saved \
         {most} at a time"
    )]
    TooLarge {
        /// The number of changes.
        changes: usize,
        /// The most that the bucket takes.
        most: usize,
    },
    /// The change is saved, and has not come back from the bucket in time.
    #[error("saved as message {sequence} of the bucket, and not in force on this edge yet: ask again")]
    NotInForce {
        /// The sequence of the message.
        sequence: u64,
    },
}

impl BucketError {
    /// Stable code, one of few.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "bucket_unavailable",
            Self::Faulted { .. } => "fleet_fault",
            Self::Uncertain { .. } => "save_uncertain",
            Self::Contended { .. } => "contended",
            Self::TooLarge { .. } => "too_large",
            Self::NotInForce { .. } => "not_in_force_yet",
        }
    }
}
