//! Reach of the checklist's requests: which addresses a name may lead to.
//!
//! A name is looked up once for a connection. The addresses are checked, and the connection is made to one of exactly these, so
//! a name that leads elsewhere a moment later gains nothing.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use http::Uri;
use ureq::config::Config;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;
use url::Url;

/// Which addresses may be asked.
#[derive(Clone, Debug)]
pub enum Reach {
    /// Every address that this machine reaches. Some names are looked up here and not in the DNS.
    Anywhere(Vec<MappedAddress>),
    /// Addresses of the public internet alone, and this machine's own for names below `localhost` with this port: the edge
    /// itself, as its own origin says.
    Public {
        /// The port.
        own_port: Option<u16>,
    },
}

/// Address that stands for a host and port, before the DNS says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedAddress {
    host: String,
    port: u16,
    address: SocketAddr,
}

impl FromStr for MappedAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is not HOST:PORT=ADDRESS:PORT, such as shop.example.com:443=192.0.2.7:443");
        let (name, address) = text.split_once('=').ok_or_else(wrong)?;
        let (host, port) = name.rsplit_once(':').ok_or_else(wrong)?;
        Ok(Self {
            host: host.to_ascii_lowercase(),
            port: port.parse().map_err(|_| wrong())?,
            address: address.parse().map_err(|_| wrong())?,
        })
    }
}

/// Address that may not be asked.
#[derive(Debug, thiserror::Error)]
#[error("{host} leads to {address}, which is not a public address")]
struct NotPublic {
    host: String,
    address: IpAddr,
}

impl Reach {
    /// The address that a name has without the DNS.
    pub(super) fn known(&self, host: &str, port: u16) -> Option<SocketAddr> {
        match self {
            Self::Anywhere(mapped) => {
                let found = mapped.iter().find(|mapped| mapped.host == host && mapped.port == port);
                // As browsers have it (RFC 6761).
                let local = || is_local_name(host).then(|| (Ipv4Addr::LOCALHOST, port).into());
                found.map(|mapped| mapped.address).or_else(local)
            }
            Self::Public { own_port } => {
                (is_local_name(host) && *own_port == Some(port)).then(|| (Ipv4Addr::LOCALHOST, port).into())
            }
        }
    }

    fn refused(&self, addresses: &[SocketAddr]) -> Option<IpAddr> {
        match self {
            Self::Anywhere(_) => None,
            // All of them: one that is private says that the name is not only for the public.
            Self::Public { .. } => addresses.iter().map(SocketAddr::ip).find(|address| !is_public(*address)),
        }
    }
}

impl Resolver for Reach {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let lookup = DefaultResolver::default();
        let host = uri.host().unwrap_or_default().to_ascii_lowercase();
        let usual = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        if let Some(known) = self.known(&host, uri.port_u16().unwrap_or(usual)) {
            let mut addresses = lookup.empty();
            addresses.push(known);
            return Ok(addresses);
        }
        // Whatever this system makes of such a name, it is this machine.
        if matches!(self, Self::Public { .. }) && is_local_name(&host) {
            let address = Ipv4Addr::LOCALHOST.into();
            return Err(ureq::Error::Other(Box::new(NotPublic { host, address })));
        }
        let addresses = lookup.resolve(uri, config, timeout)?;
        match self.refused(&addresses) {
            Some(address) => Err(ureq::Error::Other(Box::new(NotPublic { host, address }))),
            None => Ok(addresses),
        }
    }
}

/// Whether an address is on `localhost` or a name below it, which is this machine wherever it is asked for.
#[must_use]
pub fn is_local(url: &Url) -> bool {
    url.host_str().is_some_and(is_local_name)
}

fn is_local_name(host: &str) -> bool {
    host == "localhost" || host.ends_with(".localhost")
}

impl fmt::Display for MappedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}={}", self.host, self.port, self.address)
    }
}

/// Whether an address is one of the public internet, and of a single host. What is reserved, or stands for another address, is
/// not (the special-purpose registries of RFC 6890).
#[must_use]
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = matches!(
        (a, b, c),
        (0 | 10 | 127 | 224..=255, _, _)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 0, 0 | 2)
            | (192, 31, 196)
            | (192, 52, 193)
            | (192, 88, 99)
            | (192, 168, _)
            | (192, 175, 48)
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113)
    );
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, ..] = address.segments();
    // Only global unicast is given out: mapped and translated addresses, too, are outside of it.
    let special =
        matches!((a, b, c), (0x2001, 0..=0x01ff | 0x0db8, _) | (0x2002, _, _) | (0x2620, 0x4f, 0x8000))
            || (a == 0x3fff && b < 0x1000);
    a & 0xe000 == 0x2000 && !special
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_public() {
        for text in [
            "8.8.8.8",
            "1.1.1.1",
            "93.184.216.34",
            "100.63.255.255",
            "100.128.0.1",
            "172.32.0.1",
            "2606:4700::1111",
        ] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
        for text in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "fec0::1",
        ] {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn one_private_address_is_enough_to_refuse_a_name() {
        let reach = Reach::Public { own_port: None };
        let addresses: Vec<SocketAddr> =
            ["8.8.8.8:80", "10.0.0.1:80"].map(|text| text.parse().unwrap()).into();
        assert_eq!(reach.refused(&addresses), Some("10.0.0.1".parse().unwrap()));
        assert_eq!(reach.refused(&addresses[..1]), None);
        assert_eq!(Reach::Anywhere(Vec::new()).refused(&addresses), None);
    }

    #[test]
    fn names_below_localhost_are_this_machine_where_that_may_be_asked() {
        let local = Some(SocketAddr::from(([127, 0, 0, 1], 8080)));
        let anywhere = Reach::Anywhere(vec!["shop.example.com:443=127.0.0.1:9443".parse().unwrap()]);
        assert_eq!(anywhere.known("site.localhost", 8080), local);
        assert_eq!(anywhere.known("shop.example.com", 443), Some(([127, 0, 0, 1], 9443).into()));
        assert_eq!(anywhere.known("shop.example.com", 80), None);
        let public = Reach::Public { own_port: Some(8080) };
        assert_eq!(public.known("site.localhost", 8080), local);
        for (host, port) in [("site.localhost", 9090), ("localhost.example.com", 8080), ("127.0.0.1", 8080)] {
            assert_eq!(public.known(host, port), None, "{host}:{port}");
        }
        assert_eq!(Reach::Public { own_port: None }.known("site.localhost", 80), None);
    }
}
