//! Heads of requests that need nothing of the proxy library, read from the bytes they came in.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Uri, Version};
use pingora::http::RequestHeader;

use crate::edge::request;

/// The most fields of a head that is read here.
const MOST_FIELDS: usize = 64;

/// What the library has to see to: bodies, other protocols, connections of another kind.
const OF_THE_LIBRARY: [HeaderName; 4] =
    [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::UPGRADE, header::EXPECT];

/// Whether more of a head has to be awaited. `false`: it is whole, or none.
pub fn is_partial(head: &[u8]) -> bool {
    let mut lines = [const { MaybeUninit::uninit() }; MOST_FIELDS];
    httparse::Request::new(&mut []).parse_with_uninit_headers(head, &mut lines)
        == Ok(httparse::Status::Partial)
}

/// Reads a whole head: a `GET` or an `OPTIONS` without a body, on a connection that is kept, and nothing about it
/// that two servers could read in two ways. `None`: it is for the library, to serve or to refuse.
pub fn read(head: &Bytes) -> Option<RequestHeader> {
    let mut lines = [const { MaybeUninit::uninit() }; MOST_FIELDS];
    let mut parsed = httparse::Request::new(&mut []);
    let status = parsed.parse_with_uninit_headers(head, &mut lines).ok()?;
    let method = match parsed.method? {
        "GET" => Method::GET,
        "OPTIONS" => Method::OPTIONS,
        _ => return None,
    };
    let target = parsed.path?.as_bytes();
    if status != httparse::Status::Complete(head.len())
        || parsed.version != Some(1)
        || !is_plain_target(target)
    {
        return None;
    }
    let mut fields = HeaderMap::with_capacity(parsed.headers.len());
    for line in parsed.headers.iter() {
        let name = HeaderName::from_bytes(line.name.as_bytes()).ok()?;
        let is_foreign = OF_THE_LIBRARY.contains(&name)
            || name == header::CONNECTION && !line.value.eq_ignore_ascii_case(b"keep-alive")
            || name == header::HOST && (fields.contains_key(header::HOST) || !is_plain_host(line.value));
        if is_foreign {
            return None;
        }
        fields.append(name, HeaderValue::from_maybe_shared(head.slice_ref(line.value)).ok()?);
    }
    let mut parts = Request::new(()).into_parts().0;
    parts.method = method;
    parts.version = Version::HTTP_11;
    parts.uri = Uri::from_maybe_shared(head.slice_ref(target)).ok()?;
    parts.headers = fields;
    let request = RequestHeader::from(parts);
    request::check_plain(&request, head).ok().map(|()| request)
}

/// A path with a query perhaps, of visible ASCII.
fn is_plain_target(target: &[u8]) -> bool {
    target.starts_with(b"/") && target.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#')
}

/// A name or an address, and perhaps a port.
fn is_plain_host(host: &[u8]) -> bool {
    host.iter().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(byte)) && !host.is_empty()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn read(head: &str) -> Option<RequestHeader> {
        super::read(&Bytes::copy_from_slice(head.as_bytes()))
    }

    #[test]
    fn a_plain_head_is_read() {
        let request = read(
            "GET /w/w/loader.js?v=1 HTTP/1.1\r\nHost: edge.example\r\nConnection: Keep-Alive\r\nX: \t y \r\n\r\n",
        );
        let request = request.unwrap();
        assert_eq!(
            (request.method.as_str(), request.uri.to_string().as_str()),
            ("GET", "/w/w/loader.js?v=1")
        );
        assert_eq!(request.raw_path(), b"/w/w/loader.js?v=1");
        assert_eq!(request.headers["x"], "y");
        assert!(read("OPTIONS /a HTTP/1.1\r\nHost: a:1\r\n\r\n").is_some());
    }

    #[test]
    fn everything_else_is_for_the_library() {
        for head in [
            "POST / HTTP/1.1\r\nHost: a\r\n\r\n",
            "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
            "get / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.0\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /a/../b HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost:\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: Origin\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n folded\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            "\r\n\r\n",
        ] {
            assert!(read(head).is_none(), "{head:?}");
        }
        let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: 1\r\n".repeat(MOST_FIELDS));
        assert!(read(&many).is_none());
    }

    #[test]
    fn what_is_not_whole_is_awaited_while_it_can_become_a_head() {
        for partial in ["", "GE", "GET / HTTP/1.1\r\nHo", "GET / HTTP/1.1\r\nHost: a\r\n", "\r\n"] {
            assert!(is_partial(partial.as_bytes()), "{partial:?}");
        }
        for other in ["\x16\x03\x01\x02", "GET / HTTP/1.1\nHost: a\n\n", "GET / HTTP/1.1\r\nHost: a\r\n\n"] {
            assert!(!is_partial(other.as_bytes()), "{other:?}");
        }
    }
}
