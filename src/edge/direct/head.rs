//! The head of a request as its upstream gets it, written once: the proxy library's way there is a copy of the
//! whole field map, changed field by field and then printed.

use http::header::{self, HeaderName};
use http::{Method, Version};
use pingora::http::RequestHeader;

use crate::edge::client::Client;
use crate::edge::forward::{is_reserved, nominated, told_upstream};
use crate::edge::visit::Visit;

/// Whether a field is about one connection (RFC 9110 §7.6.1), as the proxy library knows them.
fn is_of_one_connection(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "http2-settings"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "upgrade"
    )
}

/// Room for what is told to the upstream beside the request's own fields.
const TOLD_BYTES: usize = 512;

/// Whether a request is a `GET` that says nothing of a body, and can be written here.
pub fn fits(request: &RequestHeader) -> bool {
    let about_a_body = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::EXPECT];
    request.method == Method::GET
        && matches!(request.version, Version::HTTP_11 | Version::HTTP_2)
        && !about_a_body.iter().any(|name| request.headers.contains_key(name))
        && !target(request).iter().any(|byte| *byte <= b' ')
}

/// An origin server gets the path of an absolute target (RFC 9112 §3.2.2).
fn target(request: &RequestHeader) -> &[u8] {
    match request.raw_path() {
        path if path.starts_with(b"/") => path,
        _ => request.uri.path_and_query().map_or(b"/", |target| target.as_str().as_bytes()),
    }
}

/// The head of a request that fits.
pub fn write(request: &RequestHeader, visit: Option<&Visit>, client: &Client) -> Vec<u8> {
    let (fields, target) = (&request.headers, target(request));
    let size: usize = fields.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    let mut head = Vec::with_capacity(target.len() + size + TOLD_BYTES);
    head.extend_from_slice(b"GET ");
    head.extend_from_slice(target);
    head.extend_from_slice(b" HTTP/1.1\r\n");
    // What HTTP/2 says outside of the fields (RFC 9113 §8.3.1).
    let authority = request.uri.authority();
    if let Some(authority) = authority {
        put(&mut head, &header::HOST, authority.as_str().as_bytes());
    }
    // Which may not be among them is checked before the verdict.
    let nominated: Vec<HeaderName> = nominated(fields).collect();
    for (name, value) in fields {
        let passes = client.passes(name) && !is_reserved(name) && !is_of_one_connection(name);
        if passes && !nominated.contains(name) && (authority.is_none() || *name != header::HOST) {
            put(&mut head, name, value.as_bytes());
        }
    }
    client.forwarded(request, |name, value| put(&mut head, &name, value));
    if let Some(visit) = visit {
        told_upstream(visit).for_each(|(name, value)| put(&mut head, &name, value.as_bytes()));
    }
    head.extend_from_slice(b"\r\n");
    head
}

fn put(head: &mut Vec<u8>, name: &HeaderName, value: &[u8]) {
    head.extend_from_slice(name.as_str().as_bytes());
    head.extend_from_slice(b": ");
    head.extend_from_slice(value);
    head.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn request(fields: &[(&'static str, &str)]) -> RequestHeader {
        let mut request = RequestHeader::build("GET", b"/w/w/loader.js?v=1", None).unwrap();
        request.set_version(Version::HTTP_11);
        for (name, value) in fields {
            request.append_header(*name, *value).unwrap();
        }
        request
    }

    fn client(request: &RequestHeader) -> Client {
        Client::read(request, Some([192, 0, 2, 1].into()), false, &[])
    }

    #[test]
    fn the_head_is_the_request_less_what_stays_here() {
        let request = request(&[
            ("Host", "edge.example"),
            ("Connection", "keep-alive, X-Hop"),
            ("Keep-Alive", "timeout=5"),
            ("X-Hop", "1"),
            ("TE", "trailers"),
            ("Upgrade-Insecure-Requests", "1"),
            ("X_Widget_Id", "forged"),
            ("X-Forwarded-For", "1.2.3.4"),
            ("Accept", "text/html"),
            ("Accept", "*/*"),
        ]);
        assert!(fits(&request));
        let head = write(&request, None, &client(&request));
        let head = std::str::from_utf8(&head).unwrap();
        let mut lines: Vec<&str> = head.strip_suffix("\r\n\r\n").unwrap().split("\r\n").collect();
        assert_eq!(lines.remove(0), "GET /w/w/loader.js?v=1 HTTP/1.1");
        lines.sort_unstable();
        let expected = [
            "accept: */*",
            "accept: text/html",
            "host: edge.example",
            "upgrade-insecure-requests: 1",
            "x-forwarded-for: 192.0.2.1",
            "x-forwarded-host: edge.example",
            "x-forwarded-proto: http",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn an_authority_becomes_the_one_host() {
        let mut request = request(&[("Host", "EDGE.example")]);
        request.set_uri("https://edge.example/w/w/frame".parse().unwrap());
        request.set_version(Version::HTTP_2);
        let head = write(&request, None, &client(&request));
        let head = std::str::from_utf8(&head).unwrap();
        assert!(head.starts_with("GET /w/w/frame HTTP/1.1\r\nhost: edge.example\r\n"), "{head}");
        assert_eq!(head.matches("\r\nhost:").count(), 1, "{head}");
    }

    #[test]
    fn what_may_have_a_body_goes_the_other_way() {
        for (name, value) in
            [("content-length", "0"), ("transfer-encoding", "chunked"), ("expect", "100-continue")]
        {
            let request = request(&[("host", "edge.example"), (name, value)]);
            assert!(!fits(&request), "{name}");
        }
        for method in [Method::HEAD, Method::POST, Method::OPTIONS] {
            let mut request = request(&[("host", "edge.example")]);
            request.set_method(method.clone());
            assert!(!fits(&request), "{method}");
        }
        let mut old = request(&[("host", "edge.example")]);
        old.set_version(Version::HTTP_10);
        assert!(!fits(&old));
    }
}
