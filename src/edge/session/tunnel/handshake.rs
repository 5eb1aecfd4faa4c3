//! Handshake of a WebSocket (RFC 6455 §4), as the edge answers it to the browser. The `Sec-WebSocket-*`
//! fields are between the two ends.

use http::header::{self, HeaderValue};

use crate::edge::http::fields::Fields;

/// Prepares the fields of a 101 for the browser. A browser fails a handshake that selects none of its offered
/// subprotocols (WebSockets standard, "establish a WebSocket connection"). So `subprotocol` is added if the
/// upstream, which may have seen none, chose none.
pub fn accepted(fields: &mut Fields, subprotocol: Option<HeaderValue>, cookie: Option<HeaderValue>) {
    // A 101 has no body, so framing fields make no sense.
    fields.remove(&header::CONTENT_LENGTH);
    fields.remove(&header::TRANSFER_ENCODING);
    if let Some(subprotocol) = subprotocol.filter(|_| !fields.contains(&header::SEC_WEBSOCKET_PROTOCOL)) {
        fields.append(header::SEC_WEBSOCKET_PROTOCOL, subprotocol);
    }
    if let Some(cookie) = cookie {
        fields.append(header::SET_COOKIE, cookie);
    }
    fields.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    fields.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subprotocol_is_named_where_one_was_offered() {
        let ticket = || Some(HeaderValue::from_static("embed-ticket.a.b"));
        for (chosen, offered, named) in [
            (None, None, None),
            (None, ticket(), Some("embed-ticket.a.b")),
            (Some("chat"), ticket(), Some("chat")),
        ] {
            let mut fields = Fields::default();
            fields.insert(header::CONTENT_LENGTH, HeaderValue::from_static("5"));
            if let Some(chosen) = chosen {
                fields.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(chosen));
            }
            accepted(&mut fields, offered, None);
            let value = |name| fields.text(name);
            assert_eq!(value("sec-websocket-protocol"), named);
            assert_eq!((value("connection"), value("upgrade")), (Some("Upgrade"), Some("websocket")));
            assert_eq!(value("content-length"), None);
        }
    }
}
