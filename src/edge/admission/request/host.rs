//! Check of `Host` and `:authority`: a name or an address, and perhaps a port (RFC 9112 §3.2, RFC 3986 §3.2).

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Whether this is a name, an IPv4 address or an IPv6 address in brackets, and perhaps a port. Upstreams put it into
/// links, and look up sites by it. So nothing that one of them could take for a path, a list or user information passes,
/// although the grammar of URIs has room for some of it.
pub(super) fn is_host(host: &[u8]) -> bool {
    if let [b'[', rest @ ..] = host {
        let Some(end) = memchr::memchr(b']', rest) else { return false };
        let (address, port) = rest.split_at(end);
        return parses::<Ipv6Addr>(address) && port.get(1..).is_some_and(is_nothing_or_port);
    }
    // Labels are followed while they are read, because nearly every host is a good name.
    let (mut label, mut is_number) = (0_usize, false);
    let mut end = host.len();
    for (at, byte) in host.iter().enumerate() {
        match byte {
            b'0'..=b'9' => (label, is_number) = (label + 1, is_number || label == 0),
            b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'_' => (label, is_number) = (label + 1, false),
            b'.' if label > 0 => label = 0,
            b':' => {
                end = at;
                break;
            }
            _ => return false,
        }
    }
    let (name, port) = host.split_at(end);
    // A dot at the end is the root's. A last label of digits is no domain, so the whole is an address.
    !name.is_empty() && (!is_number || parses::<Ipv4Addr>(name)) && is_nothing_or_port(port)
}

/// Whether this is nothing, or a colon and a port.
fn is_nothing_or_port(port: &[u8]) -> bool {
    match port {
        [] => true,
        [b':', digits @ ..] => digits.iter().all(u8::is_ascii_digit) && parses::<u16>(digits),
        _ => false,
    }
}

fn parses<T: FromStr>(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| text.parse::<T>().is_ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_with_a_port_at_most() {
        for host in [
            "a",
            "localhost",
            "chat.example",
            "chat.example.",
            "CHAT.Example:8080",
            "a_b.example",
            "a-b.example:0",
            "xn--bcher-kva.example",
            "1and1.example",
            "a.b1:65535",
            "127.0.0.1",
            "127.0.0.1:80",
            "[::1]",
            "[::1]:1",
            "[2001:DB8::1]:8443",
            "[::ffff:192.0.2.1]",
        ] {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for host in [
            "",
            " ",
            "a b",
            " a",
            "a ",
            "a\tb",
            "localhost/x",
            "/",
            "http://a",
            "<script>",
            "localhost, evil",
            "a,b",
            "a;b",
            "u@a",
            "u:p@a",
            "a?b",
            "a#b",
            "a\\b",
            "a%20b",
            "a%2fb",
            "a*",
            "a'b",
            "\"a\"",
            "a\u{e9}",
            "\u{430}",
            "a\0",
            ":",
            ":80",
            "a:",
            "a:b",
            "localhost:abc",
            "a:b:c",
            "a:80:80",
            "a:+80",
            "a:-1",
            "a: 80",
            "a:8 0",
            "a:65536",
            "a:99999999999999999999",
            "a:80/",
            ".",
            "..",
            ".a",
            "a..b",
            "a..",
            "1.2.3",
            "1.2.3.4.5",
            "256.1.1.1",
            "01.2.3.4",
            "1.2.3.4.",
            "123",
            "::1",
            "[",
            "[]",
            "[::1",
            "::1]",
            "[zz]",
            "[::1]80",
            "[::1]:",
            "[::1]:x",
            "[::1]:65536",
            "[::1%25eth0]",
            "[v1.a]",
            "[1.2.3.4]",
            "[[::1]]",
            "[::1]]",
            "a[::1]",
        ] {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_host_or_none(bytes in prop::collection::vec(any::<u8>(), 0..30)) {
            let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(byte);
            prop_assert!(!is_host(&bytes) || bytes.iter().all(is_plain), "{bytes:?}");
        }

        #[test]
        fn addresses_and_ports_are_hosts(
            v4: Ipv4Addr,
            v6: Ipv6Addr,
            port: u16,
            name in "[a-z][a-z0-9-]{0,9}(\\.[a-z][a-z0-9]{0,9}){0,3}",
        ) {
            for host in [v4.to_string(), format!("[{v6}]"), name] {
                prop_assert!(is_host(host.as_bytes()), "{host}");
                prop_assert!(is_host(format!("{host}:{port}").as_bytes()), "{host}:{port}");
                prop_assert!(!is_host(format!("{host}:{}", u32::from(port) + 65_536).as_bytes()), "{host}");
            }
        }
    }
}
