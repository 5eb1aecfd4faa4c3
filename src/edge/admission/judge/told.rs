//! Subject of a denial.

use super::EdgePolicy;
use crate::edge::admission::tickets::TicketReading;
use embedgate_policy::decision::Facts;
use embedgate_policy::origin::{Embedder, Origin, OriginBuf};
use embedgate_policy::verdict::Reason;

/// Subject of a denial. It depends on the request and the edge alone, never on the widget, so a denied and an
/// unknown widget get the same answer.
#[derive(Clone, Copy, Debug)]
pub enum Told<'a> {
    /// The embedder, as the request names it.
    Embedder(Embedder<'a>),
    /// The page that a session's ticket names, whether or not the ticket has expired: outsiders must not
    /// learn which of the two is the reason.
    Opener(Origin<'a>),
    /// An own origin or a system origin, to which no list applies.
    OwnOrigin,
    /// A session from the edge's own origin without a ticket.
    NoTicket {
        /// Whether the edge gives iframes their tickets as cookies.
        cookies: bool,
    },
    /// A session with a ticket that was not issued here for this widget.
    ForeignTicket,
    /// The edge, whose rules are too old to judge by.
    StaleRules,
}

/// Subject of a denial, owned.
#[derive(Debug)]
pub(super) enum DenialSubject {
    Embedder,
    Opener(OriginBuf),
    OwnOrigin,
    NoTicket { cookies: bool },
    ForeignTicket,
    StaleRules,
}

impl DenialSubject {
    /// The subject of a denial for this reason. `reading`: the ticket of a session from the widget's own iframe;
    /// `None` for other requests.
    pub(super) fn of(
        reason: Reason,
        facts: &Facts<'_>,
        reading: Option<&TicketReading>,
        policy: &EdgePolicy,
        cookies: bool,
    ) -> Self {
        let is_system = |origin: Origin<'_>| policy.system_origins.contains(origin);
        match reading {
            _ if reason == Reason::StaleRules => Self::StaleRules,
            Some(TicketReading::Absent) => Self::NoTicket { cookies },
            Some(TicketReading::Invalid(_)) => Self::ForeignTicket,
            Some(TicketReading::Genuine(ticket)) => match ticket.embedder() {
                Some(origin) if is_system(origin) => Self::OwnOrigin,
                Some(origin) => Self::Opener(origin.into()),
                None => Self::ForeignTicket,
            },
            None => match facts.embedder.origin() {
                Some(origin) if facts.is_from_own_origin(policy) || is_system(origin) => Self::OwnOrigin,
                _ => Self::Embedder,
            },
        }
    }

    pub(super) fn told<'a>(&'a self, embedder: Embedder<'a>) -> Told<'a> {
        match self {
            Self::Embedder => Told::Embedder(embedder),
            Self::Opener(origin) => Told::Opener(origin.as_origin()),
            Self::OwnOrigin => Told::OwnOrigin,
            Self::NoTicket { cookies } => Told::NoTicket { cookies: *cookies },
            Self::ForeignTicket => Told::ForeignTicket,
            Self::StaleRules => Told::StaleRules,
        }
    }
}
