//! Bodies of messages, over any protocol.

use bytes::Bytes;

use crate::edge::http::fields::Fields;

/// Frame of a body: a piece, or the trailers.
#[derive(Debug)]
pub enum Frame {
    /// Bytes of the body.
    Data(Bytes),
    /// The trailers (RFC 9110 §6.5); nothing follows them.
    Trailers(Fields),
}

/// Length of a body, as its head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// No body, and no stated length.
    Absent,
    /// This many bytes.
    Known(u64),
    /// An unknown number of bytes.
    Unknown,
}

impl BodyLength {
    /// Whether there is no body.
    pub fn is_none(self) -> bool {
        matches!(self, Self::Absent | Self::Known(0))
    }
}
