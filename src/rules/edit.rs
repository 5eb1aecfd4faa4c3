//! Edits: changes that are made of what is stored. The writer makes them, so that nothing comes in between: of two
//! entries that are added at once, none is lost.
//!
//! Each kind of edit is a pure function of the stored document in a file of its own. What an edit makes is then judged
//! as any other change.

use serde_json::Value;

use embedgate_policy::entry::Entry;
use embedgate_policy::entry::listed::ListedEntry;

pub(in crate::rules) mod disable;
pub(in crate::rules) mod domains;
mod judged;
pub(in crate::rules) mod patch;
pub(in crate::rules) mod revert;

/// Change that is made of what is stored.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    /// JSON Merge Patch (RFC 7396) of the stored document. A `revision` in it means what it means in a document that is
    /// saved.
    Patch(Value),
    /// Entries added and removed.
    Domains(DomainsEdit),
    /// An earlier document again, as a new revision; also of a deleted widget.
    Revert {
        /// The revision of that document.
        revision: u64,
        /// It may open a widget that is not open.
        may_open: bool,
    },
    /// The kill switch: `enabled: false`. It never waits for a document that can't be read.
    Disable,
}

/// Entries to be added to a widget's list and to be removed from it. Entries that admit the same origins are the same,
/// however they are written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DomainsEdit {
    /// Entries to be added. One that is listed keeps its place, and gets this expiry and note.
    pub add: Vec<ListedEntry>,
    /// Entries to be removed. One that isn't listed is no fault.
    pub remove: Vec<Entry>,
    /// A first entry may restrict a widget that is open because its list is empty.
    pub may_restrict: bool,
}
