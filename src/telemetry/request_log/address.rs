//! Clients' addresses, as far as they are logged.

use std::net::IpAddr;

use ipnet::IpNet;

/// Length of the network that is logged instead of an address, in bits.
const SHORT_V4: u8 = 24;
const SHORT_V6: u8 = 48;

/// What is logged of a client's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum AddressScope {
    /// Nothing.
    Off = 0,
    /// Its network: 24 bits of an IPv4 address, 48 of an IPv6 address.
    Truncated = 1,
    /// All of it.
    Full = 2,
}

impl AddressScope {
    pub(super) fn of(number: u8) -> Self {
        match number {
            1 => Self::Truncated,
            2 => Self::Full,
            _ => Self::Off,
        }
    }

    /// What is logged of this address.
    pub fn of_client(self, address: IpAddr) -> Option<IpNet> {
        self.of_network(IpNet::from(address.to_canonical()))
    }

    /// What is logged of what was kept of an address: never more than that.
    pub fn of_network(self, network: IpNet) -> Option<IpNet> {
        let short = if network.addr().is_ipv4() { SHORT_V4 } else { SHORT_V6 };
        match self {
            Self::Off => None,
            Self::Truncated => {
                IpNet::new(network.addr(), network.prefix_len().min(short)).ok().map(|short| short.trunc())
            }
            Self::Full => Some(network),
        }
    }
}

/// `203.0.113.7`, or `203.0.113.0/24`.
pub(super) fn text(client: IpNet) -> String {
    if client.prefix_len() == client.max_prefix_len() {
        client.addr().to_string()
    } else {
        client.to_string()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::AddressScope::{Full, Off, Truncated};
    use super::*;

    #[test]
    fn an_address_is_logged_as_far_as_the_scope_says() {
        for (address, short, whole) in [
            ("203.0.113.7", "203.0.113.0/24", "203.0.113.7"),
            ("::ffff:203.0.113.7", "203.0.113.0/24", "203.0.113.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48", "2001:db8:1:2:3:4:5:6"),
        ] {
            let address: IpAddr = address.parse().unwrap();
            let told = |scope: AddressScope| scope.of_client(address).map(text);
            assert_eq!(
                [Off, Truncated, Full].map(told),
                [None, Some(short.to_owned()), Some(whole.to_owned())]
            );
            let kept = Truncated.of_client(address).unwrap();
            assert_eq!(Full.of_network(kept).map(text), Some(short.to_owned()), "no more than was kept");
            assert_eq!(Off.of_network(kept), None);
        }
    }

    #[test]
    fn a_scope_is_its_number() {
        assert!([Off, Truncated, Full].into_iter().all(|scope| AddressScope::of(scope as u8) == scope));
    }
}
