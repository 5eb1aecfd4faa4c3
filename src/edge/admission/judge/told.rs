//! Subject of a denial.

use super::EdgePolicy;
use crate::edge::admission::tickets::TicketReading;
use crate::limits::opening::LimitRefusal;
use embedgate_policy::decision::Facts;
use embedgate_policy::limits::LimitKind;
use embedgate_policy::origin::{Embedder, Origin, OriginBuf};
use embedgate_policy::verdict::Reason;

/// Subject of a denial. It depends on the request and the edge alone, so a denied and an unknown widget get the same
/// answer. An answer about a limit differs: only pages that are admitted get it.
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
    /// A limit of the widget, which an open passes that its list allows.
    Limit(ToldLimit),
}

/// Limit that an open passes, as far as outsiders are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToldLimit {
    /// What is counted.
    pub kind: LimitKind,
    /// The reason of the verdict.
    pub reason: Reason,
    /// Seconds after which it may be tried again, at least 1.
    pub retry_after: u64,
}

impl From<LimitRefusal> for ToldLimit {
    fn from(refusal: LimitRefusal) -> Self {
        let wait = refusal.retry_after;
        // Rounded up: whoever comes a moment too early is refused again.
        let seconds = (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1);
        // The millisecond by which a minute is longer here has gone by before the answer arrives.
        let is_of_minute = refusal.kind == LimitKind::OpensPerMinute;
        let retry_after = if is_of_minute { seconds.min(60) } else { seconds };
        Self { kind: refusal.kind, reason: refusal.reason(), retry_after }
    }
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
    Limit(ToldLimit),
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
            Self::Limit(limit) => Told::Limit(*limit),
        }
    }
}
