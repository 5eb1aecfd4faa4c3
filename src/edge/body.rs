//! Bodies of messages, on any protocol.

use bytes::Bytes;

use crate::edge::fields::Fields;

/// A piece of a body, or what follows it.
#[derive(Debug)]
pub enum Frame {
    /// Bytes of the body.
    Data(Bytes),
    /// The fields behind it (RFC 9110 §6.5); nothing follows them.
    Trailers(Fields),
}

/// How long a body is, as far as its head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// There is no body, and nothing is said of one.
    Absent,
    /// This many bytes.
    Known(u64),
    /// As many as come.
    Unknown,
}

impl Length {
    /// Whether no body comes.
    pub fn is_none(self) -> bool {
        matches!(self, Self::Absent | Self::Known(0))
    }
}
