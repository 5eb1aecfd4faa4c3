//! Ticket that a request presents, where its verdict depends on one.

use super::{Judge, names_host};
use crate::edge::admission::fetch_metadata::FetchMetadata;
use crate::edge::admission::tickets::TicketReading;
use crate::edge::http::message::RequestHead;
use embedgate_policy::origin::{Embedder, Origin};
use embedgate_policy::verdict::Class;

/// Ticket that a request presents.
pub(super) struct PresentedTicket {
    /// `None`: the verdict depends on none.
    pub(super) reading: Option<TicketReading>,
    /// It was in a cookie.
    pub(super) by_cookie: bool,
}

impl PresentedTicket {
    // No constant: all of its bytes would be copied.
    #[inline]
    fn none() -> Self {
        Self { reading: None, by_cookie: false }
    }
}

impl Judge<'_> {
    /// Reads the ticket of a session from the widget's own iframe, or of that iframe itself when it reloads or
    /// follows a link. A ticket that was sent on purpose goes before the cookie. Other requests are judged by their
    /// own origin, so their tickets and cookies are ignored.
    #[inline]
    pub(super) fn presented(
        &self,
        class: Class,
        embedder: &Embedder<'_>,
        id: &str,
        request: &RequestHead,
        fetch: &FetchMetadata<'_>,
    ) -> PresentedTicket {
        match embedder.origin() {
            Some(origin) if self.policy.own_origins.contains(origin, id) => {
                self.presented_by_own(class, origin, id, request, fetch)
            }
            _ => PresentedTicket::none(),
        }
    }

    /// The same for a request from this own origin.
    // Not a part of every verdict's code: a ticket is hundreds of bytes, which few requests have.
    #[inline(never)]
    fn presented_by_own(
        &self,
        class: Class,
        own: Origin<'_>,
        id: &str,
        request: &RequestHead,
        fetch: &FetchMetadata<'_>,
    ) -> PresentedTicket {
        let sent = match class {
            Class::Session => self.tickets.read(request, id),
            Class::Frame if fetch.is_in_frame() => self.tickets.read_address(request, id),
            Class::Frame | Class::Asset | Class::Public => return PresentedTicket::none(),
        };
        let (reading, by_cookie) = match sent {
            TicketReading::Absent => {
                let kept = match self.is_of_host(own, request) {
                    true => self.tickets.read_cookie(request, id),
                    false => TicketReading::Absent,
                };
                let by_cookie = !matches!(kept, TicketReading::Absent);
                (kept, by_cookie)
            }
            sent => (sent, false),
        };
        let is_told = class == Class::Session || !matches!(reading, TicketReading::Absent);
        PresentedTicket { reading: is_told.then_some(reading), by_cookie }
    }

    /// Whether an own origin is that of the host which was asked: of several, each has its own cookies.
    fn is_of_host(&self, origin: Origin<'_>, request: &RequestHead) -> bool {
        self.policy.own_origins.is_single() || names_host(origin, request)
    }
}
