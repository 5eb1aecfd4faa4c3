#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::origin::OriginBuf;
use crate::suffix::PublicSuffixes;

fn sources(entries: &[&str]) -> ListSources {
    let entries: Vec<Entry> =
        entries.iter().map(|text| Entry::parse(text, PublicSuffixes::shipped()).expect(text)).collect();
    ListSources::compile(&entries)
}

fn set(origins: &[&str]) -> OriginSet {
    origins.iter().map(|text| OriginBuf::parse(text).expect(text)).collect()
}

fn listed(entries: &[&str], embedder: Option<&str>, system: &[&str]) -> String {
    let page = |text| Around::Page(Origin::parse(text).expect(text));
    policy(entries, embedder.map_or(Around::Unknown, page), system)
}

fn policy(entries: &[&str], around: Around<'_>, system: &[&str]) -> String {
    enforced(entries, around, system).ancestors
}

fn enforced(entries: &[&str], around: Around<'_>, system: &[&str]) -> FramePolicy {
    let policy = frame_ancestors(Ancestors::Listed(&sources(entries)), around, &set(system));
    policy.filter(|policy| policy.enforced).expect("a policy")
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
    let preview = Origin::parse("https://dashboard.vendor.example").expect("an origin");
    let locked = |around| {
        let policy = frame_ancestors(Ancestors::Locked, around, &system).expect("a policy");
        assert!(policy.enforced && policy.is_whole, "{policy:?}");
        policy.ancestors
    };
    for around in [Around::Unknown, Around::Page(preview), Around::Ticket(preview), Around::Itself] {
        assert_eq!(frame_ancestors(Ancestors::Unrestricted, around, &system), None);
        let expected = match around {
            Around::Unknown => "frame-ancestors 'none'",
            _ => "frame-ancestors 'self' https://dashboard.vendor.example",
        };
        assert_eq!(locked(around), expected, "{around:?}");
    }
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

#[test]
fn a_ticket_names_the_one_page_that_may() {
    let page = Around::Ticket(Origin::parse("https://pr-1.preview.example.com").expect("an origin"));
    let system = ["https://dashboard.vendor.example"];
    let long: Vec<String> = (0..120).map(|n| format!("site-{n:03}.customers.example")).collect();
    let long: Vec<&str> = long.iter().map(String::as_str).collect();
    for list in [&["example.com", "pr-*.preview.example.com"][..], &long] {
        assert_eq!(
            policy(list, page, &system),
            "frame-ancestors 'self' https://dashboard.vendor.example https://pr-1.preview.example.com"
        );
    }
}

#[test]
fn a_frame_that_names_itself_gets_as_many_entries_as_fit() {
    // 22 bytes before, then 41 for each of the first entries.
    let names: Vec<String> = (0..110).map(|n| format!("{n:03}.{}.example", "a".repeat(20))).collect();
    let list: Vec<&str> = names.iter().map(String::as_str).collect();
    for count in [0, 1, 99] {
        let list = list.get(..count).expect("so many");
        assert_eq!(policy(list, Around::Itself, &[]), listed(list, None, &[]), "{count} fit");
    }
    let cut = policy(&list, Around::Itself, &[]);
    assert_eq!(cut, listed(list.get(..99).expect("so many"), None, &[]));
    assert!(cut.len() <= MAX_POLICY_BYTES && cut.len() + 41 > MAX_POLICY_BYTES, "{}", cut.len());
    // An entry of two sources goes in with both or not at all; one that can't be said takes no room.
    let apex = format!(".{}.example", "b".repeat(12));
    let mut both: Vec<&str> = list.get(..98).expect("so many").to_vec();
    both.extend(["pr-*.example.com", &apex, "last.example"]);
    let cut = policy(&both, Around::Itself, &[]);
    assert_eq!(cut, listed(both.get(..99).expect("so many"), None, &[]), "not half of {apex}");
    assert!(cut.len() + " https://".len() + apex.len() - 1 <= MAX_POLICY_BYTES, "half of it would fit");
}

fn page(text: &str) -> Around<'_> {
    Around::Page(Origin::parse(text).expect(text))
}

#[test]
fn a_policy_that_is_cut_is_not_whole() {
    let long: Vec<String> = (0..120).map(|n| format!("site-{n:03}.customers.example")).collect();
    let long: Vec<&str> = long.iter().map(String::as_str).collect();
    let short = ["example.com", "pr-*.preview.example.com", "my_site.example.com", "*.my_site.test", "[::1]"];
    let site = "https://example.com";
    for (list, around, is_whole) in [
        (&short[..], Around::Unknown, true),
        (&short, Around::Itself, true),
        (&short, page(site), true),
        (&short, page("https://pr-1.preview.example.com"), true),
        (&short, page("https://my_site.example.com"), true),
        // It is on the list, and no source says so.
        (&short, page("https://a.my_site.test"), false),
        (&short, page("https://[::1]"), false),
        // A ticket's page is the only one: pages around it may be on the list.
        (&short, Around::Ticket(Origin::parse(site).expect(site)), false),
        (&long, Around::Unknown, false),
        (&long, Around::Itself, false),
        (&long, page("https://site-007.customers.example"), false),
    ] {
        assert_eq!(enforced(list, around, &[]).is_whole, is_whole, "{around:?}");
    }
}

#[test]
fn a_monitored_list_is_said_whole_or_not_at_all() {
    let system = ["https://dashboard.vendor.example"];
    let monitored = |entries: &[&str], is_page_listed, around| {
        let sources = sources(entries);
        let ancestors = Ancestors::Monitored { sources: &sources, is_page_listed };
        let policy = frame_ancestors(ancestors, around, &set(&system))?;
        assert!(!policy.enforced && policy.is_whole && policy.ancestors.len() <= MAX_POLICY_BYTES);
        let base = "frame-ancestors 'self' https://dashboard.vendor.example";
        Some(policy.ancestors.strip_prefix(base).expect(base).to_owned())
    };
    let list = ["example.com", "pr-*.preview.example.com", "[2001:db8::1]"];
    let (site, stranger) = ("https://example.com", "https://stranger.example");
    for (is_listed, around, expected) in [
        (true, Around::Unknown, Some(" https://example.com")),
        (true, Around::Itself, Some(" https://example.com")),
        (true, page(site), Some(" https://example.com")),
        (true, Around::Ticket(Origin::parse(site).expect(site)), Some(" https://example.com")),
        (
            true,
            page("https://pr-1.preview.example.com"),
            Some(" https://pr-1.preview.example.com https://example.com"),
        ),
        // The verdict tells of the page itself, so browsers need not.
        (false, page(stranger), Some(" https://stranger.example https://example.com")),
        (true, page(system[0]), Some(" https://example.com")),
        (true, page("https://[2001:db8::1]"), None),
        (false, page("http://under_score.test"), None),
    ] {
        assert_eq!(monitored(&list, is_listed, around).as_deref(), expected, "{around:?}");
    }
    assert_eq!(monitored(&[], false, page(stranger)).as_deref(), Some(" https://stranger.example"));
    assert_eq!(monitored(&[], true, Around::Unknown).as_deref(), Some(""));
    let long: Vec<String> = (0..110).map(|n| format!("site-{n:03}.of-customers.example")).collect();
    let long: Vec<&str> = long.iter().map(String::as_str).collect();
    for around in [Around::Unknown, Around::Itself, page("https://site-007.of-customers.example")] {
        assert!(monitored(&long[..100], true, around).is_some(), "{around:?}");
        assert_eq!(monitored(&long, true, around), None, "{around:?}");
    }
}

#[test]
fn a_monitored_list_that_is_too_long_is_not_read_to_its_end() {
    let entry = |n: usize| {
        Entry::parse(&format!("site-{n:03}.of-customers.example"), PublicSuffixes::shipped())
            .expect("an entry")
    };
    let mut read = 0;
    let many = (0..1_000).map(|n| {
        read += 1;
        entry(n)
    });
    assert_eq!(ListSources::compile_whole(many), None);
    assert!(read < 150, "{read}");
    let few: Vec<_> = (0..100).map(entry).collect();
    assert_eq!(ListSources::compile_whole(few.clone()), Some(ListSources::compile(&few)));
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
                    let around = embedder.map_or(Around::Unknown, Around::Page);
                    let policy = frame_ancestors(Ancestors::Listed(&sources), around, &OriginSet::default());
                    let http_admits_https = text.starts_with("http://") && scheme == "https";
                    if !http_admits_https {
                        let policy = policy.expect("a policy").ancestors;
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
