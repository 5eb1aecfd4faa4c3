//! Who is on the other side of a request: the browser's address, scheme and host, as far as a proxy in front of
//! this edge may be believed.

use std::net::IpAddr;

use http::HeaderValue;
use http::header::{self, HeaderName};
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

    /// Sets the `X-Forwarded-*` fields for the upstream: from a trusted proxy they are kept and added to, from
    /// anyone else they are replaced.
    pub fn forward(&self, upstream: &mut RequestHeader) -> Result<()> {
        let host = HeaderValue::from_str(request::host(upstream)).ok();
        if !self.trusted {
            remove_forwarded(upstream);
        }
        if let Some(peer) = self.peer {
            let mut chain = String::new();
            for line in request::lines(upstream, FORWARDED_FOR) {
                chain.push_str(&String::from_utf8_lossy(line));
                chain.push_str(", ");
            }
            chain.push_str(&peer.to_string());
            upstream.insert_header(FORWARDED_FOR, chain)?;
        }
        if !upstream.headers.contains_key(FORWARDED_PROTO) {
            upstream.insert_header(FORWARDED_PROTO, if self.https { "https" } else { "http" })?;
        }
        if let Some(host) = host
            && !host.is_empty()
            && !upstream.headers.contains_key(FORWARDED_HOST)
        {
            upstream.insert_header(FORWARDED_HOST, host)?;
        }
        Ok(())
    }
}

/// Removes every field by which a proxy speaks of a client, spelt in any way that an upstream may read alike.
fn remove_forwarded(upstream: &mut RequestHeader) {
    let claimed: Vec<HeaderName> = upstream
        .headers
        .keys()
        .filter(|name| {
            **name == header::FORWARDED || aliases(name, "x-forwarded-") || name.as_str() == "x-real-ip"
        })
        .cloned()
        .collect();
    for name in claimed {
        upstream.remove_header(&name);
    }
}

/// Whether a field's name begins with `prefix` once `_` is read as `-`, as servers that pass fields on in
/// environment variables do.
pub fn aliases(name: &HeaderName, prefix: &str) -> bool {
    let mut bytes = name.as_str().bytes().map(|byte| if byte == b'_' { b'-' } else { byte });
    prefix.bytes().all(|expected| bytes.next() == Some(expected))
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
    fn underscores_alias_hyphens() {
        let name = |text: &str| HeaderName::from_bytes(text.as_bytes()).unwrap();
        assert!(aliases(&name("X_Widget-Id"), "x-widget-"));
        assert!(aliases(&name("x-widget_id"), "x-widget-"));
        assert!(!aliases(&name("x-widge"), "x-widget-"));
        assert!(!aliases(&name("xx-widget-id"), "x-widget-"));
    }
}
