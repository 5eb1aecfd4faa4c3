//! Guard of an open session.

use std::net::IpAddr;
use std::sync::Arc;

use super::registry::SessionRegistry;
use super::revocation::Revocation;
use crate::rules::sessions::SessionFacts;

/// Guard of an open session, which ends when the guard is dropped.
#[derive(Debug)]
pub struct SessionGuard {
    sessions: Arc<SessionRegistry>,
    widget: Arc<str>,
    id: u64,
    revocation: Arc<Revocation>,
}

impl SessionGuard {
    /// The guard of a session of this registry.
    pub(super) fn new(
        sessions: Arc<SessionRegistry>,
        widget: Arc<str>,
        id: u64,
        revocation: Arc<Revocation>,
    ) -> Self {
        Self { sessions, widget, id, revocation }
    }

    /// The widget's id.
    pub fn widget(&self) -> &str {
        &self.widget
    }

    /// What the session rests on; `None`: it has ended.
    pub fn facts(&self) -> Option<SessionFacts> {
        self.sessions.facts(&self.widget, self.id)
    }

    /// Counts it for its widget's limits from now on: its answer proves to be a stream. `address`: the client's.
    pub fn streams(&self, address: Option<IpAddr>) {
        self.sessions.streams(&self.widget, self.id, address);
    }

    /// The session's cancellation handle.
    pub fn revocation(&self) -> &Arc<Revocation> {
        &self.revocation
    }
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        self.sessions.close(&self.widget, self.id);
    }
}
