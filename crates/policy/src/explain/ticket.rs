//! State of a presented ticket, for explanations.

use std::borrow::Cow;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::decision::TicketState;
use crate::ticket::{Ticket, TicketError};

/// State of a ticket as the edge reads it. Whether the page that opened the widget may still embed it is up
/// to the verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TicketWorth {
    /// `valid`, `expired`, or the error: `malformed`, `unknown_key`, `altered`, `other_widget`.
    #[schema(value_type = String)]
    pub worth: Cow<'static, str>,
    /// The state in words.
    pub detail: String,
    /// The origin that opened the widget, if the ticket is genuine.
    pub opened_by: Option<String>,
    /// The expiry of the ticket, if it is genuine.
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
            TicketState::Valid(_) => ("valid", format!("valid until {at}; {who} opened the widget")),
            _ => ("expired", format!("expired at {at}; {who} opened the widget")),
        };
        let detail = match ticket.state(now, renewable_for) {
            TicketState::Valid(_) if worth == "expired" => {
                format!(
                    "{detail}; still accepted for a renewal, from a frame that reloads, and from a stream"
                )
            }
            _ => detail,
        };
        Self { worth: worth.into(), detail, expires_at: ticket.expires_at(), opened_by }
    }
}
