//! What a presented ticket is worth.

use std::borrow::Cow;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::policy::decision::TicketState;
use crate::policy::ticket::{Ticket, TicketError};

/// What the edge reads in a ticket. Whether the page that opened the widget may still embed it is the verdict's to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TicketWorth {
    /// `valid`, `expired`, or the fault: `malformed`, `unknown_key`, `altered`, `other_widget`.
    #[schema(value_type = String)]
    pub worth: Cow<'static, str>,
    /// The same in words.
    pub detail: String,
    /// The origin that opened the widget, where the ticket is genuine.
    pub opened_by: Option<String>,
    /// The end of its lifetime, likewise.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
}

impl TicketWorth {
    pub(super) fn of(
        ticket: &Result<Ticket, TicketError>,
        renewable_for: SignedDuration,
        now: Timestamp,
    ) -> Self {
        let ticket = match ticket {
            Ok(ticket) => ticket,
            Err(error) => {
                let (worth, detail) = (error.code().into(), format!("{error}"));
                return Self { worth, detail, opened_by: None, expires_at: None };
            }
        };
        let opened_by = ticket.embedder().map(|origin| origin.to_string());
        let who = opened_by.as_deref().unwrap_or_default();
        let at = ticket.expires_at().map(|at| at.to_string()).unwrap_or_default();
        let (worth, detail) = match ticket.state(now, SignedDuration::ZERO) {
            TicketState::Valid(_) => ("valid", format!("says until {at} that {who} opened the widget")),
            _ => ("expired", format!("said until {at} that {who} opened the widget")),
        };
        let detail = match ticket.state(now, renewable_for) {
            TicketState::Valid(_) if worth == "expired" => {
                format!("{detail}; still taken from a frame that reloads, from a stream, and for a fresh one")
            }
            _ => detail,
        };
        Self { worth: worth.into(), detail, expires_at: ticket.expires_at(), opened_by }
    }
}
