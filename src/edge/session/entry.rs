//! Entries of the registry: what is kept of an open session, and what it takes of its widget's limits.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::RandomState;
use jiff::Timestamp;

use super::revocation::Revocation;
use crate::edge::admission::decision_id::DecisionId;
use crate::limits::charge::Charge;
use crate::limits::limiter::Limiter;
use crate::limits::opening::Opening;
use crate::rules::sessions::{OpenSession, SessionFacts, is_listed};
use embedgate_policy::compiled::WidgetRules;
use embedgate_policy::decision::{Decision, EdgePolicy};
use embedgate_policy::limits::Limits;

/// Session that is about to open.
#[derive(Debug)]
pub struct NewSession {
    /// The facts by which it is judged again.
    pub facts: SessionFacts,
    /// The generation of the rules that allowed it.
    pub generation: u64,
    /// Whether limits count it as a session for as long as it is open, as they do WebSockets and streams.
    pub is_counted: bool,
    /// The client's address, where the session is counted; `None` where it is not known.
    pub address: Option<IpAddr>,
    /// What it has taken of its widget's limits, if there are any.
    pub charge: Option<Charge>,
}

/// Open sessions of one widget, at least one.
pub(super) struct WidgetSessions {
    pub(super) widget: Arc<str>,
    pub(super) sessions: HashMap<u64, SessionEntry, RandomState>,
    /// The next expiry of an entry of the widget's list, which is on the agenda while there are sessions.
    pub(super) expires_at: Option<Timestamp>,
}

impl WidgetSessions {
    /// Those of a widget that has none yet.
    pub(super) fn new(widget: Arc<str>) -> Self {
        Self { widget, sessions: HashMap::default(), expires_at: None }
    }
}

/// Open session, as the registry keeps it.
pub(super) struct SessionEntry {
    pub(super) decision_id: DecisionId,
    pub(super) facts: SessionFacts,
    pub(super) since: Timestamp,
    pub(super) revocation: Arc<Revocation>,
    is_counted: bool,
    address: Option<IpAddr>,
    charge: Option<Charge>,
}

impl SessionEntry {
    /// The entry of a session that goes on: its opens stay counted.
    pub(super) fn new(
        session: NewSession,
        decision_id: DecisionId,
        since: Timestamp,
        revocation: Arc<Revocation>,
    ) -> Self {
        let NewSession { facts, generation: _, is_counted, address, mut charge } = session;
        if let Some(charge) = &mut charge {
            charge.keep();
        }
        Self { decision_id, facts, since, revocation, is_counted, address, charge }
    }

    /// The session, as it is shown.
    pub(super) fn shown(&self) -> OpenSession {
        let Self { since, is_counted, address, .. } = *self;
        OpenSession { facts: self.facts.clone(), since, is_counted, address }
    }

    /// Notes that its answer is a stream, which nothing of its request has said. So far it has taken an open at most, which
    /// stays counted. `address`: the client's.
    pub(super) fn streams(&mut self, address: Option<IpAddr>) {
        if !self.is_counted {
            (self.is_counted, self.address, self.charge) = (true, address, None);
        }
    }

    /// Counts the session for these limits if it was opened under none. It stays open, whatever they say. `decision`: what
    /// the rules in force say of it.
    pub(super) fn count_for(
        &mut self,
        (rules, limits): (WidgetRules<'_>, &Limits),
        (decision, policy): (&Decision, &EdgePolicy),
        limiter: &Arc<Limiter>,
    ) {
        let facts = self.facts.facts(rules.id);
        // A charge is one of all parts, whichever of them had limits.
        let is_new = self.is_counted && self.charge.is_none();
        if !is_new || !facts.is_limited(decision.reason, policy) {
            return;
        }
        let mut charge = limiter.occupy(&Opening {
            widget: rules.id,
            limits,
            embedder: facts.counted_embedder(policy).unwrap_or_default(),
            is_listed: &|| is_listed(&facts, decision, &rules, policy),
            address: self.address,
            is_open: false,
            is_session: true,
            may_wait: false,
        });
        charge.keep();
        self.charge = Some(charge);
    }
}
