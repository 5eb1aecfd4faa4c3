//! Client of a request: the browser's address, scheme and host, also behind a trusted proxy.

use std::io::Write;
use std::net::IpAddr;

use http::header::HeaderName;
use ipnet::IpNet;

use super::request;
use crate::edge::http::message::RequestHead;
use embedgate_policy::headers::{Sender, sender};

mod address;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// The field with the browser's scheme, set by a proxy.
pub const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Sender of a request, as far as it is known.
#[derive(Clone, Copy, Debug)]
pub struct ClientInfo {
    peer: Option<IpAddr>,
    trusted: bool,
    /// Whether the browser's scheme is https.
    pub https: bool,
}

impl ClientInfo {
    /// Reads the sender. `peer`: the address that opened the connection; `tls`: the connection is encrypted;
    /// `trusted`: the networks of trusted proxies.
    pub fn read(request: &RequestHead, peer: Option<IpAddr>, tls: bool, trusted: &[IpNet]) -> Self {
        let peer = peer.map(|addr| addr.to_canonical());
        let trusted = peer.is_some_and(|peer| is_trusted(peer, trusted));
        Self { peer, trusted, https: tls || trusted && forwarded_https(request) == Some(true) }
    }

    /// Whether a field of the request is forwarded to the upstream. Fields of a trusted proxy are, except
    /// those that [`Self::forwarded`] sets.
    pub fn passes(&self, name: &HeaderName) -> bool {
        match sender(name) {
            Sender::Anyone => true,
            Sender::Edge => false,
            Sender::TrustedProxy if !self.trusted => false,
            Sender::TrustedProxy => *name != FORWARDED_FOR && *name != FORWARDED_PROTO,
        }
    }

    /// The `X-Forwarded-*` fields that the edge sets for the upstream.
    pub fn forwarded(&self, request: &RequestHead, mut tell: impl FnMut(HeaderName, &[u8])) {
        let said = |name: &HeaderName| self.trusted && request.fields.contains(name);
        if let Some(peer) = self.peer {
            let mut chain = Vec::with_capacity(40);
            for line in request::lines(request, FORWARDED_FOR).filter(|_| self.trusted) {
                chain.extend_from_slice(line);
                chain.extend_from_slice(b", ");
            }
            push_address(&mut chain, peer);
            tell(FORWARDED_FOR, &chain);
        }
        let said_https = if self.trusted { forwarded_https(request) } else { None };
        tell(FORWARDED_PROTO, if said_https.unwrap_or(self.https) { b"https" } else { b"http" });
        let host = request::host(request);
        if !host.is_empty() && !said(&FORWARDED_HOST) {
            tell(FORWARDED_HOST, host.as_bytes());
        }
    }
}

/// Whether a request names another host than its `Host`, or plain http where the edge takes it for https. From a
/// trusted proxy, the upstream is then told what the edge itself does not go by. Whoever sent it, because a proxy
/// may pass on what any browser claims.
pub fn claims_another_host_or_scheme(request: &RequestHead, https: bool) -> bool {
    let is_named = request.fields.iter().any(|(name, _)| *name == FORWARDED_HOST || *name == FORWARDED_PROTO);
    is_named && {
        let host = request::host(request).as_bytes();
        let another_host = request::lines(request, FORWARDED_HOST).any(|named| named != host);
        another_host || https && forwarded_https(request) == Some(false)
    }
}

/// Whether an address in its canonical form is a trusted proxy's.
pub fn is_trusted(peer: IpAddr, proxies: &[IpNet]) -> bool {
    proxies.iter().any(|net| net.contains(&peer))
}

/// Whether a proxy reports an encrypted scheme; `None` if it reports none, or several. Some proxies report a
/// WebSocket's scheme.
fn forwarded_https(request: &RequestHead) -> Option<bool> {
    let mut lines = request::lines(request, FORWARDED_PROTO);
    let (Some(proto), None) = (lines.next(), lines.next()) else { return None };
    let is = |scheme: &str| proto.eq_ignore_ascii_case(scheme.as_bytes());
    if is("https") || is("wss") {
        Some(true)
    } else if is("http") || is("ws") {
        Some(false)
    } else {
        None
    }
}

fn push_address(text: &mut Vec<u8>, address: IpAddr) {
    match address {
        // Written by hand, because the formatter is much slower.
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
        // Writing to memory can't fail.
        IpAddr::V6(address) => drop(write!(text, "{address}")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn forwarded(peer: &str, tls: bool, fields: &[(&'static str, &str)]) -> (bool, Vec<(String, String)>) {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let request = RequestHead::of("GET", "/", &[&[("host", "edge.example")], fields].concat());
        let client = ClientInfo::read(&request, Some(peer.parse().unwrap()), tls, &trusted);
        let passing = request.fields.iter().filter(|(name, _)| *name != "host" && client.passes(name));
        let mut sent: Vec<_> =
            passing.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
        client.forwarded(&request, |name, value| {
            sent.push((name.to_string(), String::from_utf8(value.to_vec()).unwrap()));
        });
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
        for (said, https, told) in [
            ("wss", true, "https"),
            ("WS", false, "http"),
            ("http", false, "http"),
            ("gopher", false, "http"),
        ] {
            let (is, sent) = forwarded("10.1.1.1", false, &[("x-forwarded-proto", said)]);
            assert_eq!(is, https, "{said}");
            assert!(sent.contains(&("x-forwarded-proto".to_owned(), told.to_owned())), "{said}: {sent:?}");
        }
    }

    #[test]
    fn claims_that_differ_from_the_request_are_seen() {
        for (https, fields, differ) in [
            (true, &[][..], false),
            (false, &[("x-forwarded-host", "edge.example"), ("x-forwarded-proto", "http")], false),
            (true, &[("x-forwarded-host", "edge.example"), ("x-forwarded-proto", "https")], false),
            // Several schemes count as none, so the upstream is told the edge's.
            (true, &[("x-forwarded-proto", "http"), ("x-forwarded-proto", "https")], false),
            (false, &[("x-forwarded-host", "evil.example")], true),
            (false, &[("x-forwarded-host", "")], true),
            (false, &[("x-forwarded-host", "edge.example"), ("x-forwarded-host", "evil.example")], true),
            (true, &[("x-forwarded-proto", "http")], true),
            (true, &[("x-forwarded-proto", "ws")], true),
        ] {
            let request = RequestHead::of("GET", "/", &[&[("host", "edge.example")], fields].concat());
            assert_eq!(claims_another_host_or_scheme(&request, https), differ, "{https} {fields:?}");
        }
    }

    /// Without such a claim, what the upstream is told is what the edge itself goes by.
    #[test]
    fn other_claims_change_nothing() {
        for tls in [false, true] {
            for said in ["http", "https", "ws", "wss", "gopher"] {
                let claims = [("x-forwarded-proto", said)];
                let (https, sent) = forwarded("10.1.1.1", tls, &claims);
                let request = RequestHead::of("GET", "/", &claims);
                let own = if https { "https" } else { "http" };
                let told_own = sent.contains(&("x-forwarded-proto".to_owned(), own.to_owned()));
                assert_eq!(told_own, !claims_another_host_or_scheme(&request, https), "{tls} {said}");
            }
        }
    }

    #[test]
    fn addresses_are_written_as_usual() {
        for address in ["0.0.0.0", "255.255.255.255", "10.100.9.99", "127.0.0.1", "2001:db8::1"] {
            let mut text = Vec::new();
            push_address(&mut text, address.parse().unwrap());
            assert_eq!(String::from_utf8(text).unwrap(), address);
        }
    }
}
