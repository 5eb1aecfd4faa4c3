//! Audit log: who changed what, recorded before the change is in force.

mod differences;
mod file;
mod record;

pub use self::differences::differences;
pub use self::file::FileAuditLog;
pub use self::record::{AuditLog, AuditRecord, AuditedDocument, AuditedState};
