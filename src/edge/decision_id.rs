//! The id of one decision: on the denied page, in the log, toward the upstream.

use uuid::Uuid;
use uuid::fmt::Hyphenated;

/// A UUID of version 7 (RFC 9562 §5.7): sorts by time, guesses nothing about the traffic.
#[derive(Clone, Copy, Debug)]
pub struct DecisionId([u8; Hyphenated::LENGTH]);

impl DecisionId {
    /// A fresh id. Allocates nothing.
    pub fn new() -> Self {
        let mut text = [0; Hyphenated::LENGTH];
        Uuid::now_v7().hyphenated().encode_lower(&mut text);
        Self(text)
    }

    /// The usual form: 36 characters, lower case.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl Default for DecisionId {
    fn default() -> Self {
        Self::new()
    }
}
