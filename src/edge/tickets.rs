//! Tickets at the edge: what a request presents, what it is worth, and new ones.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use self::key_file::KeyFile;
use self::presented::Presented;
use crate::config::TicketSettings;
use crate::edge::message::RequestHead;
use crate::policy::decision::{Class, TicketState};
use crate::policy::origin::Origin;
use crate::policy::ticket::{Ticket, TicketError, TicketReader};

pub mod key_file;
pub mod presented;

/// Gives out tickets and reads them.
#[derive(Clone, Debug)]
pub struct Tickets {
    keys: Arc<KeyFile>,
    lifetime: SignedDuration,
    renewable_for: SignedDuration,
}

/// What a request presents as its ticket.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::large_enum_variant, reason = "it lies on the stack: nothing is allocated up to a verdict")]
pub enum Reading {
    /// Nothing.
    Absent,
    /// Nothing that this edge gave out for this widget.
    Invalid(TicketError),
    /// A ticket of this edge's, whether or not it is still good.
    Genuine(Ticket),
}

impl Tickets {
    /// Tickets signed with these keys.
    pub fn new(keys: Arc<KeyFile>, settings: &TicketSettings) -> Self {
        let signed = |time| SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
        let (lifetime, renewable_for) = (signed(settings.lifetime), signed(settings.renewable_for));
        Self { keys, lifetime, renewable_for }
    }

    /// For how many seconds a new one is good.
    pub fn lifetime(&self) -> i64 {
        self.lifetime.as_secs().max(1)
    }

    /// Reads what a request presents for this widget.
    pub fn read(&self, request: &RequestHead, widget: &str) -> Reading {
        self.read_presented(Presented::find(request), widget)
    }

    /// Reads what a frame has in its address for this widget.
    pub fn read_address(&self, request: &RequestHead, widget: &str) -> Reading {
        self.read_presented(Presented::in_address(request), widget)
    }

    fn read_presented(&self, presented: Presented<'_>, widget: &str) -> Reading {
        match presented {
            Presented::Nothing => Reading::Absent,
            Presented::Several => Reading::Invalid(TicketError::Several),
            Presented::Ticket(ticket) => {
                self.read_ticket(widget, ticket).map_or_else(Reading::Invalid, Reading::Genuine)
            }
        }
    }

    /// A new one; `None` for an embedder that no ticket has room for.
    pub fn issue(&self, widget: &str, embedder: Origin<'_>, now: Timestamp) -> Option<String> {
        let expires_at = now.checked_add(SignedDuration::from_secs(self.lifetime())).ok()?;
        Ticket::issue(&self.keys.load(), widget, embedder, expires_at)
    }

    /// What it is worth where a fresh one is asked for, or nothing but an old one can come: one that is past its
    /// lifetime still says who opened the widget.
    pub fn renewable_state<'t>(&self, reading: &'t Reading, now: Timestamp) -> TicketState<'t> {
        reading.within(self.renewable_for, now)
    }
}

impl TicketReader for Tickets {
    fn read_ticket(&self, widget: &str, presented: &[u8]) -> Result<Ticket, TicketError> {
        Ticket::verify(&self.keys.load(), widget, presented)
    }

    fn renewable_for(&self) -> SignedDuration {
        self.renewable_for
    }
}

impl Reading {
    /// What it is worth for a session that can have a fresh one.
    pub fn state(&self, now: Timestamp) -> TicketState<'_> {
        self.within(SignedDuration::ZERO, now)
    }

    fn within(&self, grace: SignedDuration, now: Timestamp) -> TicketState<'_> {
        match self {
            Self::Absent => TicketState::Absent,
            Self::Invalid(_) => TicketState::Invalid,
            Self::Genuine(ticket) => ticket.state(now, grace),
        }
    }

    /// Whether a request of this class is judged by it: a session from the edge's own origin whatever it is, a frame only
    /// by a genuine one.
    pub fn is_needed(&self, class: Class) -> bool {
        class == Class::Session || matches!(self, Self::Genuine(_))
    }

    /// What is wrong with it, as logs say it.
    pub fn fault(&self) -> Option<TicketError> {
        match self {
            Self::Invalid(error) => Some(*error),
            Self::Absent | Self::Genuine(_) => None,
        }
    }

    /// The origin that opened the widget, as the ticket says.
    pub fn embedder(&self) -> Option<Origin<'_>> {
        match self {
            Self::Genuine(ticket) => ticket.embedder(),
            Self::Absent | Self::Invalid(_) => None,
        }
    }
}
