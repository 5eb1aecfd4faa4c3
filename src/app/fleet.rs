//! What other edges of a fleet are told of this one, and what it shares with them.

use std::sync::{Arc, Weak};

use crate::activity::peers::PeerActivity;
use crate::activity::reader::ActivityReader;
use crate::admin::{Admin, PeerDecisions};
use crate::edge::admission::tickets::key_file::KeyFile;
use crate::edge::session::registry::SessionRegistry;
use crate::limits::limiter::Limiter;
use crate::limits::shares::Shares;
use crate::limits::shares::keeper::FleetShares;
use crate::rules::fleet::{EdgeFacts, Fleet};
use crate::rules::sessions::OpenSessions;

/// Facts about this edge beside its rules.
struct FactsInForce {
    sessions: Arc<SessionRegistry>,
    ticket_keys: Arc<KeyFile>,
}

impl EdgeFacts for FactsInForce {
    fn sessions(&self) -> usize {
        self.sessions.count()
    }

    fn ticket_keys(&self) -> String {
        self.ticket_keys.load().fingerprint()
    }
}

/// Has the fleet, if there is one, tell others of these sessions and keys.
pub(super) fn describe(
    fleet: Option<&dyn Fleet>,
    sessions: &Arc<SessionRegistry>,
    ticket_keys: &Arc<KeyFile>,
) {
    if let Some(fleet) = fleet {
        let (sessions, ticket_keys) = (Arc::clone(sessions), Arc::clone(ticket_keys));
        fleet.describe(Arc::new(FactsInForce { sessions, ticket_keys }));
    }
}

/// Has the limits of widgets and embedders divided among the edges of the fleet, if there is one.
pub(super) fn divide_limits(fleet: Option<&dyn Fleet>, limiter: &Arc<Limiter>) {
    let Some(notes) = fleet.and_then(Fleet::notes) else { return };
    let counts: Weak<Limiter> = Arc::downgrade(limiter);
    let shares = FleetShares::new(notes, counts, limiter.succeeded());
    limiter.divide(Arc::clone(&shares) as Arc<dyn Shares>);
    // To the end: shares are renewed and given back for as long as requests are served.
    tokio::spawn(shares.run());
}

/// Has this edge answer what others of its fleet, if there is one, ask about activity.
pub(super) fn answer_of_activity(fleet: Option<&dyn Fleet>, activity: Arc<dyn ActivityReader>) {
    if let Some(fleet) = fleet {
        fleet.answer_by(Arc::new(PeerActivity::new(activity)));
    }
}

/// Has this edge answer what others of its fleet, if there is one, ask about decisions.
pub(super) fn answer_of_decisions(admin: &Arc<Admin>) {
    if let Some(fleet) = &admin.fleet {
        fleet.answer_by(Arc::new(PeerDecisions::new(admin)));
    }
}
