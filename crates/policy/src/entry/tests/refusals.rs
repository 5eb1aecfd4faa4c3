use EntryErrorCode as Code;

use super::super::*;

fn refused(text: &str) -> EntryError {
    Entry::parse(text, PublicSuffixes::shipped()).err().unwrap_or_else(|| panic!("{text} was accepted"))
}

const REFUSALS: &[(&str, Code, Option<&str>)] = &[
    ("", Code::Empty, None),
    ("   ", Code::Empty, None),
    (" example.com", Code::SurroundingWhiteSpace, Some("example.com")),
    ("example.com\n", Code::SurroundingWhiteSpace, Some("example.com")),
    (" https://user@example.com/app ", Code::SurroundingWhiteSpace, Some("https://example.com")),
    ("example.com example.org", Code::WhiteSpace, Some("example.com")),
    ("exam\u{a0}ple.com", Code::WhiteSpace, None),
    ("example.com\nexample.org", Code::WhiteSpace, Some("example.com")),
    ("exam\0ple.com", Code::ControlCharacter, None),
    ("example.com;example.org", Code::Semicolon, Some("example.com")),
    ("; example.org", Code::Semicolon, Some("example.org")),
    ("example.com,example.org", Code::Comma, Some("example.com")),
    ("example.com, https://example.org", Code::Comma, Some("example.com")),
    ("https://example.com,https://example.org", Code::Comma, Some("https://example.com")),
    ("example.com\\app", Code::Backslash, Some("example.com")),
    ("https:\\\\example.com", Code::Backslash, Some("https://example.com")),
    ("example.com/", Code::Path, Some("example.com")),
    ("https://example.com/app", Code::Path, Some("https://example.com")),
    ("https://example.com/app;a,b c@d?e#f", Code::Path, Some("https://example.com")),
    ("*.example.com/*", Code::Path, Some("*.example.com")),
    ("//example.com", Code::Path, Some("example.com")),
    ("/", Code::Path, None),
    ("example.com/https://example.org", Code::Path, Some("example.com")),
    ("example.com?q=1", Code::Query, Some("example.com")),
    ("https://example.com:8443?q", Code::Query, Some("https://example.com:8443")),
    ("example.com#top", Code::Fragment, Some("example.com")),
    ("user@example.com", Code::Userinfo, Some("example.com")),
    ("https://user:password@example.com/app", Code::Userinfo, Some("https://example.com")),
    ("null", Code::Opaque, None),
    ("NULL", Code::Opaque, None),
    ("*", Code::StarAlone, None),
    ("https://*", Code::StarAlone, None),
    ("*:*", Code::StarAlone, None),
    ("*://example.com", Code::StarScheme, Some("example.com")),
    ("http*://example.com", Code::StarScheme, Some("example.com")),
    ("*foo.com", Code::StarWithoutDot, Some("*.foo.com")),
    ("*foo.example.com", Code::StarWithoutDot, Some("*.foo.example.com")),
    ("*com", Code::StarPosition, None),
    ("a.*.com", Code::StarPosition, None),
    ("a.*.example.com", Code::StarPosition, Some("*.example.com")),
    ("www.example.*", Code::StarPosition, None),
    ("pr-*", Code::StarPosition, None),
    ("*.*.example.com", Code::ManyStars, Some("*.example.com")),
    ("**.example.com", Code::ManyStars, Some("*.example.com")),
    ("a-*-*.example.com", Code::ManyStars, Some("*.example.com")),
    ("**", Code::ManyStars, None),
    ("mün-*.example.com", Code::GlobIdn, Some("*.example.com")),
    ("xn--*.example.com", Code::GlobIdn, Some("*.example.com")),
    ("*。example.com", Code::GlobIdn, None),
    ("*.com", Code::PublicSuffix, None),
    (".com", Code::PublicSuffix, None),
    ("*.co.uk", Code::PublicSuffix, None),
    ("*.vercel.app", Code::PublicSuffix, None),
    (".github.io", Code::PublicSuffix, None),
    ("https://*.github.io:8443", Code::PublicSuffix, None),
    ("*.公司.cn", Code::PublicSuffix, None),
    ("*.intranet", Code::PublicSuffix, None),
    // Others can have these, or will be able to.
    ("*.arpa", Code::PublicSuffix, None),
    ("*.in-addr.arpa", Code::PublicSuffix, None),
    ("*.onion", Code::PublicSuffix, None),
    ("*.lan", Code::PublicSuffix, None),
    ("*.dev", Code::PublicSuffix, None),
    ("*.ck", Code::PublicSuffix, None),
    ("*.anything.ck", Code::PublicSuffix, None),
    // Every name below it is a suffix, though it is none itself.
    ("*.kawasaki.jp", Code::PublicSuffix, None),
    ("pr-*.com", Code::PublicSuffix, None),
    ("pr-*.co.uk", Code::PublicSuffix, None),
    ("pr-*.kawasaki.jp", Code::PublicSuffix, None),
    ("*.127.0.0.1", Code::WildcardIp, Some("127.0.0.1")),
    (".127.0.0.1", Code::WildcardIp, Some("127.0.0.1")),
    ("pr-*.10.0.0.1", Code::WildcardIp, Some("10.0.0.1")),
    ("*.[::1]", Code::WildcardIp, Some("[::1]")),
    ("capacitor://*.example.com", Code::WildcardScheme, Some("capacitor://example.com")),
    ("capacitor://.example.com", Code::WildcardScheme, Some("capacitor://example.com")),
    ("capacitor://localhost:*", Code::WildcardScheme, Some("capacitor://localhost")),
    ("chrome-extension://*", Code::WildcardScheme, None),
    ("ftp://example.com", Code::UnsupportedScheme, Some("https://example.com")),
    ("ws://example.com:8443", Code::UnsupportedScheme, Some("https://example.com:8443")),
    ("WSS://example.com/socket", Code::Path, Some("https://example.com")),
    ("file:///srv/index.html", Code::UnsupportedScheme, None),
    ("javascript:alert(1)", Code::UnsupportedScheme, None),
    ("about:blank", Code::UnsupportedScheme, None),
    ("data:text/html,x", Code::UnsupportedScheme, None),
    ("blob:https://example.com/0b1e", Code::UnsupportedScheme, Some("https://example.com")),
    ("ht_tps://example.com", Code::InvalidScheme, Some("example.com")),
    ("://example.com", Code::InvalidScheme, Some("example.com")),
    ("1x://example.com", Code::InvalidScheme, Some("example.com")),
    ("https:example.com", Code::MissingSlashes, Some("https://example.com")),
    ("http:/example.com/app", Code::MissingSlashes, Some("http://example.com")),
    ("https://", Code::MissingHost, None),
    (":8443", Code::MissingHost, None),
    ("*.", Code::MissingHost, None),
    (".", Code::MissingHost, None),
    ("a..example.com", Code::EmptyLabel, Some("a.example.com")),
    ("..example.com", Code::EmptyLabel, Some("example.com")),
    ("*..example.com", Code::EmptyLabel, Some("*.example.com")),
    ("example.com.", Code::TrailingDot, Some("example.com")),
    ("*.example.com.:8443", Code::TrailingDot, Some("*.example.com:8443")),
    ("exa!mple.com", Code::InvalidCharacter, None),
    ("exa%6dple.com", Code::InvalidCharacter, None),
    ("'self'", Code::InvalidCharacter, None),
    ("p!-*.example.com", Code::InvalidCharacter, None),
    ("example.com:80:80", Code::InvalidCharacter, None),
    ("xn--a.example", Code::InvalidIdn, None),
    ("\u{378}.example", Code::InvalidIdn, None),
    ("example.com／app", Code::InvalidIdn, None),
    ("127.1", Code::InvalidIpv4, Some("127.0.0.1")),
    ("0x7f000001", Code::InvalidIpv4, Some("127.0.0.1")),
    ("http://0177.0.0.01:8080", Code::InvalidIpv4, Some("http://127.0.0.1:8080")),
    ("192.0.2.256", Code::InvalidIpv4, None),
    ("1.2.3.4.5", Code::InvalidIpv4, None),
    ("example.123", Code::InvalidIpv4, None),
    ("[::g]", Code::InvalidIpv6, None),
    ("[::1", Code::InvalidIpv6, None),
    ("[fe80::1%eth0]", Code::InvalidIpv6, None),
    ("[127.0.0.1]", Code::InvalidIpv6, None),
    ("::1", Code::BareIpv6, Some("[::1]")),
    ("https://2001:DB8::1", Code::BareIpv6, Some("https://[2001:db8::1]")),
    ("example.com:", Code::EmptyPort, Some("example.com")),
    ("example.com:0", Code::InvalidPort, Some("example.com")),
    ("example.com:65536", Code::InvalidPort, Some("example.com")),
    ("example.com:08443", Code::InvalidPort, Some("example.com:8443")),
    ("example.com:+80", Code::InvalidPort, Some("example.com")),
    ("example.com:http", Code::InvalidPort, Some("example.com")),
    ("example.com:80*", Code::InvalidPort, Some("example.com")),
];

#[test]
fn each_refusal_has_its_code_and_suggestion() {
    for (text, code, suggestion) in REFUSALS {
        let error = refused(text);
        assert_eq!((error.code, error.suggestion.as_deref()), (*code, *suggestion), "{text}: {error}");
    }
}

#[test]
fn lengths_are_those_of_dns() {
    let label = "a".repeat(64);
    assert_eq!(refused(&format!("{label}.example")).code, Code::LabelTooLong);
    assert_eq!(refused(&format!("{label}*.example.com")).code, Code::LabelTooLong);
    // As A-label: `xn--` and the encoding count.
    assert_eq!(refused(&format!("{}.example", "ü".repeat(60))).code, Code::LabelTooLong);
    let name = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61)].join(".");
    assert!(Entry::parse(&name, PublicSuffixes::shipped()).is_ok());
    assert_eq!(refused(&format!("{name}d")).code, Code::NameTooLong);
    assert_eq!(refused(&format!("*.{name}")).code, Code::NameTooLong);
    assert_eq!(refused(&format!("pr-*.{name}")).code, Code::NameTooLong);
}

#[test]
fn every_code_is_reached_and_explained() {
    let mut words: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), Code::ALL.len());
    for code in Code::ALL {
        assert!(code.as_str().bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'));
        let by_length = matches!(code, Code::NameTooLong | Code::LabelTooLong);
        assert!(by_length || REFUSALS.iter().any(|(_, reached, _)| reached == code), "{code}");
    }
}

#[test]
fn refusals_read_well() {
    assert_eq!(
        refused("https://example.com/app").to_string(),
        "rules compare origins, which have no path; use `https://example.com`"
    );
    assert_eq!(
        refused("*.vercel.app").to_string(),
        "anyone can register a name under the public suffix `vercel.app`; \
         name your own domain, as in `example.vercel.app` or `*.example.vercel.app`"
    );
}
