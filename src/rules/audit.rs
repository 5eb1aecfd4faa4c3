//! Audit log: who changed what, recorded before the change is in force.

mod file;
mod record;

pub use self::file::FileAuditLog;
pub use self::record::{AuditLog, AuditRecord, AuditedDocument, AuditedState};
