//! A WebSocket's handshake (RFC 6455 §4) as the edge passes it on: what belongs to one connection only is made
//! anew on each side, `Sec-WebSocket-*` is the two ends' own business.

use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};

use crate::edge::forward::nominated;

const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
const CONNECTION_UPGRADE: HeaderValue = HeaderValue::from_static("Upgrade");

/// Fields about one connection (RFC 9110 §7.6.1), and those that frame a body, of which a handshake has none.
const OF_ONE_CONNECTION: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::CONTENT_LENGTH,
    header::UPGRADE,
];

/// Makes the request the edge's own on the upstream's connection.
pub fn to_upstream(request: &mut RequestHeader) -> Result<()> {
    for name in of_one_connection(&request.headers) {
        request.remove_header(&name);
    }
    request.remove_header(&header::EXPECT);
    request.insert_header(header::CONNECTION, CONNECTION_UPGRADE)?;
    request.insert_header(header::UPGRADE, WEBSOCKET)
}

/// Whether the upstream speaks WebSocket from here on. Its key is for the browser to check.
pub fn is_accepted(response: &ResponseHeader) -> bool {
    let upgrade = response.headers.get(header::UPGRADE);
    response.status == StatusCode::SWITCHING_PROTOCOLS
        && upgrade.is_some_and(|upgrade| upgrade.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Makes a 101 the edge's own on the browser's connection. A browser fails a handshake that names none of the
/// subprotocols it offered (WebSockets standard, "establish a WebSocket connection"): `subprotocol` is named where the
/// upstream, which may have seen none, chose none.
pub fn accepted(response: &mut ResponseHeader, subprotocol: Option<HeaderValue>) -> Result<()> {
    for name in of_one_connection(&response.headers) {
        response.remove_header(&name);
    }
    if let Some(subprotocol) = subprotocol
        && !response.headers.contains_key(header::SEC_WEBSOCKET_PROTOCOL)
    {
        response.insert_header(header::SEC_WEBSOCKET_PROTOCOL, subprotocol)?;
    }
    response.insert_header(header::CONNECTION, CONNECTION_UPGRADE)?;
    response.insert_header(header::UPGRADE, WEBSOCKET)
}

/// Makes any other answer an ordinary one on the browser's connection. A body that only the connection's end
/// would delimit becomes chunked.
pub fn declined(response: &mut ResponseHeader) -> Result<()> {
    let framed = [header::TRANSFER_ENCODING, header::CONTENT_LENGTH];
    let mut delimited = matches!(response.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    for name in of_one_connection(&response.headers) {
        match framed.contains(&name) {
            true => delimited = true,
            // 426 (Upgrade Required) says by it what would be right (RFC 9110 §15.5.22).
            false if name == header::UPGRADE => {}
            false => {
                response.remove_header(&name);
            }
        }
    }
    if delimited { Ok(()) } else { response.insert_header(header::TRANSFER_ENCODING, "chunked") }
}

/// The fields to drop: the known ones, and those that `Connection` names.
fn of_one_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    OF_ONE_CONNECTION
        .into_iter()
        .chain(nominated(headers))
        .filter(|name| headers.contains_key(name))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::edge::request::has_body;

    fn response(status: u16, fields: &[(&'static str, &str)]) -> ResponseHeader {
        let mut response = ResponseHeader::build(status, None).unwrap();
        for (name, value) in fields {
            response.append_header(*name, *value).unwrap();
        }
        response
    }

    fn fields(headers: &HeaderMap) -> Vec<String> {
        let mut fields: Vec<String> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        fields.sort();
        fields
    }

    #[test]
    fn the_upstream_gets_a_handshake_of_its_own() {
        let mut request = RequestHeader::build("GET", b"/w/w/session", None).unwrap();
        for (name, value) in [
            ("host", "edge.example"),
            ("connection", "keep-alive, Upgrade, X-Hop"),
            ("upgrade", "WebSocket"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("content-length", "0"),
            ("sec-websocket-key", "key"),
            ("sec-websocket-protocol", "chat, superchat"),
        ] {
            request.append_header(name, value).unwrap();
        }
        assert!(!has_body(&request));
        to_upstream(&mut request).unwrap();
        let expected = [
            "connection: Upgrade",
            "host: edge.example",
            "sec-websocket-key: key",
            "sec-websocket-protocol: chat, superchat",
            "upgrade: websocket",
        ];
        assert_eq!(fields(&request.headers), expected);
    }

    #[test]
    fn a_handshake_has_no_body() {
        for (name, value) in [("content-length", "5"), ("transfer-encoding", "chunked")] {
            let mut request = RequestHeader::build("GET", b"/", None).unwrap();
            request.append_header(name, value).unwrap();
            assert!(has_body(&request), "{name}");
        }
    }

    #[test]
    fn only_a_101_to_websocket_is_a_tunnel() {
        assert!(is_accepted(&response(101, &[("upgrade", "WebSocket")])));
        assert!(!is_accepted(&response(101, &[("upgrade", "h2c")])));
        assert!(!is_accepted(&response(101, &[])));
        assert!(!is_accepted(&response(200, &[("upgrade", "websocket")])));
    }

    #[test]
    fn answers_are_the_edge_s_own() {
        let mut ours = response(
            101,
            &[
                ("connection", "upgrade, x-hop"),
                ("upgrade", "websocket"),
                ("x-hop", "1"),
                ("content-length", "5"),
            ],
        );
        accepted(&mut ours, None).unwrap();
        assert_eq!(fields(&ours.headers), ["connection: Upgrade", "upgrade: websocket"]);

        let ticket = || Some(HeaderValue::from_static("embed-ticket.a.b"));
        for (chosen, named) in [(None, "embed-ticket.a.b"), (Some("chat"), "chat")] {
            let fields: Vec<_> =
                chosen.map(|chosen| ("sec-websocket-protocol", chosen)).into_iter().collect();
            let mut ours = response(101, &fields);
            accepted(&mut ours, ticket()).unwrap();
            assert_eq!(ours.headers["sec-websocket-protocol"], named);
        }

        let mut refused = response(
            426,
            &[
                ("connection", "close, x-hop"),
                ("x-hop", "1"),
                ("upgrade", "websocket"),
                ("content-length", "5"),
            ],
        );
        declined(&mut refused).unwrap();
        assert_eq!(fields(&refused.headers), ["content-length: 5", "upgrade: websocket"]);

        let mut endless = response(200, &[("connection", "close")]);
        declined(&mut endless).unwrap();
        assert_eq!(fields(&endless.headers), ["transfer-encoding: chunked"]);

        let mut empty = response(204, &[("connection", "close")]);
        declined(&mut empty).unwrap();
        assert_eq!(fields(&empty.headers), [""; 0]);
    }
}
