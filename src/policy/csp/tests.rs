#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::policy::origin::OriginBuf;
use crate::policy::suffix::PublicSuffixes;

fn sources(entries: &[&str]) -> ListSources {
    let entries: Vec<Entry> =
        entries.iter().map(|text| Entry::parse(text, PublicSuffixes::shipped()).expect(text)).collect();
    ListSources::compile(&entries)
}

fn set(origins: &[&str]) -> OriginSet {
    origins.iter().map(|text| OriginBuf::parse(text).expect(text)).collect()
}

fn listed(entries: &[&str], embedder: Option<&str>, system: &[&str]) -> String {
    let embedder = embedder.map(|text| Origin::parse(text).expect(text));
    frame_ancestors(Ancestors::Listed(&sources(entries)), embedder, &set(system)).expect("a policy")
}

#[test]
fn each_form_of_entry() {
    for (entry, expected) in [
        ("example.com", "https://example.com"),
        ("https://example.com", "https://example.com"),
        ("http://example.com", "http://example.com"),
        ("example.com:8443", "https://example.com:8443"),
        ("example.com:*", "https://example.com:*"),
        ("*.example.com", "https://*.example.com"),
        ("*.example.com:8443", "https://*.example.com:8443"),
        (".example.com", "https://example.com https://*.example.com"),
        ("http://.example.com:*", "http://example.com:* http://*.example.com:*"),
        ("münchen.example", "https://xn--mnchen-3ya.example"),
        ("192.0.2.1", "https://192.0.2.1"),
        ("localhost", "http://localhost:* https://localhost:*"),
        ("localhost:3000", "http://localhost:3000 https://localhost:3000"),
        ("https://localhost", "https://localhost:*"),
        ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
        ("*.localhost", "http://*.localhost:* https://*.localhost:*"),
        (".localhost", "http://localhost:* https://localhost:* http://*.localhost:* https://*.localhost:*"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("ionic://localhost:123", "ionic://localhost:123"),
    ] {
        assert_eq!(listed(&[entry], None, &[]), format!("frame-ancestors 'self' {expected}"), "{entry}");
    }
    for entry in
        ["pr-*.example.com", "my_site.example.com", "*.my_site.example.com", "[::1]", "[2001:db8::1]"]
    {
        assert_eq!(listed(&[entry], None, &[]), "frame-ancestors 'self'", "{entry}");
    }
}

#[test]
fn the_embedder_stands_for_what_cannot_be_expressed() {
    let list = ["example.com", "pr-*.preview.example.com", "my_site.example.com", "[2001:db8::1]"];
    for (embedder, extra) in [
        ("https://pr-7.preview.example.com", " https://pr-7.preview.example.com"),
        ("https://my_site.example.com", " https://*.example.com"),
        ("https://x.my_site.example.com:8443", ""),
        ("https://example.com", ""),
        ("https://[2001:db8::1]", ""),
        // An own origin is allowed without being listed; it needs no source of its own.
        ("https://edge.example", ""),
    ] {
        assert_eq!(
            listed(&list, Some(embedder), &[]),
            format!("frame-ancestors 'self'{extra} https://example.com"),
            "{embedder}"
        );
    }
}

#[test]
fn system_origins_always_belong() {
    let system = ["https://dashboard.vendor.example", "http://localhost:5173", "https://[::1]:8443"];
    assert_eq!(
        listed(&["example.com"], Some("https://dashboard.vendor.example"), &system),
        "frame-ancestors 'self' https://dashboard.vendor.example http://localhost:5173 https://example.com"
    );
}

#[test]
fn access_without_a_list() {
    let system = set(&["https://dashboard.vendor.example"]);
    let preview = Origin::parse("https://dashboard.vendor.example").ok();
    for embedder in [None, preview] {
        assert_eq!(frame_ancestors(Ancestors::Unrestricted, embedder, &system), None);
    }
    assert_eq!(frame_ancestors(Ancestors::Locked, None, &system).as_deref(), Some("frame-ancestors 'none'"));
    assert_eq!(
        frame_ancestors(Ancestors::Locked, preview, &system).as_deref(),
        Some("frame-ancestors 'self' https://dashboard.vendor.example")
    );
    // Every entry has expired: no site is left, but the list is not an empty one.
    assert_eq!(listed(&[], None, &[]), "frame-ancestors 'self'");
}

#[test]
fn over_four_kibibytes_only_the_embedder_is_sent() {
    // `frame-ancestors 'self'` has 22 bytes, each source after it 41 with its space.
    let names: Vec<String> = (0..98).map(|n| format!("{n:03}.{}.example", "a".repeat(20))).collect();
    let mut list: Vec<&str> = names.iter().map(String::as_str).collect();
    let fits = listed(&list, None, &[]);
    let left = MAX_POLICY_BYTES - fits.len();
    let last = format!("{}.example", "b".repeat(left - " https://.example".len()));
    list.push(&last);
    let full = listed(&list, None, &[]);
    assert_eq!(full.len(), MAX_POLICY_BYTES);
    assert!(full.ends_with(&format!(" https://{last}")));

    let longer = format!("b{last}");
    list.pop();
    list.push(&longer);
    assert_eq!(listed(&list, None, &[]), "frame-ancestors 'none'");
    let first = format!("https://{}", names[0]);
    assert_eq!(listed(&list, Some(&first), &[]), format!("frame-ancestors 'self' {first}"));
    let system = ["https://dashboard.vendor.example"];
    assert_eq!(
        listed(&list, Some(&first), &system),
        format!("frame-ancestors 'self' https://dashboard.vendor.example {first}")
    );
    assert_eq!(
        listed(&list, Some(system[0]), &system),
        "frame-ancestors 'self' https://dashboard.vendor.example"
    );
    // The embedder counts: what fits alone may not fit with it.
    let glob = format!("{}-*.example.com", "g".repeat(10));
    list.pop();
    list.push(&last);
    list.push(&glob);
    assert_eq!(listed(&list, None, &[]).len(), MAX_POLICY_BYTES);
    let preview = format!("https://{}-1.example.com", "g".repeat(10));
    assert_eq!(listed(&list, Some(&preview), &[]), format!("frame-ancestors 'self' {preview}"));
}

/// Reads a policy as CSP Level 3 does (§6.7.2.7 ff.: "Does url match expression"), for hosts and ports.
fn browser_admits(policy: &str, origin: Origin<'_>) -> bool {
    let mut tokens = policy.split(' ');
    assert_eq!(tokens.next(), Some("frame-ancestors"));
    tokens.any(|source| {
        let Some((scheme, rest)) = source.split_once("://") else { return false };
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (rest, None),
        };
        let own = origin.scheme().as_str();
        let scheme_matches = own == scheme || (scheme, own) == ("http", "https");
        // `host-char` is letters, digits and `-`; what is none is no source.
        let host_matches = !host.contains('_')
            && match host.strip_prefix('*') {
                Some(end) => origin.host_str().ends_with(end),
                None => origin.host_str() == host,
            };
        let default = match own {
            "https" => Some(443),
            "http" => Some(80),
            _ => None,
        };
        let port_matches = match port {
            Some("*") => true,
            None => origin.port() == default,
            Some(port) => {
                let port: u16 = port.parse().expect("a port");
                origin.port() == Some(port) || (port == 80 && origin.port() == Some(443) && own == "https")
            }
        };
        scheme_matches && host_matches && port_matches
    })
}

#[test]
fn browser_and_verdict_agree() {
    let entries = [
        "example.com",
        "http://plain.example",
        "*.below.example",
        ".both.example",
        "p-*.glob.example",
        "under_score.below.example",
        "port.example:8443",
        "any.example:*",
        "localhost",
        "https://a.localhost",
        "*.b.localhost:3000",
        "192.0.2.1",
        "capacitor://localhost",
        "127.0.0.1:3000",
    ];
    let hosts = [
        "example.com",
        "a.example.com",
        "plain.example",
        "below.example",
        "x.below.example",
        "x.y.below.example",
        "both.example",
        "x.both.example",
        "evilboth.example",
        "p-1.glob.example",
        "q.glob.example",
        "under_score.below.example",
        "port.example",
        "any.example",
        "localhost",
        "a.localhost",
        "x.b.localhost",
        "192.0.2.1",
        "127.0.0.1",
    ];
    for text in entries {
        let entry = Entry::parse(text, PublicSuffixes::shipped()).expect(text);
        let sources = ListSources::compile([&entry]);
        for host in hosts {
            for scheme in ["https", "http", "capacitor"] {
                for port in ["", ":3000", ":8443"] {
                    let origin = format!("{scheme}://{host}{port}");
                    let origin = Origin::parse(&origin).expect(&origin);
                    let embedder = entry.admits(origin).then_some(origin);
                    let policy =
                        frame_ancestors(Ancestors::Listed(&sources), embedder, &OriginSet::default());
                    let http_admits_https = text.starts_with("http://") && scheme == "https";
                    if !http_admits_https {
                        let policy = policy.expect("a policy");
                        assert_eq!(
                            browser_admits(&policy, origin),
                            entry.admits(origin),
                            "{text} {origin} {policy}"
                        );
                    }
                }
            }
        }
    }
}
