//! Rules that a fleet of edges shares: what is published to a bucket, and what comes back from it in one order for all.
//!
//! A change is judged against the book in force, published on the condition that nobody has changed its widgets since,
//! and is in force here when the bucket gives it back, after everything that was published before it. So all edges put
//! the same changes in force in the same order, whoever has made them.

use std::sync::Arc;

use jiff::Timestamp;

use super::documents::Json;
use super::storage::SignedWrite;
use embedgate_policy::widget::{Widget, WidgetId};

/// Position in a bucket up to which everything is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::rules) struct BucketPosition {
    /// When the bucket was created, in nanoseconds of Unix time: a bucket of the same name with another one is another.
    pub(in crate::rules) created: u64,
    /// The sequence of the last message in force; 0 before the first.
    pub(in crate::rules) sequence: u64,
    /// When that message was written, in nanoseconds of Unix time, as the bucket says: another message of this sequence
    /// tells that the bucket has lost its end and has grown again.
    pub(in crate::rules) written: u64,
    /// The number of the last decision of an operator that this edge has followed (see `fleet restore`); 0 before the first.
    pub(in crate::rules) followed: u64,
}

/// Messages of a bucket that come in force with one swap.
#[derive(Debug)]
pub(in crate::rules) struct SharedBatch {
    /// In the bucket's order.
    pub(in crate::rules) changes: Vec<SharedChange>,
    /// Widgets of which the bucket knows nothing, and an operator has said that it is right.
    pub(in crate::rules) gone: Vec<WidgetId>,
    /// Position when they are in force; `None`: it stays.
    pub(in crate::rules) position: Option<BucketPosition>,
    /// Which of them count.
    pub(in crate::rules) taking: Taking,
}

/// Choice of the messages that count, by what is known of those before about the same widget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::rules) enum Taking {
    /// Those that come after it.
    #[default]
    Newer,
    /// The same one, too: there is doubt about what it has led to.
    NotOlder,
    /// All: the bucket is another one than before.
    All,
}

impl Taking {
    /// Whether a message of this sequence counts. `known`: that of the last one.
    pub(in crate::rules) fn takes(self, known: Option<u64>, sequence: u64) -> bool {
        match self {
            Self::Newer => known.is_none_or(|known| known < sequence),
            Self::NotOlder => known.is_none_or(|known| known <= sequence),
            Self::All => true,
        }
    }
}

/// Message of a bucket about one widget. It was judged by whoever has published it.
#[derive(Debug)]
pub(in crate::rules) struct SharedChange {
    pub(in crate::rules) id: WidgetId,
    /// The sequence of the message: the widget's revision in the bucket.
    pub(in crate::rules) sequence: u64,
    pub(in crate::rules) state: SharedState,
    /// Who has made the change, as the audit log calls them, and when.
    pub(in crate::rules) actor: Arc<str>,
    pub(in crate::rules) at: Timestamp,
}

/// State of a widget in a bucket.
#[derive(Debug)]
pub(in crate::rules) enum SharedState {
    /// This document, with its revision.
    Document(Box<Widget>),
    /// Deleted: a tombstone document.
    Deleted { revision: u64, was_restricted: bool },
    /// Nothing that can be taken: the widget stays as it is, and whoever writes it next has to know of this message.
    Unreadable,
}

/// Everything that a bucket should know of one widget, for filling it again.
#[derive(Debug)]
pub(in crate::rules) struct SharedEntry {
    pub(in crate::rules) id: WidgetId,
    pub(in crate::rules) revision: u64,
    /// Canonical JSON without the revision; `None`: deleted.
    pub(in crate::rules) json: Option<Json>,
    /// Of a deleted widget: it wasn't `open`.
    pub(in crate::rules) was_restricted: bool,
}

/// Changes to be published as one.
#[derive(Debug)]
pub(in crate::rules) struct Publication<'a> {
    /// One for each widget at most.
    pub(in crate::rules) writes: Vec<ExpectedWrite<'a>>,
    /// Nothing at all may have been published behind this sequence: for what is about widgets that it doesn't name.
    pub(in crate::rules) last_sequence: Option<u64>,
    /// They may be published in several pieces, each of which is whole or not at all.
    pub(in crate::rules) chunked: bool,
}

/// Write that is published if the last message of its widget still has this sequence; 0: there is none.
#[derive(Debug)]
pub(in crate::rules) struct ExpectedWrite<'a> {
    pub(in crate::rules) signed: &'a SignedWrite,
    pub(in crate::rules) expected: u64,
}

/// Bucket that edges publish to.
pub(in crate::rules) trait SharedBucket: Send + Sync {
    /// Publishes changes, all or none, and gives the sequence of the last of them once it is durable there. Blocks.
    ///
    /// # Errors
    ///
    /// See [`PublishError`].
    fn publish(&self, publication: &Publication<'_>) -> Result<u64, PublishError>;
}

/// Failure to publish changes.
#[derive(Clone, Debug)]
pub(in crate::rules) enum PublishError {
    /// Somebody else has published to one of the widgets. Nothing was published. `last`: a sequence that is to be in force
    /// here before another try, where it is known.
    Conflict { last: Option<u64> },
    /// More writes than the bucket takes at once. Nothing was published.
    TooLarge { most: usize },
    /// Nothing was published.
    Unavailable(Arc<str>),
    /// The bucket is not the one that was followed. Nothing was published.
    Faulted(Arc<str>),
    /// No answer: it may be published.
    Uncertain(Arc<str>),
}
