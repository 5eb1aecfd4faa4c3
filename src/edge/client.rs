//! Who is on the other side of a request: the browser's address, scheme and host, as far as a proxy in front of
//! this edge may be believed.

use std::io::Write;
use std::net::IpAddr;

use http::header::{self, HeaderName, HeaderValue};
use ipnet::IpNet;
use pingora::Result;
use pingora::http::RequestHeader;

use super::request;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// What is known of one request's sender.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    peer: Option<IpAddr>,
    trusted: bool,
    /// Whether the browser's scheme is https.
    pub https: bool,
}

impl Client {
    /// `peer`: who opened the connection; `tls`: whether it is encrypted; `trusted`: the proxies that are believed.
    pub fn read(request: &RequestHeader, peer: Option<IpAddr>, tls: bool, trusted: &[IpNet]) -> Self {
        let peer = peer.map(|addr| addr.to_canonical());
        let trusted = peer.is_some_and(|peer| trusted.iter().any(|net| net.contains(&peer)));
        let forwarded_https = || {
            let mut lines = request::lines(request, FORWARDED_PROTO);
            matches!((lines.next(), lines.next()), (Some(proto), None) if proto.eq_ignore_ascii_case(b"https"))
        };
        Self { peer, trusted, https: tls || trusted && forwarded_https() }
    }

    /// Whether a field of the request goes on to the upstream, as far as it is about the client. What a trusted
    /// proxy says is kept, but for the chain that [`Self::forwarded`] adds to.
    pub fn passes(&self, name: &HeaderName) -> bool {
        if self.trusted {
            return self.peer.is_none() || *name != FORWARDED_FOR;
        }
        // Spelt in any way that an upstream may read alike.
        *name != header::FORWARDED && !aliases(name, "x-forwarded-") && name.as_str() != "x-real-ip"
    }

    /// The `X-Forwarded-*` fields that the upstream is told beside those that pass.
    pub fn forwarded(&self, request: &RequestHeader, mut tell: impl FnMut(HeaderName, &[u8])) {
        let said = |name: &HeaderName| self.trusted && request.headers.contains_key(name);
        if let Some(peer) = self.peer {
            let mut chain = Vec::with_capacity(40);
            for line in request::lines(request, FORWARDED_FOR).filter(|_| self.trusted) {
                chain.extend_from_slice(line);
                chain.extend_from_slice(b", ");
            }
            push_address(&mut chain, peer);
            tell(FORWARDED_FOR, &chain);
        }
        if !said(&FORWARDED_PROTO) {
            tell(FORWARDED_PROTO, if self.https { b"https" } else { b"http" });
        }
        let host = request::host(request);
        if !host.is_empty() && !said(&FORWARDED_HOST) {
            tell(FORWARDED_HOST, host.as_bytes());
        }
    }

    /// Sets the `X-Forwarded-*` fields in place.
    pub fn forward(&self, upstream: &mut RequestHeader) -> Result<()> {
        let mut told = Vec::with_capacity(3);
        self.forwarded(upstream, |name, value| told.push((name, HeaderValue::from_bytes(value))));
        remove_where(upstream, |name| !self.passes(name));
        for (name, value) in told {
            // What was a field's value, or an address, is one again.
            if let Ok(value) = value {
                upstream.insert_header(name, value)?;
            }
        }
        Ok(())
    }
}

fn push_address(text: &mut Vec<u8>, address: IpAddr) {
    match address {
        // Four numbers, without the formatter's ceremony.
        IpAddr::V4(address) => {
            for (place, octet) in address.octets().into_iter().enumerate() {
                if place > 0 {
                    text.push(b'.');
                }
                if octet >= 100 {
                    text.push(b'0' + octet / 100);
                }
                if octet >= 10 {
                    text.push(b'0' + octet / 10 % 10);
                }
                text.push(b'0' + octet % 10);
            }
        }
        // Writing into memory does not fail.
        IpAddr::V6(address) => drop(write!(text, "{address}")),
    }
}

/// Removes the fields whose names say so.
pub fn remove_where(request: &mut RequestHeader, unwanted: impl Fn(&HeaderName) -> bool) {
    let names: Vec<HeaderName> = request.headers.keys().filter(|name| unwanted(name)).cloned().collect();
    for name in names {
        request.remove_header(&name);
    }
}

/// Whether a field's name begins with `prefix` once `_` is read as `-`, as servers that pass fields on in
/// environment variables do.
pub fn aliases(name: &HeaderName, prefix: &str) -> bool {
    let (name, prefix) = (name.as_str().as_bytes(), prefix.as_bytes());
    // Few fields begin alike, and this is asked of each.
    name.first() == prefix.first()
        && name.len() >= prefix.len()
        && name
            .iter()
            .zip(prefix)
            .all(|(byte, expected)| byte == expected || *byte == b'_' && *expected == b'-')
}
#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn forwarded(peer: &str, tls: bool, fields: &[(&'static str, &str)]) -> (bool, Vec<(String, String)>) {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        request.append_header("host", "edge.example").unwrap();
        for (name, value) in fields {
            request.append_header(*name, *value).unwrap();
        }
        let client = Client::read(&request, Some(peer.parse().unwrap()), tls, &trusted);
        client.forward(&mut request).unwrap();
        let mut sent: Vec<_> = request
            .headers
            .iter()
            .filter(|(name, _)| name.as_str() != "host")
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        sent.sort();
        (client.https, sent)
    }

    fn fields(expected: [(&str, &str); 3]) -> Vec<(String, String)> {
        expected.map(|(name, value)| (format!("x-forwarded-{name}"), value.to_owned())).into()
    }

    #[test]
    fn strangers_are_not_believed() {
        let claims = [
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-proto", "https"),
            ("X_Forwarded_Host", "evil.example"),
            ("forwarded", "for=1.2.3.4"),
            ("x-real-ip", "1.2.3.4"),
        ];
        let expected = fields([("for", "192.0.2.1"), ("host", "edge.example"), ("proto", "http")]);
        assert_eq!(forwarded("192.0.2.1", false, &claims), (false, expected));
        let expected = fields([("for", "192.0.2.1"), ("host", "edge.example"), ("proto", "https")]);
        assert_eq!(forwarded("192.0.2.1", true, &claims), (true, expected));
    }

    #[test]
    fn trusted_proxies_are() {
        let said = [
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "chat.example"),
        ];
        let expected = fields([("for", "1.2.3.4, 10.1.1.1"), ("host", "chat.example"), ("proto", "https")]);
        assert_eq!(forwarded("10.1.1.1", false, &said), (true, expected));
        let (mapped, _) = forwarded("::ffff:10.1.1.1", false, &said);
        assert!(mapped, "an IPv4 address in IPv6 form");
        let twice = [("x-forwarded-proto", "https"), ("x-forwarded-proto", "http")];
        assert!(!forwarded("10.1.1.1", false, &twice).0);
    }

    #[test]
    fn addresses_are_written_as_usual() {
        for address in ["0.0.0.0", "255.255.255.255", "10.100.9.99", "127.0.0.1", "2001:db8::1"] {
            let mut text = Vec::new();
            push_address(&mut text, address.parse().unwrap());
            assert_eq!(String::from_utf8(text).unwrap(), address);
        }
    }

    #[test]
    fn underscores_alias_hyphens() {
        let name = |text: &str| HeaderName::from_bytes(text.as_bytes()).unwrap();
        assert!(aliases(&name("X_Widget-Id"), "x-widget-"));
        assert!(aliases(&name("x-widget_id"), "x-widget-"));
        assert!(!aliases(&name("x-widge"), "x-widget-"));
        assert!(!aliases(&name("xx-widget-id"), "x-widget-"));
    }
}
