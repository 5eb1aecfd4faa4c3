//! Tickets: short-lived signed statements "widget W was opened by embedder E".
//!
//! Inside the widget's iframe, a browser's `Origin` names the widget's own host, so a session call from there
//! needs a ticket. A frame that reloads or follows a link has one in its address. A ticket grants nothing by
//! itself: whoever presents one is judged by the rules in force, as the embedder that it names.
//!
//! ```text
//! ticket    = base64url(statement) "." base64url(signature)                 (RFC 4648 §5, without padding)
//! statement = version:u8 key:4 expiry:u64 length(widget):u8 widget origin     (big-endian; Unix seconds)
//! signature = HMAC-SHA-256 of the statement                                  (RFC 2104, FIPS 180-4)
//! ```
//!
//! `key` tells which key has signed, so that a ticket of a removed key is not reported as altered.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};

use super::decision::TicketState;
use super::origin::Origin;

mod keys;

pub use keys::{TicketKeyError, TicketKeys};

use keys::KEY_ID;

/// Maximum length of a ticket, in characters.
pub const MAX_TICKET: usize = 512;

const VERSION: u8 = 1;
const HEAD: usize = 1 + KEY_ID + 8 + 1;
const SIGNATURE: usize = 32;
const SIGNATURE_TEXT: usize = 43;
/// Maximum length of a statement, in bytes, so that the ticket fits into [`MAX_TICKET`].
const MAX_STATEMENT: usize = (MAX_TICKET - 1 - SIGNATURE_TEXT) * 3 / 4;

/// Genuine ticket: one of the edge's keys has signed it. It may have expired.
#[derive(Clone, Copy)]
pub struct Ticket {
    statement: [u8; MAX_STATEMENT],
    length: usize,
}

/// Error of something presented as a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// The text does not have the form of a ticket.
    #[error("not in the form of a ticket")]
    Malformed,
    /// This edge does not have the key that the ticket names.
    #[error("signed with a key that this edge doesn't have: it was removed, or belongs to another edge")]
    UnknownKey,
    /// The signature does not match: the ticket was changed.
    #[error("changed after this edge signed it")]
    Altered,
    /// The ticket is for another widget.
    #[error("issued for another widget")]
    OtherWidget,
    /// More than one ticket was presented.
    #[error("more than one ticket was presented")]
    Several,
}

impl TicketError {
    /// Every error.
    pub const ALL: [Self; 5] =
        [Self::Malformed, Self::UnknownKey, Self::Altered, Self::OtherWidget, Self::Several];

    /// The stable code that logs show.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownKey => "unknown_key",
            Self::Altered => "altered",
            Self::OtherWidget => "other_widget",
            Self::Several => "several",
        }
    }
}

/// Reader of tickets, for explanations.
pub trait TicketReader: Send + Sync {
    /// Reads a ticket that is presented for this widget.
    ///
    /// # Errors
    ///
    /// It is not a ticket of this edge for this widget.
    fn read_ticket(&self, widget: &str, presented: &[u8]) -> Result<Ticket, TicketError>;

    /// How long after its expiry a ticket is still accepted for renewals, for frames that reload or follow a
    /// link, and for streams.
    fn renewable_for(&self) -> SignedDuration;
}

impl Ticket {
    /// Issues a ticket for `widget` opened by `embedder`, valid until `expires_at`. `None` if the origin is
    /// too long for a ticket, which no browser's origin is.
    pub fn issue(
        keys: &TicketKeys,
        widget: &str,
        embedder: Origin<'_>,
        expires_at: Timestamp,
    ) -> Option<String> {
        let (widget, embedder) = (widget.as_bytes(), embedder.as_str().as_bytes());
        let mut statement = Vec::with_capacity(HEAD + widget.len() + embedder.len());
        statement.push(VERSION);
        statement.extend(keys.signing_id());
        statement.extend(u64::try_from(expires_at.as_second()).ok()?.to_be_bytes());
        statement.push(u8::try_from(widget.len()).ok()?);
        statement.extend(widget);
        statement.extend(embedder);
        if statement.len() > MAX_STATEMENT {
            return None;
        }
        let mut text = String::with_capacity(MAX_TICKET);
        URL_SAFE_NO_PAD.encode_string(&statement, &mut text);
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(keys.sign(&statement), &mut text);
        Some(text)
    }

    /// Reads a ticket that is presented for `widget`. Allocates nothing.
    ///
    /// # Errors
    ///
    /// The text is not a ticket, not from this edge, or not for this widget.
    pub fn verify(keys: &TicketKeys, widget: &str, presented: &[u8]) -> Result<Self, TicketError> {
        if presented.len() > MAX_TICKET {
            return Err(TicketError::Malformed);
        }
        let dot = presented.iter().position(|byte| *byte == b'.').ok_or(TicketError::Malformed)?;
        let (statement_text, signature_text) = presented.split_at(dot);
        let signature_text = signature_text.get(1..).unwrap_or_default();
        let mut signature = [0; SIGNATURE];
        let mut ticket = Self { statement: [0; MAX_STATEMENT], length: 0 };
        ticket.length = decode(statement_text, &mut ticket.statement)?;
        if decode(signature_text, &mut signature)? != SIGNATURE {
            return Err(TicketError::Malformed);
        }
        let (_, signed) = ticket.bytes().split_first().ok_or(TicketError::Malformed)?;
        let (id, _) = signed.split_first_chunk::<KEY_ID>().ok_or(TicketError::Malformed)?;
        keys.verify(*id, ticket.bytes(), &signature)?;
        // The signature is valid, so this edge or another version of it wrote the bytes.
        if ticket.read().is_none() {
            return Err(TicketError::Malformed);
        }
        if ticket.widget() != widget.as_bytes() { Err(TicketError::OtherWidget) } else { Ok(ticket) }
    }

    /// The origin that opened the widget.
    #[must_use]
    pub fn embedder(&self) -> Option<Origin<'_>> {
        self.read().map(|(_, _, embedder)| embedder)
    }

    /// The instant at which the ticket expires.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.read().map(|(expires_at, _, _)| expires_at)
    }

    /// The state of the ticket; it counts as valid until `grace` after its expiry.
    #[must_use]
    pub fn state(&self, now: Timestamp, grace: SignedDuration) -> TicketState<'_> {
        let Some((expires_at, _, embedder)) = self.read() else { return TicketState::Invalid };
        match expires_at.checked_add(grace) {
            Ok(until) if now >= until => TicketState::Expired,
            _ => TicketState::Valid(embedder),
        }
    }

    fn widget(&self) -> &[u8] {
        self.read().map(|(_, widget, _)| widget).unwrap_or_default()
    }

    fn bytes(&self) -> &[u8] {
        self.statement.get(..self.length).unwrap_or_default()
    }

    fn read(&self) -> Option<(Timestamp, &[u8], Origin<'_>)> {
        let (&version, rest) = self.bytes().split_first()?;
        let (_, rest) = rest.split_first_chunk::<KEY_ID>()?;
        let (expiry, rest) = rest.split_first_chunk::<8>()?;
        let (&length, rest) = rest.split_first()?;
        let (widget, embedder) = rest.split_at_checked(usize::from(length))?;
        let expires_at = Timestamp::from_second(i64::try_from(u64::from_be_bytes(*expiry)).ok()?).ok()?;
        let embedder = Origin::parse(std::str::from_utf8(embedder).ok()?).ok()?;
        (version == VERSION).then_some((expires_at, widget, embedder))
    }
}

impl std::fmt::Debug for Ticket {
    /// Never prints the ticket itself, because whoever has it can use it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticket").field("embedder", &self.embedder()).finish_non_exhaustive()
    }
}

fn decode(text: &[u8], bytes: &mut [u8]) -> Result<usize, TicketError> {
    URL_SAFE_NO_PAD.decode_slice(text, bytes).map_err(|_| TicketError::Malformed)
}

#[cfg(test)]
mod tests;
