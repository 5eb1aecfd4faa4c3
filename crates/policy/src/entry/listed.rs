//! Listed entries: each with its expiry and its note.

use jiff::Timestamp;
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::Entry;

/// Element of `allowed_domains`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedEntry {
    /// The entry.
    pub entry: Entry,
    /// The instant from which the entry admits nothing.
    pub expires_at: Option<Timestamp>,
    /// A note for people.
    pub note: Option<String>,
}

impl ListedEntry {
    /// Whether the entry has expired; at the very instant it has.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| now >= at)
    }

    /// Whether the entry names a plain-http site ([`Entry::is_plain_http`]).
    pub fn is_plain_http(&self) -> bool {
        self.entry.is_plain_http()
    }
}

impl Serialize for ListedEntry {
    /// A string, or an object where there is an expiry or a note.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.expires_at.is_none() && self.note.is_none() {
            return serializer.collect_str(&self.entry);
        }
        let fields = 1 + usize::from(self.expires_at.is_some()) + usize::from(self.note.is_some());
        let mut object = serializer.serialize_struct("Entry", fields)?;
        object.serialize_field("pattern", &self.entry.to_string())?;
        if let Some(at) = &self.expires_at {
            object.serialize_field("expires_at", at)?;
        }
        if let Some(note) = &self.note {
            object.serialize_field("note", note)?;
        }
        object.end()
    }
}
