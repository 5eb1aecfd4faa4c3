//! Address of the client, also behind trusted proxies.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::{ClientInfo, FORWARDED_FOR, is_trusted};
use crate::edge::admission::request;
use crate::edge::http::message::RequestHead;

impl ClientInfo {
    /// The address of a client that asks without a trusted proxy in between.
    pub fn direct_address(&self) -> Option<IpAddr> {
        self.peer.filter(|_| !self.trusted)
    }

    /// The address that the request comes from, in its canonical form. Behind trusted proxies it is the last one in
    /// `X-Forwarded-For` that is not a trusted proxy's: those before it are what the client says. Where the proxies name
    /// none, it is the proxy's own.
    pub fn address(&self, request: &RequestHead, trusted: &[IpNet]) -> Option<IpAddr> {
        let peer = self.peer?;
        if !self.trusted {
            return Some(peer);
        }
        let lines: Vec<&[u8]> = request::lines(request, FORWARDED_FOR).collect();
        let named = lines.iter().rev().flat_map(|line| line.rsplit(|byte| *byte == b','));
        let mut nearest = peer;
        for named in named {
            let Some(address) = parsed(named) else { break };
            nearest = address;
            if !is_trusted(address, trusted) {
                break;
            }
        }
        Some(nearest)
    }
}

/// An address as proxies write it: some add the port, and then IPv6 is in brackets.
fn parsed(text: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(text).ok()?.trim_matches([' ', '\t']);
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().or_else(|_| text.parse().map(|address: SocketAddr| address.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn address(peer: &str, chain: &[&str]) -> String {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        let fields: Vec<_> = chain.iter().map(|line| ("x-forwarded-for", *line)).collect();
        let request = RequestHead::of("POST", "/", &fields);
        let client = ClientInfo::read(&request, Some(peer.parse().unwrap()), true, &trusted);
        client.address(&request, &trusted).unwrap().to_string()
    }

    #[test]
    fn the_last_that_is_no_proxy_counts() {
        for (peer, chain, expected) in [
            ("192.0.2.1", &["203.0.113.9"][..], "192.0.2.1"),
            ("::ffff:192.0.2.1", &[], "192.0.2.1"),
            ("10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
            ("::ffff:10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
            ("10.0.0.1", &["1.1.1.1, 203.0.113.9"], "203.0.113.9"),
            ("10.0.0.1", &["1.1.1.1, 203.0.113.9, 10.0.0.2"], "203.0.113.9"),
            ("10.0.0.1", &["1.1.1.1", "203.0.113.9", "10.0.0.2,10.0.0.3"], "203.0.113.9"),
            ("10.0.0.1", &["1.1.1.1, 203.0.113.9 ,\t10.0.0.2, fd00::2"], "203.0.113.9"),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("fd00::1", &["2001:db8::7"], "2001:db8::7"),
            ("10.0.0.1", &["[2001:db8::7]:4711"], "2001:db8::7"),
            ("10.0.0.1", &["[2001:db8::7]"], "2001:db8::7"),
            ("10.0.0.1", &["203.0.113.9:4711"], "203.0.113.9"),
            ("10.0.0.1", &["::ffff:203.0.113.9"], "203.0.113.9"),
            // What is before something unreadable is not believed.
            ("10.0.0.1", &["203.0.113.9, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.9, _hidden, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &[""], "10.0.0.1"),
            ("10.0.0.1", &["10.0.0.9"], "10.0.0.9"),
        ] {
            assert_eq!(address(peer, chain), expected, "{peer} {chain:?}");
        }
    }
}
