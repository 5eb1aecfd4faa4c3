//! Who changed what: the seam between the writer and the audit log.

mod file;

use std::io;

use jiff::Timestamp;

use super::change::Actor;
use super::source::SourceKind;
use crate::policy::widget::WidgetId;

pub use file::FileAuditLog;

/// Writes every change down before it is in force. What it can't write down is not saved.
pub trait AuditLog: Send + Sync {
    /// Takes the records of one swap, in the order of their changes. Called by the writer, one at a time, after
    /// the changes were judged and prepared and before they are durable: an error fails them all.
    fn record(&self, records: &[AuditRecord<'_>]) -> io::Result<()>;

    /// Takes back what the last [`AuditLog::record`] was given: the storage failed, nothing of it is in force.
    fn revoke(&self, records: &[AuditRecord<'_>]);
}

/// One change to one widget.
#[derive(Clone, Debug)]
pub struct AuditRecord<'a> {
    /// When it was judged.
    pub at: Timestamp,
    /// The generation that it will be in force with.
    pub generation: u64,
    /// Where rules come from on this edge.
    pub source: SourceKind,
    /// Who asked for it.
    pub actor: &'a Actor,
    /// The widget.
    pub widget: &'a WidgetId,
    /// What was; `None` where there was no such widget.
    pub before: Option<AuditedDocument<'a>>,
    /// What will be.
    pub after: AuditedState<'a>,
}

/// What a change leads to.
#[derive(Clone, Copy, Debug)]
pub enum AuditedState<'a> {
    /// The widget has this document.
    Document(AuditedDocument<'a>),
    /// The widget is gone.
    Deleted {
        /// The revision of the deletion.
        revision: u64,
    },
}

/// A document as it is stored.
#[derive(Clone, Copy, Debug)]
pub struct AuditedDocument<'a> {
    /// Its revision.
    pub revision: u64,
    /// Canonical JSON, without the revision.
    pub json: &'a [u8],
}
