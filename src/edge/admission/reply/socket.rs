//! Refusal of a WebSocket that a page can read: the handshake is accepted, and a Close frame follows. Of a handshake that
//! fails, a page learns nothing but that.

use http::StatusCode;
use http::header::{self, HeaderValue};

use super::{Recipient, Reply};
use crate::edge::admission::judge::ToldLimit;
use crate::edge::admission::tickets::presented;
use crate::edge::session::tunnel::frames::Close;
use crate::edge::session::tunnel::handshake;

/// "Try again later" (IANA, WebSocket Close Code Number Registry).
const TRY_AGAIN_LATER: u16 = 1013;

impl Reply {
    /// The reply to a handshake that passes a limit. `None`: nobody could accept this handshake, so that the answer has to
    /// be one in HTTP.
    pub fn limited_socket(to: Recipient<'_>, limit: ToldLimit) -> Option<Self> {
        let fields = &to.request.fields;
        let accept = handshake::accept(fields)?;
        let mut reply = Self::new(to, StatusCode::SWITCHING_PROTOCOLS)
            .with(header::CONNECTION, HeaderValue::from_static("Upgrade"))
            .with(header::UPGRADE, HeaderValue::from_static("websocket"))
            .with(header::SEC_WEBSOCKET_ACCEPT, accept);
        if let Some(subprotocol) = presented::acknowledged(fields) {
            reply = reply.with(header::SEC_WEBSOCKET_PROTOCOL, subprotocol);
        }
        reply.body = Close { code: TRY_AGAIN_LATER, reason: limit.reason.as_str() }.to_bytes().into();
        reply.close = true;
        Some(reply)
    }
}
