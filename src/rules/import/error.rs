//! Errors of an import.

use std::fmt;
use std::io;

use serde::Serialize;

use crate::rules::error::SaveError;

/// Fault in one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LineFault {
    /// The line, from 1.
    pub line: u64,
    /// Where in its document: a JSON Pointer (RFC 6901).
    pub pointer: String,
    /// What kind, a stable code.
    pub code: &'static str,
    /// What is wrong and what would be right.
    pub detail: String,
}

impl fmt::Display for LineFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        if !self.pointer.is_empty() {
            write!(f, "{}: ", self.pointer)?;
        }
        write!(f, "{} ({})", self.detail, self.code)
    }
}

/// Failure that stopped an import; what was written until then stays.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The lines can't be read.
    #[error("the documents can't be read: {0}")]
    Read(#[from] io::Error),
    /// A chunk can't be kept.
    #[error(transparent)]
    Save(#[from] SaveError),
}
