//! Handshake of a WebSocket (RFC 6455 §4), as the edge answers it to the browser. The `Sec-WebSocket-*`
//! fields are between the two ends.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{self, HeaderName, HeaderValue};
use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};

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

/// What is hashed with a key (RFC 6455 §1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Number of bytes of a key.
const KEY_BYTES: usize = 16;

/// The `Sec-WebSocket-Accept` by which a server accepts this handshake (RFC 6455 §4.2). `None`: its key or its version is
/// none that a server accepts.
pub fn accept(fields: &Fields) -> Option<HeaderValue> {
    let (version, key) =
        (single(fields, header::SEC_WEBSOCKET_VERSION)?, single(fields, header::SEC_WEBSOCKET_KEY)?);
    let is_key = STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == KEY_BYTES);
    if version != b"13" || !is_key {
        return None;
    }
    let mut hashed = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    hashed.update(key);
    hashed.update(GUID);
    HeaderValue::try_from(STANDARD.encode(hashed.finish())).ok()
}

/// The value of a field that is there once.
fn single(fields: &Fields, name: HeaderName) -> Option<&[u8]> {
    let mut lines = fields.get_all(name);
    let value = lines.next()?.as_bytes().trim_ascii();
    lines.next().is_none().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_is_accepted_as_the_standard_says() {
        // RFC 6455 §1.3.
        const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
        let (version, key) = (("sec-websocket-version", "13"), ("sec-websocket-key", KEY));
        for (fields, expected) in [
            (&[version, key][..], Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")),
            (&[version], None),
            (&[key], None),
            (&[version, key, key], None),
            (&[version, version, key], None),
            (&[("sec-websocket-version", "8"), key], None),
            (&[("sec-websocket-version", "13, 8"), key], None),
            (&[version, ("sec-websocket-key", "")], None),
            (&[version, ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ")], None),
            (&[version, ("sec-websocket-key", "dGhlIHNhbXBsZSBub25j")], None),
            (&[version, ("sec-websocket-key", "a key that is no base64!")], None),
        ] {
            let accepted = accept(&Fields::of(fields));
            assert_eq!(
                accepted.as_ref().map(HeaderValue::as_bytes),
                expected.map(str::as_bytes),
                "{fields:?}"
            );
        }
    }

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
