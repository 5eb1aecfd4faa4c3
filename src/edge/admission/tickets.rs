//! Tickets at the edge: reading, checking and issuing.

use std::sync::Arc;

use http::HeaderValue;
use jiff::{SignedDuration, Timestamp};

use self::key_file::KeyFile;
use self::presented::Presented;
use crate::config::{TicketCookie, TicketSettings};
use crate::edge::http::message::RequestHead;
use embedgate_policy::decision::TicketState;
use embedgate_policy::headers::ticket_cookie;
use embedgate_policy::origin::Origin;
use embedgate_policy::ticket::{Ticket, TicketError, TicketReader};
use embedgate_policy::verdict::Class;

pub mod cookie;
pub mod key_file;
pub mod presented;

/// Issuer and reader of tickets.
#[derive(Clone, Debug)]
pub struct Tickets {
    keys: Arc<KeyFile>,
    lifetime: SignedDuration,
    renewable_for: SignedDuration,
    /// Whether iframes also get their tickets as cookies.
    cookies: bool,
}

/// Ticket of a request, as read.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::large_enum_variant, reason = "it lies on the stack: nothing is allocated up to a verdict")]
pub enum TicketReading {
    /// No ticket.
    Absent,
    /// A text that is not a ticket of this edge for this widget.
    Invalid(TicketError),
    /// A ticket of this edge, which may have expired.
    Genuine(Ticket),
}

impl Tickets {
    /// An issuer with these keys.
    pub fn new(keys: Arc<KeyFile>, settings: &TicketSettings) -> Self {
        let signed = |time| SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
        let (lifetime, renewable_for) = (signed(settings.lifetime), signed(settings.renewable_for));
        let cookies = settings.cookie == TicketCookie::Partitioned;
        Self { keys, lifetime, renewable_for, cookies }
    }

    /// Lifetime of a new ticket, in seconds.
    pub fn lifetime(&self) -> i64 {
        self.lifetime.as_secs().max(1)
    }

    /// Reads the ticket of a request for this widget.
    pub fn read(&self, request: &RequestHead, widget: &str) -> TicketReading {
        self.read_presented(Presented::find(request), widget)
    }

    /// Reads the ticket in a frame's address for this widget.
    pub fn read_address(&self, request: &RequestHead, widget: &str) -> TicketReading {
        self.read_presented(Presented::in_address(request), widget)
    }

    /// Whether iframes also get their tickets as cookies.
    pub fn has_cookies(&self) -> bool {
        self.cookies
    }

    /// Reads the ticket in this widget's cookie, where there are such cookies.
    pub fn read_cookie(&self, request: &RequestHead, widget: &str) -> TicketReading {
        match self.cookies {
            true => self.read_presented(cookie::find(&request.fields, widget), widget),
            false => TicketReading::Absent,
        }
    }

    /// The `Set-Cookie` with a ticket, where there are such cookies.
    pub fn cookie(&self, widget: &str, ticket: &str) -> Option<HeaderValue> {
        if self.cookies { ticket_cookie(widget, ticket, self.renewable_for) } else { None }
    }

    /// Whether a ticket is older than half its lifetime, so that its cookie is renewed.
    pub fn is_half_spent(&self, ticket: &Ticket, now: Timestamp) -> bool {
        let left = ticket.expires_at().map(|expires_at| expires_at.duration_since(now));
        left.is_none_or(|left| left < SignedDuration::from_secs(self.lifetime()) / 2)
    }

    fn read_presented(&self, presented: Presented<'_>, widget: &str) -> TicketReading {
        match presented {
            Presented::Nothing => TicketReading::Absent,
            Presented::Several => TicketReading::Invalid(TicketError::Several),
            Presented::Ticket(ticket) => {
                self.read_ticket(widget, ticket).map_or_else(TicketReading::Invalid, TicketReading::Genuine)
            }
        }
    }

    /// Issues a ticket; `None` if the embedder is too long for one.
    pub fn issue(&self, widget: &str, embedder: Origin<'_>, now: Timestamp) -> Option<String> {
        let expires_at = now.checked_add(SignedDuration::from_secs(self.lifetime())).ok()?;
        Ticket::issue(&self.keys.load(), widget, embedder, expires_at)
    }

    /// State of a ticket for renewals, reloads and streams, where an expired ticket still counts for a while.
    pub fn renewable_state<'t>(&self, reading: &'t TicketReading, now: Timestamp) -> TicketState<'t> {
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

impl TicketReading {
    /// State of the ticket for a session that can get a fresh one.
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

    /// Whether a request of this class is judged by the ticket: a session from the edge's own origin always,
    /// a frame only if the ticket is genuine.
    pub fn is_needed(&self, class: Class) -> bool {
        class == Class::Session || matches!(self, Self::Genuine(_))
    }

    /// The error of an invalid ticket, for logs.
    pub fn fault(&self) -> Option<TicketError> {
        match self {
            Self::Invalid(error) => Some(*error),
            Self::Absent | Self::Genuine(_) => None,
        }
    }

    /// The origin that opened the widget, by the ticket.
    pub fn embedder(&self) -> Option<Origin<'_>> {
        match self {
            Self::Genuine(ticket) => ticket.embedder(),
            Self::Absent | Self::Invalid(_) => None,
        }
    }
}
