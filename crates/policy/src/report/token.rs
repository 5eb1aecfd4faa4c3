//! Tokens of reports: signed statements that this edge has sent a frame of widget W, by decision D, to a page of origin E.
//!
//! ```text
//! token     = base64url(statement signature)                                (RFC 4648 §5, without padding)
//! statement = version:u8 expiry:u64 decision:16 embedder                      (big-endian; Unix seconds)
//! signature = HMAC-SHA-256 of length(widget):u8 widget statement              (RFC 2104, FIPS 180-4)
//! key       = HKDF-SHA-256("embed-report")                                    (RFC 5869; of a ticket key)
//! ```
//!
//! A token names nothing secret: the page and the decision are those of whoever gets it. It is no ticket, and its key
//! signs nothing else.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use ring::error::Unspecified;
use ring::hmac;

use crate::origin::Origin;
use crate::ticket::TicketKeys;

/// Label of these keys in the derivation; other uses have other labels.
const LABEL: &[u8] = b"embed-report";

/// How long a token is valid: a browser sends its reports soon, and a kept frame is loaded again.
const LIFETIME: SignedDuration = SignedDuration::from_hours(1);

const VERSION: u8 = 1;
const DECISION: usize = 16;
const HEAD: usize = 1 + 8 + DECISION;
const SIGNATURE: usize = 32;
/// Length of the longest origin of a website: `https://`, a name of 253 bytes and a port of five digits.
const MAX_EMBEDDER: usize = 8 + 253 + 6;
const MAX_BYTES: usize = HEAD + MAX_EMBEDDER + SIGNATURE;

/// Maximum length of a token, in characters.
pub const MAX_REPORT_TOKEN: usize = (MAX_BYTES * 4).div_ceil(3);

/// Keys of tokens: one from each ticket key in force. The first signs, all verify.
pub struct ReportKeys(Vec<hmac::Key>);

impl ReportKeys {
    /// Derives the keys.
    ///
    /// # Errors
    ///
    /// The library can't derive keys of this length, which it can.
    pub fn derive(keys: &TicketKeys) -> Result<Self, Unspecified> {
        let derived = keys.derive::<32>(&[LABEL]);
        derived.map(|key| Ok(hmac::Key::new(hmac::HMAC_SHA256, &key?))).collect::<Result<_, _>>().map(Self)
    }
}

impl std::fmt::Debug for ReportKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReportKeys").field("count", &self.0.len()).finish_non_exhaustive()
    }
}

/// Frame that a genuine token names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportedFrame {
    bytes: [u8; MAX_BYTES],
    /// The length of the statement.
    length: usize,
}

/// Error of something presented as a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportTokenError {
    /// The text does not have the form of a token.
    #[error("not in the form of a token")]
    Malformed,
    /// No key in force has signed it for this widget.
    #[error("not signed by this edge for this widget")]
    Foreign,
    /// It is genuine, but over.
    #[error("expired")]
    Expired,
}

impl ReportedFrame {
    /// Issues a token. An embedder that is longer than any website's origin is left out. `None` if there is no key, which
    /// there always is.
    #[must_use]
    pub fn issue(
        keys: &ReportKeys,
        widget: &str,
        decision: [u8; DECISION],
        embedder: Option<Origin<'_>>,
        now: Timestamp,
    ) -> Option<String> {
        let expires_at = now.checked_add(LIFETIME).ok()?.as_second();
        let embedder = embedder.map(|origin| origin.as_str()).filter(|text| text.len() <= MAX_EMBEDDER);
        let mut bytes = Vec::with_capacity(MAX_BYTES);
        bytes.push(VERSION);
        bytes.extend(u64::try_from(expires_at).ok()?.to_be_bytes());
        bytes.extend(decision);
        bytes.extend(embedder.unwrap_or_default().as_bytes());
        let signature = hmac::sign(keys.0.first()?, &message(widget, &bytes)?);
        bytes.extend(signature.as_ref());
        Some(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Reads a token that is presented for `widget`. The signature is compared in constant time.
    ///
    /// # Errors
    ///
    /// The text is not a token, not from this edge for this widget, or over.
    pub fn verify(
        keys: &ReportKeys,
        widget: &str,
        presented: &str,
        now: Timestamp,
    ) -> Result<Self, ReportTokenError> {
        if presented.len() > MAX_REPORT_TOKEN {
            return Err(ReportTokenError::Malformed);
        }
        let mut bytes = [0; MAX_BYTES];
        let read = URL_SAFE_NO_PAD.decode_slice(presented, &mut bytes);
        let length = read.ok().and_then(|read| read.checked_sub(SIGNATURE)).filter(|length| *length >= HEAD);
        let frame = Self { bytes, length: length.ok_or(ReportTokenError::Malformed)? };
        let (statement, signature) = frame.split();
        let message = message(widget, statement).ok_or(ReportTokenError::Foreign)?;
        if !keys.0.iter().any(|key| hmac::verify(key, &message, signature).is_ok()) {
            return Err(ReportTokenError::Foreign);
        }
        // The signature is valid, so this edge or another version of it wrote the bytes.
        let (expires_at, _, _) = frame.read().ok_or(ReportTokenError::Malformed)?;
        if now >= expires_at { Err(ReportTokenError::Expired) } else { Ok(frame) }
    }

    /// The decision that allowed the frame, as the bytes of its id.
    #[must_use]
    pub fn decision(&self) -> [u8; DECISION] {
        self.read().map(|(_, decision, _)| decision).unwrap_or_default()
    }

    /// The page directly around the frame, if its request has named it.
    #[must_use]
    pub fn embedder(&self) -> Option<Origin<'_>> {
        self.read().and_then(|(_, _, embedder)| embedder)
    }

    fn split(&self) -> (&[u8], &[u8]) {
        let (statement, rest) = self.bytes.split_at_checked(self.length).unwrap_or_default();
        (statement, rest.get(..SIGNATURE).unwrap_or_default())
    }

    fn read(&self) -> Option<(Timestamp, [u8; DECISION], Option<Origin<'_>>)> {
        let (&version, rest) = self.split().0.split_first()?;
        let (expiry, rest) = rest.split_first_chunk::<8>()?;
        let (decision, embedder) = rest.split_first_chunk::<DECISION>()?;
        let expires_at = Timestamp::from_second(i64::try_from(u64::from_be_bytes(*expiry)).ok()?).ok()?;
        let embedder = match str::from_utf8(embedder).ok()? {
            "" => None,
            text => Some(Origin::parse(text).ok()?),
        };
        (version == VERSION).then_some((expires_at, *decision, embedder))
    }
}

/// What is signed; `None` if the widget's id is too long for one.
fn message(widget: &str, statement: &[u8]) -> Option<Vec<u8>> {
    let length = u8::try_from(widget.len()).ok()?;
    Some([&[length], widget.as_bytes(), statement].concat())
}

#[cfg(test)]
mod tests;
