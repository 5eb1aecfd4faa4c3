//! Whom a denial speaks of.

use super::EdgePolicy;
use crate::edge::tickets::Reading;
use crate::policy::origin::{Embedder, Origin, OriginBuf};

/// Subject of a denial. It follows from the request alone, never from the widget: a denied and an unknown one are told
/// alike.
#[derive(Clone, Copy, Debug)]
pub enum Told<'a> {
    /// The embedder, as the request names it.
    Embedder(Embedder<'a>),
    /// The page that a session's ticket names, whether or not the ticket is still good: it is not for everybody to find
    /// out which of the two is why.
    Opener(Origin<'a>),
    /// An origin of the edge's own or of its operator's, which no list is about.
    OwnOrigin,
    /// A session from the edge's own origin that brings no ticket.
    NoTicket,
    /// One that brings a ticket which was not issued here for this widget.
    ForeignTicket,
}

/// The same, kept.
#[derive(Debug)]
pub(super) enum Subject {
    Embedder,
    Opener(OriginBuf),
    OwnOrigin,
    NoTicket,
    ForeignTicket,
}

impl Subject {
    /// `reading`: what a session of the widget's own iframe presents; none for other requests.
    pub(super) fn of(embedder: &Embedder<'_>, reading: Option<&Reading>, policy: &EdgePolicy) -> Self {
        let is_system = |origin: Origin<'_>| policy.system_origins.contains(origin);
        match reading {
            Some(Reading::Absent) => Self::NoTicket,
            Some(Reading::Invalid(_)) => Self::ForeignTicket,
            Some(Reading::Genuine(ticket)) => match ticket.embedder() {
                Some(origin) if is_system(origin) => Self::OwnOrigin,
                Some(origin) => Self::Opener(origin.into()),
                None => Self::ForeignTicket,
            },
            None => match embedder.origin() {
                Some(origin) if policy.own_origins.contains(origin) || is_system(origin) => Self::OwnOrigin,
                _ => Self::Embedder,
            },
        }
    }

    pub(super) fn told<'a>(&'a self, embedder: Embedder<'a>) -> Told<'a> {
        match self {
            Self::Embedder => Told::Embedder(embedder),
            Self::Opener(origin) => Told::Opener(origin.as_origin()),
            Self::OwnOrigin => Told::OwnOrigin,
            Self::NoTicket => Told::NoTicket,
            Self::ForeignTicket => Told::ForeignTicket,
        }
    }
}
