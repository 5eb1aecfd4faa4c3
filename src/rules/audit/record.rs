//! Audit records, and the seam between the writer and the audit log.

use std::io;

use jiff::Timestamp;

use crate::rules::change::Actor;
use crate::rules::source::kind::SourceKind;
use embedgate_policy::widget::WidgetId;

/// Audit log of every change, written before the change is in force. What can't be recorded is not saved.
pub trait AuditLog: Send + Sync {
    /// Takes the records of one swap, in the order of their changes. Called by the writer, one at a time, after
    /// the changes were judged and prepared and before they are durable.
    ///
    /// # Errors
    ///
    /// Where the records can't be written: none of the changes is made then.
    fn record(&self, records: &[AuditRecord<'_>]) -> io::Result<()>;

    /// [`AuditLog::record`] for changes that are in force whatever becomes of it, and that others have, too: the records
    /// survive the end of the process, and a power cut from [`AuditLog::sync`] on.
    ///
    /// # Errors
    ///
    /// Where the records can't be written.
    fn record_unsynced(&self, records: &[AuditRecord<'_>]) -> io::Result<()>;

    /// Makes durable what was recorded without that.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn sync(&self) -> io::Result<()>;

    /// Takes back what the last [`AuditLog::record`] was given: the storage failed, nothing of it is in force.
    fn revoke(&self, records: &[AuditRecord<'_>]);
}

/// Record of one change to one widget.
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

/// State of a widget after a change.
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

/// Document as it is stored.
#[derive(Clone, Copy, Debug)]
pub struct AuditedDocument<'a> {
    /// Its revision.
    pub revision: u64,
    /// Canonical JSON, without the revision.
    pub json: &'a [u8],
}
