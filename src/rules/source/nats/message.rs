//! Messages of a bucket: what is in them, and how they are written.

use std::sync::Arc;

use async_nats::HeaderMap;
use async_nats::header::{NATS_BATCH_COMMIT, NATS_BATCH_ID};
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::rules::documents::parse_listed;
use crate::rules::error::RuleFault;
use crate::rules::shared::{SharedChange, SharedEntry, SharedState};
use crate::rules::storage::{SignedWrite, WidgetState};
use embedgate_policy::suffix::PublicSuffixes;
use embedgate_policy::widget::{DocumentFault, RevisionTooHigh, Widget, WidgetId};

/// Who has made a change, as the audit log calls them.
pub(super) const ACTOR: &str = "Embedgate-Actor";
/// When (RFC 3339).
pub(super) const AT: &str = "Embedgate-At";
/// Through which edge.
pub(super) const EDGE: &str = "Embedgate-Edge";

/// Who has made a change that doesn't say so.
pub(super) const UNKNOWN_ACTOR: &str = "source:nats";

/// Header by which NATS's own tools mark a key as deleted.
const OPERATION: &str = "KV-Operation";

/// Last revision that every reader of JSON can represent.
const LAST_REVISION: u64 = (1 << 53) - 1;

/// Message of a bucket, as it came.
#[derive(Clone, Debug)]
pub(super) struct BucketMessage {
    /// The part of its subject that is the key.
    pub(super) key: String,
    pub(super) sequence: u64,
    /// When it was written, in nanoseconds of Unix time.
    pub(super) written: u64,
    pub(super) headers: Option<HeaderMap>,
    pub(super) payload: Bytes,
}

/// What a message about a widget says.
#[derive(Debug)]
pub(super) enum WidgetMessage {
    /// It is so from now on.
    Change(SharedChange),
    /// Nothing that can be taken.
    Refused(RuleFault),
    /// Somebody has deleted the key by hand. The widget stays.
    Marker,
}

impl BucketMessage {
    /// The batch that it is a piece of, and whether it is the last one.
    pub(super) fn batch(&self) -> Option<(&str, bool)> {
        let id = self.header(NATS_BATCH_ID.as_ref())?;
        Some((id, self.header(NATS_BATCH_COMMIT.as_ref()).is_some()))
    }

    /// Whether it is about a widget, and not about the fleet: an id has no dot.
    pub(super) fn is_of_widget(&self) -> bool {
        !self.key.contains('.')
    }

    /// Whether NATS's own tools have deleted the key with it.
    pub(super) fn is_marker(&self) -> bool {
        matches!(self.header(OPERATION), Some("DEL" | "PURGE"))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.as_ref()?.get(name).map(|value| value.as_str())
    }

    /// Reads what it says of a widget.
    pub(super) fn read(&self, suffixes: &PublicSuffixes) -> WidgetMessage {
        if self.is_marker() {
            return WidgetMessage::Marker;
        }
        let Ok(id) = WidgetId::parse(&self.key) else {
            return WidgetMessage::Refused(self.fault(
                None,
                "",
                "invalid_id",
                "the key is no id of a widget",
            ));
        };
        let state = match state(&self.payload, suffixes) {
            Ok(state) => state,
            Err(fault) => {
                let DocumentFault { pointer, code, detail } = fault;
                return WidgetMessage::Refused(self.fault(Some(id), &pointer, code, &detail));
            }
        };
        if let SharedState::Document(widget) = &state.1
            && widget.id != id
        {
            let detail = format!("the document of '{}' is under the key of another widget", widget.id);
            return WidgetMessage::Refused(self.fault(Some(id), "/id", "other_id", &detail));
        }
        if state.0.as_ref().is_some_and(|named| named != id.as_str()) {
            let detail = "the deletion names another widget than the key";
            return WidgetMessage::Refused(self.fault(Some(id), "/id", "other_id", detail));
        }
        let actor = self.header(ACTOR).unwrap_or(UNKNOWN_ACTOR);
        let at = self.header(AT).and_then(|at| at.parse().ok()).unwrap_or_else(|| self.written_at());
        let (sequence, actor) = (self.sequence, Arc::from(actor));
        WidgetMessage::Change(SharedChange { id, sequence, state: state.1, actor, at })
    }

    /// What the publisher has to know of a message that can't be taken; `None` where its key is no id of a widget.
    pub(super) fn unreadable(&self) -> Option<SharedChange> {
        let id = WidgetId::parse(&self.key).ok()?;
        let (sequence, actor, at) = (self.sequence, Arc::from(UNKNOWN_ACTOR), self.written_at());
        Some(SharedChange { id, sequence, state: SharedState::Unreadable, actor, at })
    }

    /// What is told of a key that was deleted by hand.
    pub(super) fn deleted_by_hand(&self) -> RuleFault {
        let detail = "it was deleted with NATS's own tools, and that deletes no widget: it stays in force; delete it through \
                      an edge, or write its document again";
        self.fault(WidgetId::parse(&self.key).ok(), "", "deleted_by_hand", detail)
    }

    fn written_at(&self) -> Timestamp {
        Timestamp::from_nanosecond(i128::from(self.written)).unwrap_or_default()
    }

    /// What is wrong with it, and where it stands.
    fn fault(&self, widget: Option<WidgetId>, pointer: &str, code: &'static str, detail: &str) -> RuleFault {
        let Self { key, sequence, .. } = self;
        RuleFault {
            index: None,
            widget,
            place: None,
            pointer: pointer.into(),
            code,
            detail: format!("message {sequence} of the bucket, key '{key}': {detail}"),
        }
    }
}

/// Tombstone as it stands in a bucket.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TombstoneDocument {
    id: String,
    revision: u64,
    deleted: bool,
    #[serde(default = "yes")]
    restricted: bool,
}

fn yes() -> bool {
    true
}

/// What a value says, with the id that a tombstone names.
fn state(json: &[u8], suffixes: &PublicSuffixes) -> Result<(Option<String>, SharedState), DocumentFault> {
    let faults = match parse_listed(json, suffixes) {
        Ok(Widget { revision: None, .. }) => return Err(fault("/revision", "invalid_revision", REVISION)),
        Ok(widget) => return Ok((None, SharedState::Document(Box::new(widget)))),
        Err(faults) => faults,
    };
    if let Ok(TombstoneDocument { id, revision, deleted: true, restricted }) = serde_json::from_slice(json) {
        let state = SharedState::Deleted { revision, was_restricted: restricted };
        return Ok((Some(id), state));
    }
    if let [DocumentFault { code: RevisionTooHigh::CODE, .. }] = &*faults
        && let Some(widget) = counted_on(json, suffixes)
    {
        return Ok((None, SharedState::Document(Box::new(widget))));
    }
    let first = faults.into_iter().next();
    Err(first.unwrap_or_else(|| fault("", "invalid_document", "this is no document of a widget")))
}

const REVISION: &str = "a document in a bucket has its revision: write \"revision\": N, one more than before";

fn fault(pointer: &str, code: &'static str, detail: &str) -> DocumentFault {
    DocumentFault { pointer: pointer.into(), code, detail: detail.into() }
}

/// A document whose revision is above what a writer may state: an edge has counted on.
fn counted_on(json: &[u8], suffixes: &PublicSuffixes) -> Option<Widget> {
    let mut fields: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(json).ok()?;
    let revision = fields.remove("revision")?.as_u64().filter(|revision| *revision <= LAST_REVISION)?;
    let widget = parse_listed(&serde_json::to_vec(&fields).ok()?, suffixes).ok()?;
    Some(Widget { revision: Some(revision), ..widget })
}

/// Message to be published.
#[derive(Clone, Debug)]
pub(super) struct NewMessage {
    pub(super) key: String,
    pub(super) headers: HeaderMap,
    pub(super) payload: Bytes,
    /// The sequence that the last message of its key must have; 0: there is none.
    pub(super) expected: u64,
}

impl NewMessage {
    /// The message of a write, made through this edge.
    pub(super) fn of_write(signed: &SignedWrite, expected: u64, edge: &str) -> Self {
        let id = &signed.write.id;
        let payload = match &signed.write.state {
            WidgetState::Put { revision, json, .. } => with_revision(json, *revision),
            WidgetState::Deleted(tombstone) => {
                tombstone_json(id, tombstone.revision, tombstone.was_restricted)
            }
        };
        let headers = headers(&signed.author.name, signed.author.at, edge);
        Self { key: id.to_string(), headers, payload, expected }
    }

    /// The message of what is in force, for filling a bucket again.
    pub(super) fn of_entry(
        entry: &SharedEntry,
        expected: u64,
        actor: &str,
        at: Timestamp,
        edge: &str,
    ) -> Self {
        let payload = match &entry.json {
            Some(json) => with_revision(json, entry.revision),
            None => tombstone_json(&entry.id, entry.revision, entry.was_restricted),
        };
        Self { key: entry.id.to_string(), headers: headers(actor, at, edge), payload, expected }
    }
}

/// Headers that say who has made a change, when, and through which edge.
pub(super) fn headers(actor: &str, at: Timestamp, edge: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    // A line break would end the header.
    let actor: String = actor.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    headers.insert(ACTOR, actor);
    headers.insert(AT, at.to_string());
    headers.insert(EDGE, edge);
    headers
}

fn with_revision(json: &[u8], revision: u64) -> Bytes {
    let body = json.strip_suffix(b"}").unwrap_or(json);
    [body, format!(",\"revision\":{revision}}}").as_bytes()].concat().into()
}

fn tombstone_json(id: &WidgetId, revision: u64, restricted: bool) -> Bytes {
    let document = TombstoneDocument { id: id.to_string(), revision, deleted: true, restricted };
    serde_json::to_vec(&document).unwrap_or_default().into()
}

#[cfg(test)]
mod tests;
