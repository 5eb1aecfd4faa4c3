//! Hosts and their parser, which header lines and allowlist entries share.

use std::fmt::{self, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr};

use idna::AsciiDenyList;

use super::OriginError;

/// Maximum length of a DNS name, as text without the trailing dot (RFC 1035 §2.3.4).
pub(crate) const MAX_NAME: usize = 253;
/// Maximum length of a label.
pub(crate) const MAX_LABEL: usize = 63;

/// Host in canonical form.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Host<'a> {
    /// A DNS name: lower case A-labels, no trailing dot.
    Name(&'a str),
    /// An IPv4 address, written in dotted decimal.
    Ipv4(Ipv4Addr),
    /// An IPv6 address, written in brackets as the URL standard serialises it.
    Ipv6(Ipv6Addr),
}

impl<'a> Host<'a> {
    /// Parses a canonical host without allocating, including names with `xn--` labels of usual length.
    pub(crate) fn parse(text: &'a str) -> Result<Host<'a>, OriginError> {
        if text.is_empty() {
            return Err(OriginError::MissingHost);
        }
        if text.starts_with('[') {
            return parse_ipv6(text).map(Host::Ipv6);
        }
        let has_a_labels = check_name(text)?;
        if ends_in_number(text) {
            // Rust's parser accepts only dotted decimal without leading zeros.
            return text.parse().map(Host::Ipv4).map_err(|_| OriginError::Ipv4);
        }
        if has_a_labels && !is_canonical_idn(text) {
            return Err(OriginError::InvalidIdn);
        }
        Ok(Host::Name(text))
    }

    pub(crate) fn is_loopback(self) -> bool {
        match self {
            Host::Name(name) => name == "localhost" || name.ends_with(".localhost"),
            Host::Ipv4(address) => address.is_loopback(),
            Host::Ipv6(address) => address.is_loopback(),
        }
    }
}

/// The URL standard's "ends in a number" check: such a host is an IPv4 address or invalid.
fn ends_in_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    match last.strip_prefix("0x").or_else(|| last.strip_prefix("0X")) {
        Some(hexadecimal) => hexadecimal.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

/// Checks characters and lengths, and returns whether a label starts with `xn--`.
fn check_name(name: &str) -> Result<bool, OriginError> {
    let (mut label, mut has_a_labels) = (0, false);
    for (index, byte) in name.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => {
                // The fourth character of an A-label is a hyphen, so this is cheaper than checking every
                // label.
                if label == 3 && byte == b'-' && name.get(index - 3..index) == Some("xn-") {
                    has_a_labels = true;
                }
                label += 1;
            }
            b'.' if label == 0 => return Err(OriginError::EmptyLabel),
            b'.' => label = 0,
            b'A'..=b'Z' => return Err(OriginError::UpperCase),
            0..=0x1f | 0x7f => return Err(OriginError::ControlCharacter),
            0x80.. => return Err(OriginError::NonAscii),
            _ => return Err(OriginError::InvalidCharacter),
        }
        if label > MAX_LABEL {
            return Err(OriginError::LabelTooLong);
        }
    }
    if label == 0 {
        return Err(OriginError::TrailingDot);
    }
    if name.len() > MAX_NAME { Err(OriginError::NameTooLong) } else { Ok(has_a_labels) }
}

/// Whether the URL standard's "domain to ASCII" leaves this name unchanged.
fn is_canonical_idn(name: &str) -> bool {
    idna::domain_to_ascii_cow(name.as_bytes(), AsciiDenyList::URL).is_ok_and(|ascii| ascii == name)
}

fn parse_ipv6(text: &str) -> Result<Ipv6Addr, OriginError> {
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).ok_or(OriginError::Ipv6)?;
    let address = inner.parse().map_err(|_| OriginError::Ipv6)?;
    let mut expected = Expect(inner);
    let canonical = write!(expected, "{}", Ipv6Text(address)).is_ok() && expected.0.is_empty();
    if canonical { Ok(address) } else { Err(OriginError::Ipv6) }
}

/// Writer that compares the written text with the expected text, without a buffer.
struct Expect<'a>(&'a str);

impl fmt::Write for Expect<'_> {
    fn write_str(&mut self, written: &str) -> fmt::Result {
        self.0 = self.0.strip_prefix(written).ok_or(fmt::Error)?;
        Ok(())
    }
}

/// IPv6 address as the URL standard serialises it, without brackets.
///
/// Unlike Rust's own form, an IPv4-mapped address stays hexadecimal: `::ffff:7f00:1`.
pub(crate) struct Ipv6Text(pub(crate) Ipv6Addr);

impl fmt::Display for Ipv6Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(low) = self.0.to_ipv4_mapped().map(Ipv4Addr::to_bits) else {
            return write!(f, "{}", self.0);
        };
        write!(f, "::ffff:{:x}:{:x}", low >> 16, low & 0xffff)
    }
}
