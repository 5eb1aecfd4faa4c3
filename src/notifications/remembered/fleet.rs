//! Sessions that leave the edge, in a fleet: an edge that hears that one is over tells the others, as well as it can, for
//! another of them may remember it.

use std::sync::{Arc, Weak};

use jiff::Timestamp;

use super::RememberedSessions;
use super::named::MOST_NAMED;
use super::row::EndedSession;
use crate::rules::fleet::{Fleet, HearsPeers, PeerWord};

/// Topic of words about sessions that are over.
const ENDED: &str = "ended";

/// Fleet that this edge is in.
pub(super) struct JoinedFleet {
    fleet: Arc<dyn Fleet>,
    /// The last contact with the source of the rules as it was known at the start.
    contact_before: Option<Timestamp>,
}

/// Hearer of what other edges say.
struct EndedHearer(Weak<RememberedSessions>);

impl RememberedSessions {
    /// Joins a fleet: what it has is judged once this edge has its rules from there. Before anything runs.
    pub fn join(self: &Arc<Self>, fleet: &Arc<dyn Fleet>) {
        fleet.hear_by(Arc::new(EndedHearer(Arc::downgrade(self))));
        let contact_before = fleet.link().borrow().current_at;
        // There is one at most.
        let _ = self.fleet.set(JoinedFleet { fleet: Arc::clone(fleet), contact_before });
    }

    /// Whether the rules are known to be those that everybody has, or are this edge's alone.
    pub(super) fn is_in_touch(&self) -> bool {
        self.fleet.get().is_none_or(|JoinedFleet { fleet, contact_before }| {
            let current_at = fleet.link().borrow().current_at;
            current_at.is_some() && current_at != *contact_before
        })
    }

    /// Tells the other edges that these are over.
    pub(super) fn tell_peers(&self, ended: &[EndedSession]) {
        let Some(JoinedFleet { fleet, .. }) = self.fleet.get().filter(|_| !ended.is_empty()) else { return };
        let ended: Vec<(&str, &str)> = ended.iter().map(|(widget, id)| (&**widget, &**id)).collect();
        // Text can always be written.
        if let Ok(body) = serde_json::to_vec(&ended) {
            fleet.tell_peers(PeerWord { topic: ENDED, body });
        }
    }
}

impl HearsPeers for EndedHearer {
    fn hear(&self, edge: &str, topic: &str, body: &[u8]) {
        let Some(sessions) = self.0.upgrade().filter(|_| topic == ENDED) else { return };
        match serde_json::from_slice::<Vec<(Arc<str>, Arc<str>)>>(body) {
            Ok(ended) if ended.len() <= MOST_NAMED => sessions.hear_ended(ended),
            _ => tracing::debug!(edge, "what another edge says of sessions that are over can't be read"),
        }
    }
}
