#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod properties;
mod refusals;

use super::*;

fn entry(text: &str) -> Entry {
    Entry::parse(text, PublicSuffixes::shipped()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn origin(text: &str) -> Origin<'_> {
    Origin::parse(text).expect(text)
}

/// Each row: the entry, what it admits, what it does not.
type Row = (&'static str, &'static [&'static str], &'static [&'static str]);

const TABLE: &[Row] = &[
    (
        "example.com",
        &["https://example.com"],
        &[
            "http://example.com",
            "https://example.com:8443",
            "https://www.example.com",
            "https://evilexample.com",
            "https://example.com.evil.test",
            "https://com",
            "capacitor://example.com",
            "wss://example.com",
        ],
    ),
    ("https://example.com", &["https://example.com"], &["http://example.com", "https://example.com:444"]),
    (
        "http://example.com",
        &["http://example.com"],
        &["https://example.com", "http://example.com:8080", "http://example.com:443"],
    ),
    (
        "*.example.com",
        &[
            "https://a.example.com",
            "https://a.b.c.example.com",
            "https://a_b.example.com",
            "https://xn--mnchen-3ya.example.com",
        ],
        &[
            "https://example.com",
            "https://evilexample.com",
            "http://a.example.com",
            "https://a.example.com:8443",
            "https://a.example.com.test",
        ],
    ),
    (
        ".example.com",
        &["https://example.com", "https://a.example.com", "https://a.b.example.com"],
        &["https://evilexample.com", "http://example.com", "https://example.com:8443", "https://com"],
    ),
    (
        "pr-*.preview.example.com",
        &[
            "https://pr-1.preview.example.com",
            "https://pr--.preview.example.com",
            "https://pr-a-b_c.preview.example.com",
        ],
        &[
            "https://pr-.preview.example.com",
            "https://pr-1.x.preview.example.com",
            "https://x.pr-1.preview.example.com",
            "https://xpr-1.preview.example.com",
            "https://preview.example.com",
            "https://pr-1.preview.example.com.test",
            "https://pr-1.evilpreview.example.com",
            "http://pr-1.preview.example.com",
            "https://pr-1.preview.example.com:8443",
        ],
    ),
    (
        "a*a.example.com",
        &["https://axa.example.com", "https://aaa.example.com"],
        &["https://aa.example.com", "https://a.example.com", "https://axb.example.com"],
    ),
    (
        "*--shop.netlify.app",
        &["https://main--shop.netlify.app"],
        &["https://--shop.netlify.app", "https://shop.netlify.app", "https://main--shopx.netlify.app"],
    ),
    (
        "http://*.example.com:8080",
        &["http://a.example.com:8080"],
        &["https://a.example.com:8080", "http://a.example.com", "http://example.com:8080"],
    ),
    ("example.com:8443", &["https://example.com:8443"], &["https://example.com", "http://example.com:8443"]),
    (
        "example.com:*",
        &[
            "https://example.com",
            "https://example.com:1",
            "https://example.com:65535",
            "https://example.com:80",
        ],
        &["http://example.com", "http://example.com:443"],
    ),
    ("example.com:80", &["https://example.com:80"], &["http://example.com", "https://example.com"]),
    ("http://example.com:443", &["http://example.com:443"], &["https://example.com", "http://example.com"]),
    (
        "192.0.2.1",
        &["https://192.0.2.1"],
        &["http://192.0.2.1", "https://192.0.2.10", "https://192.0.2.1:8443"],
    ),
    (
        "[2001:db8::1]:8443",
        &["https://[2001:db8::1]:8443"],
        &["https://[2001:db8::1]", "https://[2001:db8::2]:8443"],
    ),
    (
        "localhost",
        &["http://localhost", "https://localhost", "http://localhost:3000", "https://localhost:8443"],
        &[
            "http://a.localhost",
            "http://127.0.0.1",
            "capacitor://localhost",
            "ws://localhost",
            "http://localhost.test",
        ],
    ),
    (
        "127.0.0.1",
        &["http://127.0.0.1", "https://127.0.0.1:8443"],
        &["http://127.0.0.2", "http://localhost", "http://[::1]"],
    ),
    ("[::1]", &["http://[::1]", "https://[::1]:8443"], &["http://127.0.0.1", "http://[::2]"]),
    (
        "*.localhost",
        &["http://a.localhost", "https://a.b.localhost:8443"],
        &["http://localhost", "http://alocalhost"],
    ),
    (".localhost", &["http://localhost:1", "https://a.localhost"], &["http://alocalhost"]),
    ("pr-*.localhost", &["http://pr-1.localhost:3000"], &["http://pr-.localhost"]),
    (
        "*.test",
        &["https://a.test", "https://a.b.test"],
        &["https://test", "http://a.test", "https://a.test:8443"],
    ),
    (
        "http://*.local:*",
        &["http://printer.local", "http://a.local:8080"],
        &["https://a.local", "http://local"],
    ),
    (".internal", &["https://internal", "https://a.internal"], &["https://a.internal.example"]),
    ("pr-*.home.arpa", &["https://pr-1.home.arpa"], &["https://a.home.arpa", "https://pr-1.arpa"]),
    ("*.invalid", &["https://a.invalid"], &["https://invalid"]),
    ("*.EXAMPLE", &["https://a.example"], &["https://example"]),
    ("https://localhost", &["https://localhost", "https://localhost:8443"], &["http://localhost"]),
    ("http://localhost", &["http://localhost", "http://localhost:3000"], &["https://localhost"]),
    (
        "localhost:3000",
        &["http://localhost:3000", "https://localhost:3000"],
        &["http://localhost", "http://localhost:3001"],
    ),
    (
        "localhost:443",
        &["https://localhost", "http://localhost:443"],
        &["http://localhost", "https://localhost:8443"],
    ),
    ("http://localhost:80", &["http://localhost"], &["http://localhost:8080", "https://localhost"]),
    ("localhost:*", &["http://localhost", "https://localhost:1"], &["http://a.localhost"]),
    (
        "capacitor://localhost",
        &["capacitor://localhost"],
        &["capacitor://localhost:80", "capacitor://a.localhost", "http://localhost", "ionic://localhost"],
    ),
    (
        "capacitor://localhost:123",
        &["capacitor://localhost:123"],
        &["capacitor://localhost", "capacitor://localhost:1"],
    ),
    (
        "münchen.example",
        &["https://xn--mnchen-3ya.example"],
        &["https://munchen.example", "https://mnchen.example"],
    ),
    ("my_site.example.com", &["https://my_site.example.com"], &["https://mysite.example.com"]),
];

#[test]
fn the_table_of_entries() {
    for (text, admitted, refused) in TABLE {
        let entry = entry(text);
        for text in *admitted {
            assert!(entry.admits(origin(text)), "{entry} should admit {text}");
        }
        for text in *refused {
            assert!(!entry.admits(origin(text)), "{entry} should not admit {text}");
        }
    }
}

#[test]
fn canonical_forms() {
    for (text, canonical) in [
        ("Example.COM", "example.com"),
        ("HTTPS://Example.com", "https://example.com"),
        ("example.com:443", "example.com"),
        ("https://example.com:443", "https://example.com"),
        ("http://example.com:80", "http://example.com"),
        ("http://example.com:443", "http://example.com:443"),
        ("localhost:443", "localhost:443"),
        ("http://localhost:80", "http://localhost:80"),
        ("localhost:*", "localhost:*"),
        ("*.Example.com:*", "*.example.com:*"),
        (".EXAMPLE.com", ".example.com"),
        ("PR-*.Preview.example.com", "pr-*.preview.example.com"),
        ("münchen.example", "xn--mnchen-3ya.example"),
        ("MÜNCHEN.example", "xn--mnchen-3ya.example"),
        ("XN--MNCHEN-3YA.example", "xn--mnchen-3ya.example"),
        ("*.münchen.example", "*.xn--mnchen-3ya.example"),
        ("pr-*.münchen.example", "pr-*.xn--mnchen-3ya.example"),
        ("faß.example", "xn--fa-hia.example"),
        ("例え。テスト", "xn--r8jz45g.xn--zckzah"),
        ("ｅｘａｍｐｌｅ.com", "example.com"),
        ("１２７.0.0.1:3000", "127.0.0.1:3000"),
        ("[0:0:0:0:0:0:0:1]", "[::1]"),
        ("[2001:DB8::1]", "[2001:db8::1]"),
        ("[::ffff:127.0.0.1]", "[::ffff:7f00:1]"),
        ("Capacitor://localhost", "capacitor://localhost"),
        ("com", "com"),
        ("vercel.app", "vercel.app"),
        ("intranet:8443", "intranet:8443"),
        ("data:8443", "data:8443"),
    ] {
        let parsed = entry(text);
        assert_eq!(parsed.to_string(), canonical, "{text}");
        assert_eq!(entry(canonical), parsed, "{text}");
    }
}

#[test]
fn how_people_read_it() {
    for (text, unicode) in [
        ("xn--mnchen-3ya.example", Some("münchen.example")),
        ("https://*.münchen.example:8443", Some("https://*.münchen.example:8443")),
        (".faß.example", Some(".faß.example")),
        ("pr-*.münchen.example", Some("pr-*.münchen.example")),
        ("example.com", None),
        ("127.0.0.1", None),
        ("[::1]", None),
    ] {
        assert_eq!(entry(text).unicode().as_deref(), unicode, "{text}");
    }
}

#[test]
fn kinds_and_properties() {
    for (text, kind, loopback, claimable) in [
        ("example.com", EntryKind::Exact, false, false),
        ("192.0.2.1", EntryKind::Exact, false, false),
        ("capacitor://localhost", EntryKind::Exact, false, false),
        ("*.example.com", EntryKind::Wildcard, false, false),
        (".example.com", EntryKind::Wildcard, false, false),
        ("pr-*.example.com", EntryKind::Glob, false, false),
        ("my-app-*.vercel.app", EntryKind::Glob, false, true),
        ("x-*.my-app.vercel.app", EntryKind::Glob, false, false),
        ("https://localhost:1", EntryKind::Exact, true, false),
        ("127.255.0.9", EntryKind::Exact, true, false),
        ("[::1]", EntryKind::Exact, true, false),
        ("*.localhost", EntryKind::Wildcard, true, false),
        (".a.localhost", EntryKind::Wildcard, true, false),
        ("pr-*.localhost", EntryKind::Glob, true, false),
    ] {
        let entry = entry(text);
        assert_eq!(
            (entry.kind(), entry.is_loopback(), entry.is_claimable()),
            (kind, loopback, claimable),
            "{text}"
        );
    }
}

#[test]
fn the_same_by_another_spelling() {
    let same = |a: &str, b: &str| entry(a).semantic() == entry(b).semantic();
    assert!(same("https://example.com:443", "example.com"));
    assert!(same("http://example.com:80", "HTTP://example.com"));
    assert!(same("https://*.example.com", "*.Example.com:443"));
    assert!(same("localhost", "localhost:*"));
    assert!(same("https://localhost", "https://localhost:*"));
    assert!(same("MÜNCHEN.example", "xn--mnchen-3ya.example"));
    assert!(same("[::1]", "[0::1]"));
    assert!(!same("http://example.com", "example.com"));
    assert!(!same("example.com", "example.com:*"));
    assert!(!same("localhost", "https://localhost"));
    assert!(!same("localhost", "localhost:443"));
    assert!(!same("*.example.com", ".example.com"));
    assert!(!same("capacitor://localhost", "localhost"));
}

#[test]
fn the_entry_for_an_origin() {
    for (text, expected) in [
        ("https://example.com", Some("https://example.com")),
        ("http://example.com:8080", Some("http://example.com:8080")),
        ("http://localhost", Some("http://localhost:80")),
        ("https://a.localhost:8443", Some("https://a.localhost:8443")),
        ("capacitor://localhost", Some("capacitor://localhost")),
        ("https://[2001:db8::1]", Some("https://[2001:db8::1]")),
        ("wss://example.com", None),
    ] {
        assert_eq!(Entry::exactly(origin(text)).map(|entry| entry.to_string()).as_deref(), expected);
    }
}
