#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod agreement;
mod web_platform;

use super::*;

fn identify<'a>(origin: &[&'a [u8]], referer: &[&'a [u8]]) -> Embedder<'a> {
    Embedder::identify(origin.iter().copied(), referer.iter().copied())
}

/// The restrictions beyond the URL standard, in words of their own: the fault of a serialised origin.
fn restriction(origin: &str) -> Option<OriginError> {
    let authority = origin.split_once("://").expect(origin).1;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, Some(port)),
        _ => (authority, None),
    };
    if host.starts_with('[') {
        return (port == Some("0")).then_some(OriginError::PortZero);
    }
    if host.contains(',') {
        return Some(OriginError::List);
    }
    if host.chars().any(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-' | '_' | '.')) {
        return Some(OriginError::InvalidCharacter);
    }
    let labels: Vec<&str> = host.strip_suffix('.').unwrap_or(host).split('.').collect();
    if labels.contains(&"") {
        return Some(OriginError::EmptyLabel);
    }
    if labels.iter().any(|label| label.len() > 63) {
        return Some(OriginError::LabelTooLong);
    }
    if host.ends_with('.') {
        return Some(OriginError::TrailingDot);
    }
    if host.len() > 253 {
        return Some(OriginError::NameTooLong);
    }
    (port == Some("0")).then_some(OriginError::PortZero)
}

#[test]
fn the_parts_of_an_origin() {
    let v4 = |text: &str| Host::Ipv4(text.parse().unwrap());
    let v6 = |text: &str| Host::Ipv6(text.parse().unwrap());
    for (text, scheme, host, explicit, port, loopback) in [
        ("https://example.com", Scheme::Https, Host::Name("example.com"), None, Some(443), false),
        ("http://example.com:8080", Scheme::Http, Host::Name("example.com"), Some(8080), Some(8080), false),
        ("http://example.com:443", Scheme::Http, Host::Name("example.com"), Some(443), Some(443), false),
        (
            "https://a_b.-c-.xn--mnchen-3ya.example",
            Scheme::Https,
            Host::Name("a_b.-c-.xn--mnchen-3ya.example"),
            None,
            Some(443),
            false,
        ),
        ("https://intranet", Scheme::Https, Host::Name("intranet"), None, Some(443), false),
        (
            "https://0x.example:65535",
            Scheme::Https,
            Host::Name("0x.example"),
            Some(65535),
            Some(65535),
            false,
        ),
        ("http://localhost", Scheme::Http, Host::Name("localhost"), None, Some(80), true),
        ("http://a.b.localhost:1", Scheme::Http, Host::Name("a.b.localhost"), Some(1), Some(1), true),
        ("http://notlocalhost", Scheme::Http, Host::Name("notlocalhost"), None, Some(80), false),
        ("http://127.1.2.3", Scheme::Http, v4("127.1.2.3"), None, Some(80), true),
        ("https://128.0.0.1", Scheme::Https, v4("128.0.0.1"), None, Some(443), false),
        ("http://[::1]:3000", Scheme::Http, v6("::1"), Some(3000), Some(3000), true),
        ("https://[2001:db8::1]", Scheme::Https, v6("2001:db8::1"), None, Some(443), false),
        ("https://[::ffff:7f00:1]", Scheme::Https, v6("::ffff:127.0.0.1"), None, Some(443), false),
        ("https://[::102:304]", Scheme::Https, v6("::1.2.3.4"), None, Some(443), false),
        ("capacitor://localhost", Scheme::Other("capacitor"), Host::Name("localhost"), None, None, true),
        (
            "chrome-extension://abcdefgh",
            Scheme::Other("chrome-extension"),
            Host::Name("abcdefgh"),
            None,
            None,
            false,
        ),
        ("app+x.y-1://host:80", Scheme::Other("app+x.y-1"), Host::Name("host"), Some(80), Some(80), false),
        ("wss://example.com", Scheme::Other("wss"), Host::Name("example.com"), None, Some(443), false),
        ("ftp://example.com", Scheme::Other("ftp"), Host::Name("example.com"), None, Some(21), false),
    ] {
        let origin = Origin::parse(text).expect(text);
        assert_eq!(origin.as_str(), text);
        assert_eq!((origin.scheme(), origin.host()), (scheme, host), "{text}");
        assert_eq!((origin.explicit_port(), origin.port()), (explicit, port), "{text}");
        assert_eq!(origin.is_loopback(), loopback, "{text}");
        let with_port = explicit.map(|port| format!(":{port}")).unwrap_or_default();
        assert_eq!(format!("{}://{}{with_port}", scheme.as_str(), origin.host_str()), text);
        assert_eq!(OriginBuf::parse(text).unwrap().as_origin(), origin);
    }
}

/// Values of `Origin` that no browser sends, each with its own fault.
const MALFORMED: &[(&str, OriginError)] = &[
    ("", OriginError::Empty),
    ("https://a.example,https://b.example", OriginError::List),
    ("https://a.example, https://b.example", OriginError::List),
    ("https://a.example https://b.example", OriginError::List),
    ("null, https://a.example", OriginError::List),
    ("https://münchen.example", OriginError::NonAscii),
    ("https://ex\u{7f}ample.com", OriginError::ControlCharacter),
    ("https://example.com\t/", OriginError::ControlCharacter),
    ("https://exa mple.com", OriginError::WhiteSpace),
    ("https://example.com\\@stranger.example", OriginError::Backslash),
    ("https:\\\\example.com", OriginError::Backslash),
    ("HTTPS://example.com", OriginError::UpperCase),
    ("https://Example.com", OriginError::UpperCase),
    ("https://example.COM:8443", OriginError::UpperCase),
    ("example.com", OriginError::NotAbsolute),
    ("//example.com", OriginError::NotAbsolute),
    ("https:example.com", OriginError::NotAbsolute),
    ("https:/example.com", OriginError::NotAbsolute),
    ("NULL", OriginError::NotAbsolute),
    ("1a://example.com", OriginError::NotAbsolute),
    ("://example.com", OriginError::NotAbsolute),
    ("localhost:8080", OriginError::NotAbsolute),
    ("blob:https://example.com/0b1e", OriginError::OpaqueScheme),
    ("data:text/html,x", OriginError::OpaqueScheme),
    ("about:blank", OriginError::OpaqueScheme),
    ("file:///", OriginError::OpaqueScheme),
    ("FILE://", OriginError::UpperCase),
    ("file://localhost", OriginError::OpaqueScheme),
    ("file://server/share", OriginError::OpaqueScheme),
    ("javascript://example.com", OriginError::OpaqueScheme),
    ("https://user@example.com", OriginError::Userinfo),
    ("https://user:password@example.com", OriginError::Userinfo),
    ("https://example.com@stranger.example", OriginError::Userinfo),
    ("https://@example.com", OriginError::Userinfo),
    ("https://example.com/", OriginError::Path),
    ("https://example.com/app", OriginError::Path),
    ("https://example.com?q", OriginError::Query),
    ("https://example.com#f", OriginError::Fragment),
    ("https://", OriginError::MissingHost),
    ("https:///path", OriginError::MissingHost),
    ("https://:8443", OriginError::MissingHost),
    ("app://", OriginError::MissingHost),
    ("https://a..example", OriginError::EmptyLabel),
    ("https://.example", OriginError::EmptyLabel),
    ("https://.", OriginError::EmptyLabel),
    ("https://example.com.", OriginError::TrailingDot),
    ("https://127.0.0.1.", OriginError::TrailingDot),
    ("https://localhost.:8080", OriginError::TrailingDot),
    ("https://exa*mple.com", OriginError::InvalidCharacter),
    ("https://*.example.com", OriginError::InvalidCharacter),
    ("https://example.com;x", OriginError::InvalidCharacter),
    ("https://ex%61mple.com", OriginError::InvalidCharacter),
    ("https://example.com'", OriginError::InvalidCharacter),
    ("https://a:b:80", OriginError::InvalidCharacter),
    ("https://xn--.example", OriginError::InvalidIdn),
    ("https://xn--a.example", OriginError::InvalidIdn),
    ("https://www.xn--example-.com", OriginError::InvalidIdn),
    // Not what encoding gives: this label decodes to a capital letter.
    ("https://xn--a-ecp.ru", OriginError::InvalidIdn),
    ("https://127.1", OriginError::Ipv4),
    ("https://127.0.0.01", OriginError::Ipv4),
    ("https://0x7f.0.0.1", OriginError::Ipv4),
    ("https://127.0.0.0x1", OriginError::Ipv4),
    ("https://2130706433", OriginError::Ipv4),
    ("https://1.2.3.4.5", OriginError::Ipv4),
    ("https://256.0.0.1", OriginError::Ipv4),
    ("https://example.123", OriginError::Ipv4),
    ("https://example.0x", OriginError::Ipv4),
    ("https://[::1", OriginError::Ipv6),
    ("https://[]", OriginError::Ipv6),
    ("https://[::1]x", OriginError::Ipv6),
    ("https://[0:0:0:0:0:0:0:1]", OriginError::Ipv6),
    ("https://[2001:DB8::1]", OriginError::Ipv6),
    ("https://[2001:db8:0::1]", OriginError::Ipv6),
    ("https://[::ffff:127.0.0.1]", OriginError::Ipv6),
    ("https://[1:0:0:2:0:0:0:3]", OriginError::Ipv6),
    ("https://[fe80::1%25eth0]", OriginError::Ipv6),
    ("https://example.com:", OriginError::EmptyPort),
    ("https://example.com:x", OriginError::InvalidPort),
    ("https://example.com:+1", OriginError::InvalidPort),
    ("https://example.com:65536", OriginError::InvalidPort),
    ("https://[::1]:65536", OriginError::InvalidPort),
    ("https://example.com:0", OriginError::PortZero),
    ("https://example.com:00", OriginError::PortZero),
    ("https://example.com:08443", OriginError::PortLeadingZero),
    ("https://example.com:443", OriginError::DefaultPort),
    ("http://example.com:80", OriginError::DefaultPort),
    ("wss://example.com:443", OriginError::DefaultPort),
];

#[test]
fn malformed_origins() {
    for (text, expected) in MALFORMED {
        assert_eq!(Origin::parse(text), Err(*expected), "{text}");
        assert_eq!(
            identify(&[text.as_bytes()], &[b"https://example.com/"]),
            Embedder::Malformed(*expected),
            "{text}"
        );
        assert!(!expected.to_string().is_empty() && !expected.code().is_empty());
    }
    let label = "a".repeat(64);
    assert_eq!(Origin::parse(&format!("https://{label}.example")), Err(OriginError::LabelTooLong));
    assert!(Origin::parse(&format!("https://{}.example", &label[1..])).is_ok());
    let name = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61)].join(".");
    assert_eq!(name.len(), 253);
    assert!(Origin::parse(&format!("https://{name}")).is_ok());
    assert_eq!(Origin::parse(&format!("https://{name}d")), Err(OriginError::NameTooLong));
}

#[test]
fn referrers() {
    for (text, expected) in [
        ("https://example.com", Ok("https://example.com")),
        ("https://example.com/", Ok("https://example.com")),
        ("https://example.com:8443/a,b@c/D:80?q=https://x.example/,%5C", Ok("https://example.com:8443")),
        ("https://example.com?q", Ok("https://example.com")),
        ("http://[::1]:3000/x", Ok("http://[::1]:3000")),
        ("capacitor://localhost/index.html", Ok("capacitor://localhost")),
        ("", Err(OriginError::Empty)),
        ("null", Err(OriginError::NotAbsolute)),
        ("/relative", Err(OriginError::NotAbsolute)),
        ("relative", Err(OriginError::NotAbsolute)),
        ("//example.com/", Err(OriginError::NotAbsolute)),
        ("a/https://example.com/", Err(OriginError::NotAbsolute)),
        ("https:example.com", Err(OriginError::NotAbsolute)),
        ("blob:https://example.com/0b1e", Err(OriginError::OpaqueScheme)),
        ("blob://example.com/", Err(OriginError::OpaqueScheme)),
        ("data:text/html,x", Err(OriginError::OpaqueScheme)),
        ("about:blank", Err(OriginError::OpaqueScheme)),
        ("about:srcdoc", Err(OriginError::OpaqueScheme)),
        ("file://server/share", Err(OriginError::OpaqueScheme)),
        ("https://user@example.com/", Err(OriginError::Userinfo)),
        ("https://example.com\\@stranger.example/", Err(OriginError::Backslash)),
        ("https://example.com\\/a", Err(OriginError::Backslash)),
        ("https:\\\\example.com/", Err(OriginError::Backslash)),
        ("https://example.com/?p=C:\\x", Ok("https://example.com")),
        ("https://example.com/a\\b", Ok("https://example.com")),
        ("https://example.com/\r\nX: y", Err(OriginError::ControlCharacter)),
        ("https://example.com/\u{7f}", Err(OriginError::ControlCharacter)),
        ("https://example.com?a\tb", Err(OriginError::ControlCharacter)),
        ("https://example.com/a b", Ok("https://example.com")),
        ("https://example.com /", Err(OriginError::WhiteSpace)),
        ("https://example.com/ü", Ok("https://example.com")),
        ("https://example.comü/", Err(OriginError::NonAscii)),
        ("https://example.com/?q={\"a\":[1]}|^`<>", Ok("https://example.com")),
        ("https://example.com/#f", Ok("https://example.com")),
        ("https://example.com#f", Ok("https://example.com")),
        ("https://Example.com/", Err(OriginError::UpperCase)),
        ("https://example.com:443/", Err(OriginError::DefaultPort)),
        ("https://example.com./", Err(OriginError::TrailingDot)),
        ("https://0x7f.1/", Err(OriginError::Ipv4)),
        ("https:///example.com/", Err(OriginError::MissingHost)),
    ] {
        assert_eq!(Origin::parse_referer(text.as_bytes()).map(|origin| origin.as_str()), expected, "{text}");
        let embedder = identify(&[], &[text.as_bytes()]);
        match expected {
            Ok(origin) => assert_eq!(embedder, Embedder::Known(Origin::parse(origin).unwrap()), "{text}"),
            Err(error) => assert_eq!(embedder, Embedder::Malformed(error), "{text}"),
        }
    }
}

#[test]
fn who_embeds() {
    let (a, b) = (b"https://a.example".as_slice(), b"https://b.example".as_slice());
    let known = |text| Embedder::Known(Origin::parse(text).unwrap());
    assert_eq!(identify(&[], &[]), Embedder::Absent);
    assert_eq!(identify(&[a], &[b]), known("https://a.example"));
    assert_eq!(identify(&[], &[b]), known("https://b.example"));
    for (origin, text) in [(OpaqueOrigin::Null, "null"), (OpaqueOrigin::File, "file://")] {
        assert_eq!(identify(&[text.as_bytes()], &[b]), Embedder::Opaque(origin));
        assert_eq!(identify(&[format!(" \t{text}\t").as_bytes()], &[]), Embedder::Opaque(origin));
        assert_eq!(origin.as_str(), text);
    }
    assert_eq!(identify(&[], &[b"file:///home/page.html"]), Embedder::Opaque(OpaqueOrigin::File));
    assert_eq!(identify(&[b"  https://a.example \t "], &[]), known("https://a.example"));
    assert_eq!(identify(&[], &[b"\thttps://b.example/ "]), known("https://b.example"));
    for empty in [b"".as_slice(), b"  \t "] {
        assert_eq!(identify(&[empty], &[b]), Embedder::Malformed(OriginError::Empty));
        assert_eq!(identify(&[], &[empty]), Embedder::Malformed(OriginError::Empty));
    }
    for second in [a, b, b"", b"null"] {
        assert_eq!(identify(&[a, second], &[]), Embedder::Malformed(OriginError::MultipleLines));
        assert_eq!(identify(&[], &[a, second]), Embedder::Malformed(OriginError::MultipleLines));
    }
    assert_eq!(identify(&[b"https://\xff.example"], &[b]), Embedder::Malformed(OriginError::NonAscii));
    assert_eq!(identify(&[], &[b"https://\xff.example/"]), Embedder::Malformed(OriginError::NonAscii));
    assert_eq!(identify(&[], &[b"https://b.example/\xff"]), known("https://b.example"));
    assert_eq!(
        identify(&[b"\x0bhttps://a.example"], &[]),
        Embedder::Malformed(OriginError::ControlCharacter)
    );
    assert_eq!(identify(&[a], &[]).origin().unwrap().as_str(), "https://a.example");
    assert_eq!(identify(&[b"null"], &[]).origin(), None);
}

#[test]
fn sets_compare_whole_origins() {
    let set = OriginSet::new(
        ["https://a.example", "http://b.example:81", "https://a.example"].map(|o| o.parse().unwrap()),
    );
    let contains = |text| set.contains(Origin::parse(text).unwrap());
    assert!(contains("https://a.example") && contains("http://b.example:81"));
    assert!(
        !contains("http://a.example") && !contains("https://a.example:81") && !contains("http://b.example")
    );
    let texts: Vec<&str> = set.iter().map(|origin| origin.as_str()).collect();
    assert_eq!(texts, ["https://a.example", "http://b.example:81"]);
    assert!(!set.is_empty() && OriginSet::default().is_empty());
}
