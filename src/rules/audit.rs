//! Audit log: who changed what, recorded before the change is in force.

mod differences;
mod file;
mod record;
mod tail;
mod words;

pub use self::differences::differences;
pub use self::file::FileAuditLog;
pub use self::record::{AuditLog, AuditRecord, AuditedDocument, AuditedState};
pub(in crate::rules) use self::tail::last_generation;
pub use self::words::in_words;
