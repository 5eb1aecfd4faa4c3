//! Parsers of addresses, servers, hosts and networks. Their errors say what would be right.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

use super::resolve::upstream::ServerAddress;

/// Parses an address to listen on. Names are not looked up, because they can have several addresses, and
/// change.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let parsed: Result<SocketAddr, _> = text.parse();
    if let Ok(addr) = parsed.as_ref()
        && addr.port() == 0
    {
        let right = SocketAddr::new(addr.ip(), 8080);
        return Err(format!(
            "'{text}' leaves the port to the system, so nobody could know it; write \"{right}\""
        ));
    }
    parsed.map_err(|_| {
        if text.parse::<IpAddr>().is_ok() {
            return format!("'{text}' has no port; write \"{}\"", with_port(text, 8080));
        }
        let example = "write it like \"127.0.0.1:8080\" or \"[::1]:8080\"";
        match text.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()) {
            Some(("localhost", port)) => {
                format!("'{text}' is a name; write an address, \"127.0.0.1:{port}\" or \"[::1]:{port}\"")
            }
            Some(("" | "*", port)) => {
                format!("'{text}' has no address; write \"0.0.0.0:{port}\" for all addresses")
            }
            Some((host, _)) if is_host_name(host) => {
                format!("'{text}' is a name, and names are not looked up; {example}")
            }
            _ => format!("'{text}' is not an IP address and port; {example}"),
        }
    })
}

fn with_port(ip: &str, port: u16) -> String {
    if ip.contains(':') && !ip.starts_with('[') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}

/// Parses an upstream's server: `127.0.0.1:7001`, `[::1]:7001` or `app.internal:7001`.
pub(super) fn server(text: &str) -> Result<ServerAddress, String> {
    if let Some((scheme, rest)) = text.split_once("://") {
        let bare = rest.split('/').next().unwrap_or(rest);
        let tls = if scheme == "https" { " and set tls = true" } else { "" };
        return Err(format!("'{text}' is a URL; write \"{}\"{tls}", completed(bare, scheme == "https")));
    }
    if let Ok(addr) = text.parse::<SocketAddr>() {
        return if addr.port() == 0 {
            Err("can't connect to port 0".into())
        } else {
            Ok(ServerAddress::Ip(addr))
        };
    }
    if text.parse::<IpAddr>().is_ok() || is_host_name(text) {
        return Err(format!("'{text}' has no port; write \"{}\"", completed(text, false)));
    }
    let named = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    match named {
        Some((host, port)) if port > 0 && is_host_name(host) => {
            Ok(ServerAddress::Name { host: host.to_ascii_lowercase().into(), port })
        }
        _ => Err(format!("'{text}' is not a server; write host:port, such as \"127.0.0.1:7001\"")),
    }
}

fn completed(host: &str, tls: bool) -> String {
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if has_port && host.parse::<IpAddr>().is_err() {
        host.into()
    } else {
        with_port(host, if tls { 443 } else { 80 })
    }
}

/// Whether the text is a DNS name in ASCII, of any case. An IPv4 address is not.
pub(super) fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last_is_number = text.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    text.len() <= 253 && text.split('.').all(label) && !last_is_number
}

/// Parses a host as in a `Host` header without a port, into lower case: a name, an IPv4 address, or an IPv6
/// address in brackets.
pub(super) fn host(text: &str) -> Result<String, String> {
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_ipv6 = bracketed.is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok());
    if is_ipv6 || is_host_name(text) || text.parse::<Ipv4Addr>().is_ok() {
        return Ok(text.to_ascii_lowercase());
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Err(format!("'{text}' needs brackets; write \"[{text}]\""));
    }
    match text.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() && is_host_name(name) => {
            Err(format!("'{text}' has a port; write \"{name}\" without it"))
        }
        _ => Err(format!("'{text}' is not a host name; write it like \"localhost\" or \"edge.example.com\"")),
    }
}

/// Parses a network in CIDR notation, without bits beyond its prefix.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    match text.parse::<IpNet>() {
        Ok(net) if net == net.trunc() => Ok(net),
        Ok(net) => Err(format!("'{text}' has bits beyond its prefix; write \"{}\"", net.trunc())),
        Err(_) => match text.parse::<IpAddr>() {
            Ok(ip) => Err(format!("'{text}' has no prefix length; write \"{}\"", IpNet::from(ip))),
            Err(_) => Err(format!("'{text}' is not a network; write it like \"10.0.0.0/8\" or \"fd00::/8\"")),
        },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::tests::refuse;

    #[test]
    fn addresses_are_not_names() {
        for text in ["127.0.0.1:8080", "[::1]:8080", "0.0.0.0:80"] {
            assert_eq!(address(text).unwrap().to_string(), text);
        }
        let refused = [
            ("localhost:8080", "\"127.0.0.1:8080\" or \"[::1]:8080\""),
            (":8080", "\"0.0.0.0:8080\""),
            ("*:8080", "\"0.0.0.0:8080\""),
            ("edge.example.com:80", "names are not looked up"),
            ("127.0.0.1", "\"127.0.0.1:8080\""),
            ("::1", "\"[::1]:8080\""),
            ("8080", "not an IP address and port"),
            ("127.0.0.1:99999", "not an IP address and port"),
            ("127.0.0.1:0", "write \"127.0.0.1:8080\""),
            ("[::]:0", "write \"[::]:8080\""),
        ];
        refuse(address, &refused);
    }

    #[test]
    fn servers_are_host_and_port() {
        assert_eq!(server("127.0.0.1:7001").unwrap(), ServerAddress::Ip("127.0.0.1:7001".parse().unwrap()));
        let named = server("App.Internal:80").unwrap();
        assert_eq!((named.name(), named.port(), named.ip()), (Some("app.internal"), 80, None));
        for text in ["[::1]:7001", "app_1.internal:7001"] {
            assert_eq!(server(text).unwrap().to_string(), text);
        }
        let refused = [
            ("http://app.internal/x", "\"app.internal:80\""),
            ("https://app.internal", "\"app.internal:443\" and set tls = true"),
            ("http://[::1]:7001", "\"[::1]:7001\""),
            ("http://[::1]/", "\"[::1]:80\""),
            ("app.internal", "\"app.internal:80\""),
            ("::1", "\"[::1]:80\""),
            ("127.0.0.1:0", "port 0"),
            ("app internal:80", "not a server"),
            ("1.2.3:80", "not a server"),
            ("", "not a server"),
        ];
        refuse(server, &refused);
    }

    #[test]
    fn hosts_have_no_port() {
        for (text, name) in [("LocalHost", "localhost"), ("127.0.0.1", "127.0.0.1"), ("[::1]", "[::1]")] {
            assert_eq!(host(text).unwrap(), name);
        }
        let refused = [
            ("localhost:9090", "\"localhost\""),
            ("::1", "\"[::1]\""),
            ("http://x", "not a host name"),
            ("", "not a host name"),
        ];
        refuse(host, &refused);
    }

    #[test]
    fn networks_are_exact() {
        for text in ["10.0.0.0/8", "::/0", "127.0.0.1/32"] {
            assert_eq!(network(text).unwrap().to_string(), text);
        }
        refuse(
            network,
            &[("10.0.0.1/8", "\"10.0.0.0/8\""), ("10.0.0.1", "\"10.0.0.1/32\""), ("all", "not a network")],
        );
    }
}
