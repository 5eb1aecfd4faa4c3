#![allow(clippy::unwrap_used, clippy::panic)]

use jiff::SignedDuration;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::samples::{expiring, now, origin, rule, rules};
use super::*;
use crate::entry::Entry;
use crate::origin::OriginBuf;

fn judge(rules: &[ListedEntry], origin: &str) -> Judgement {
    AllowlistBuf::compile(rules).as_allowlist().judge(Origin::parse(origin).unwrap(), now())
}

fn admitted(kind: EntryKind, entry: u32) -> Judgement {
    Judgement::Admitted { kind, entry }
}

#[test]
fn an_entry_for_one_origin_names_it() {
    let listed = [
        ("example.com", "https://example.com", true),
        ("http://plain.example", "http://plain.example", true),
        ("ports.example:8443", "https://ports.example:8443", true),
        ("localhost:3000", "http://localhost:3000", true),
        ("capacitor://localhost", "capacitor://localhost", true),
        ("*.example.org", "https://a.example.org", false),
        (".example.net", "https://example.net", false),
        ("pr-*.preview.example.com", "https://pr-12.preview.example.com", false),
        ("ports.example.net:*", "https://ports.example.net", false),
        ("localhost", "http://localhost:4000", false),
    ];
    let rules: Vec<ListedEntry> = listed.iter().map(|(entry, ..)| rule(entry)).collect();
    let compiled = AllowlistBuf::compile(&rules);
    for (index, (entry, page, names)) in (0..).zip(listed) {
        let page = Origin::parse(page).unwrap();
        assert!(matches!(compiled.as_allowlist().judge(page, now()), Judgement::Admitted { .. }), "{entry}");
        assert_eq!(compiled.as_allowlist().names(page, index), names, "{entry}");
        let other = Origin::parse("https://other.example").unwrap();
        assert!(!compiled.as_allowlist().names(other, index), "{entry}");
    }
}

#[test]
fn each_form_admits_what_it_says() {
    let list: Vec<ListedEntry> = [
        "example.com",
        "http://plain.example",
        "*.example.org",
        ".example.net",
        "pr-*.preview.example.com",
        "ports.example:8443",
        "ports.example.net:*",
        "localhost",
        "[::1]",
        "capacitor://localhost",
    ]
    .into_iter()
    .map(rule)
    .collect();
    let cases = [
        ("https://example.com", 0),
        ("http://plain.example", 1),
        ("https://a.b.example.org", 2),
        ("https://example.net", 3),
        ("https://www.example.net", 3),
        ("https://pr-12.preview.example.com", 4),
        ("https://ports.example:8443", 5),
        ("https://ports.example.net:1", 6),
        ("http://localhost:3000", 7),
        ("https://localhost", 7),
        ("http://[::1]:8080", 8),
        ("capacitor://localhost", 9),
    ];
    for (origin, expected) in cases {
        let Judgement::Admitted { entry, .. } = judge(&list, origin) else {
            panic!("{origin} is refused: {:?}", judge(&list, origin));
        };
        assert_eq!(entry, expected, "{origin}");
    }
    let strangers = [
        "https://evilexample.com",
        "https://example.org",
        "https://a.pr-1.preview.example.com",
        "https://pr-.preview.example.com",
        "https://example.com.evil.example",
        "https://[::2]",
    ];
    for origin in strangers {
        assert_eq!(judge(&list, origin), refused(Reason::NotListed, None), "{origin}");
    }
}

#[test]
fn exact_comes_before_wildcard_before_glob_then_the_order_of_the_document() {
    let list =
        [rule("pr-*.example.com"), rule(".example.com"), rule("*.example.com"), rule("pr-1.example.com")];
    assert_eq!(judge(&list, "https://pr-1.example.com"), admitted(EntryKind::Exact, 3));
    assert_eq!(judge(&list[..3], "https://pr-1.example.com"), admitted(EntryKind::Wildcard, 1));
    assert_eq!(judge(&list[..1], "https://pr-1.example.com"), admitted(EntryKind::Glob, 0));
    // The live wildcard admits, though an exact entry has expired.
    let list = [expiring("a.example.com", 0), rule("*.example.com")];
    assert_eq!(judge(&list, "https://a.example.com"), admitted(EntryKind::Wildcard, 1));
}

#[test]
fn the_nearest_miss_is_named() {
    let port = rule("example.com:8443");
    let secure = rule("https://example.com:9000");
    let expired = expiring("http://example.com", -1);
    let list = [port, secure, expired];
    assert_eq!(judge(&list, "http://example.com"), refused(Reason::ExpiredEntry, Some(2)));
    assert_eq!(judge(&list[..2], "http://example.com"), refused(Reason::InsecureScheme, Some(0)));
    assert_eq!(judge(&list[..2], "https://example.com"), refused(Reason::PortMismatch, Some(0)));
    assert_eq!(judge(&list[..1], "https://example.org"), refused(Reason::NotListed, None));
    // Listed for plain http only: the https page misses by no more than a stranger would.
    assert_eq!(judge(&[rule("http://example.com")], "https://example.com"), refused(Reason::NotListed, None));
    // An expired entry that would not admit it anyway is no near miss.
    assert_eq!(judge(&[expiring("example.com", -1)], "http://example.com"), refused(Reason::NotListed, None));
    assert_eq!(
        judge(&[expiring("example.com:1", -1)], "https://example.com"),
        refused(Reason::NotListed, None)
    );
}

#[test]
fn custom_schemes_are_exact() {
    let list = [rule("capacitor://localhost"), rule("localhost")];
    assert_eq!(judge(&list, "capacitor://localhost"), admitted(EntryKind::Exact, 0));
    assert_eq!(judge(&list, "capacitor://localhost:1"), refused(Reason::PortMismatch, Some(0)));
    assert_eq!(judge(&list, "ionic://localhost"), refused(Reason::UnsupportedScheme, None));
}

#[test]
fn an_entry_is_expired_from_its_instant_on() {
    let list = [expiring("example.com", 1)];
    let compiled = AllowlistBuf::compile(&list);
    let compiled = compiled.as_allowlist();
    let origin = Origin::parse("https://example.com").unwrap();
    let at = list[0].expires_at.unwrap();
    let instant = SignedDuration::from_nanos(1);
    assert_eq!(compiled.judge(origin, at - instant), admitted(EntryKind::Exact, 0));
    assert_eq!(compiled.judge(origin, at), refused(Reason::ExpiredEntry, Some(0)));
    assert_eq!(compiled.next_expiry(now()), Some(at));
    assert_eq!(compiled.next_expiry(at - instant), Some(at));
    assert_eq!(compiled.next_expiry(at), None);
}

#[test]
fn an_empty_list_takes_no_memory_and_admits_nobody() {
    let empty = AllowlistBuf::compile(&[]);
    let empty = empty.as_allowlist();
    assert_eq!((empty.len(), empty.is_empty(), empty.packed_bytes().len()), (0, true, 0));
    assert_eq!(judge(&[], "https://example.com"), refused(Reason::NotListed, None));
    assert_eq!(empty.next_expiry(now()), None);
}

#[test]
fn four_entries_take_little_more_than_their_text() {
    let texts = ["example.com", "*.example.com", "www.example.org", "staging.example.org:8443"];
    let rules = texts.map(rule);
    let text: usize = texts.iter().map(|text| text.len()).sum();
    let size = AllowlistBuf::compile(&rules).bytes.len();
    assert!(size <= text + 4, "{size} bytes for {text} of text");
}

#[test]
fn a_long_chain_of_labels_is_judged_quickly() {
    let list: Vec<ListedEntry> = (0..1000).map(|number| rule(&format!("*.site{number}.example"))).collect();
    let compiled = AllowlistBuf::compile(&list);
    let compiled = compiled.as_allowlist();
    let text = format!("https://{}site7.example", "a.".repeat(119));
    let origin = Origin::parse(&text).unwrap();
    assert_eq!(compiled.judge(origin, now()), admitted(EntryKind::Wildcard, 7));
}

#[test]
fn torn_bytes_admit_no_more() {
    let last = || expiring("pr-*.example.org:1", 9);
    let short = vec![rule("example.com"), last()];
    let long = (0..100).map(|number| rule(&format!("a{number}.example"))).chain([last()]).collect();
    let origin = Origin::parse("https://pr-1.example.org:1").unwrap();
    for rules in [short, long] {
        let whole = AllowlistBuf::compile(&rules);
        let whole = whole.as_allowlist().packed_bytes();
        for length in 0..whole.len() {
            let torn = Allowlist::from_packed(&whole[..length]);
            assert!(!matches!(torn.judge(origin, now()), Judgement::Admitted { .. }), "{length} bytes");
        }
    }
}

/// The list as the document says it, entry by entry.
fn naive(rules: &[ListedEntry], origin: Origin<'_>) -> Judgement {
    let pick = |fits: &dyn Fn(&ListedEntry) -> bool| {
        let order = |entry: &Entry| match entry.kind() {
            EntryKind::Exact => 0,
            EntryKind::Wildcard => 1,
            EntryKind::Glob => 2,
        };
        let fitting = (0_u32..).zip(rules).filter(|(_, rule)| fits(rule));
        fitting
            .min_by_key(|(index, rule)| (order(&rule.entry), *index))
            .map(|(index, rule)| (index, rule.entry.kind()))
    };
    let live = |rule: &ListedEntry| rule.expires_at.is_none_or(|at| now() < at);
    let plain = origin.scheme() == Scheme::Http;
    let wants_https = |entry: &Entry| {
        let text = entry.to_string();
        text.starts_with("https://") || (!text.contains("://") && !entry.is_loopback())
    };
    if let Some((entry, kind)) = pick(&|rule| live(rule) && rule.entry.admits(origin)) {
        return admitted(kind, entry);
    }
    if let Some((entry, _)) = pick(&|rule| rule.entry.admits(origin)) {
        return refused(Reason::ExpiredEntry, Some(entry));
    }
    let insecure = |rule: &ListedEntry| {
        live(rule) && rule.entry.admits_host(origin) && plain && wants_https(&rule.entry)
    };
    if let Some((entry, _)) = pick(&insecure) {
        return refused(Reason::InsecureScheme, Some(entry));
    }
    let port =
        |rule: &ListedEntry| live(rule) && rule.entry.admits_host(origin) && rule.entry.admits_scheme(origin);
    if let Some((entry, _)) = pick(&port) {
        return refused(Reason::PortMismatch, Some(entry));
    }
    match origin.scheme() {
        Scheme::Http | Scheme::Https => refused(Reason::NotListed, None),
        Scheme::Other(_) => refused(Reason::UnsupportedScheme, None),
    }
}

fn agrees(rules: &[ListedEntry], origins: &[OriginBuf]) -> Result<(), TestCaseError> {
    let compiled = AllowlistBuf::compile(rules);
    let compiled = compiled.as_allowlist();
    prop_assert_eq!(compiled.len(), rules.len());
    for origin in origins {
        let origin = origin.as_origin();
        prop_assert_eq!(compiled.judge(origin, now()), naive(rules, origin), "{}", origin);
    }
    Ok(())
}

fn prints_back(rules: &[ListedEntry]) -> Result<(), TestCaseError> {
    let compiled = AllowlistBuf::compile(rules);
    let compiled = compiled.as_allowlist();
    for (index, rule) in (0..).zip(rules) {
        let printed = compiled.entry(index).map(|entry| entry.to_string());
        prop_assert_eq!(printed, Some(rule.entry.to_string()));
    }
    prop_assert!(compiled.entry(u32::try_from(rules.len()).unwrap()).is_none());
    let live = rules.iter().filter(|rule| !rule.is_expired(now()));
    let unordered = |mut texts: Vec<String>| {
        texts.sort();
        texts
    };
    prop_assert_eq!(
        unordered(compiled.entries(now()).map(|entry| entry.to_string()).collect()),
        unordered(live.map(|rule| rule.entry.to_string()).collect())
    );
    let next = rules.iter().filter_map(|rule| rule.expires_at).filter(|at| *at > now()).min();
    prop_assert_eq!(compiled.next_expiry(now()), next);
    let until = now() + SignedDuration::from_secs(60);
    let expiring = rules.iter().filter_map(|rule| Some((rule.entry.to_string(), rule.expires_at?)));
    let expiring = expiring.filter(|(_, at)| (now()..=until).contains(at) && *at != now());
    let told = compiled.expiring(now(), until).map(|(entry, at)| format!("{entry} {at}"));
    prop_assert_eq!(
        unordered(told.collect()),
        unordered(expiring.map(|(entry, at)| format!("{entry} {at}")).collect())
    );
    Ok(())
}

proptest! {
    #![proptest_config(Config { cases: 300, failure_persistence: None, ..Config::default() })]

    #[test]
    fn compiled_agrees_with_the_naive_reading(rules in rules(0..12), origins in prop::collection::vec(origin(), 20)) {
        agrees(&rules, &origins)?;
        prints_back(&rules)?;
    }
}

proptest! {
    #[test]
    fn foreign_bytes_never_panic(
        start in prop_oneof![Just(vec![]), Just(vec![3]), Just(vec![255, 9, 2]), Just(vec![255, 9, 4])],
        rest: Vec<u8>,
        origin in origin(),
    ) {
        let bytes: Vec<u8> = start.into_iter().chain(rest).collect();
        let list = Allowlist::from_packed(&bytes);
        let _ = (list.judge(origin.as_origin(), now()), list.next_expiry(now()), list.len());
        let _ = list.entry(2).map(|entry| entry.to_string());
        let _ = list.entries(now()).count();
    }
}

/// Judges lists of this size, in one of `part` cases of an ordinary property: those are larger.
fn long_lists_agree(size: usize, origins: usize, part: u32) {
    let config = Config::default();
    let cases = (config.cases / part).max(1);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..config });
    let lists = (rules(size), prop::collection::vec(origin(), origins));
    let outcome = runner.run(&lists, |(rules, origins)| {
        agrees(&rules, &origins)?;
        // Reads through the list for each of its entries.
        if size < 1000 { prints_back(&rules) } else { Ok(()) }
    });
    outcome.unwrap();
}

/// A length's own cases, each of another one near where lists begin to be sorted.
#[test]
fn around_where_lists_begin_to_be_sorted() {
    (20..30).for_each(|size| long_lists_agree(size, 100, 120));
}

#[test]
fn with_99_entries() {
    long_lists_agree(99, 100, 20);
}

#[test]
fn with_101_entries() {
    long_lists_agree(101, 100, 20);
}

#[test]
fn with_10_000_entries() {
    long_lists_agree(10_000, 60, 120);
}

#[test]
fn the_samples_reach_every_judgement() {
    use proptest::strategy::ValueTree;
    let mut runner = TestRunner::deterministic();
    let list = rules(60).new_tree(&mut runner).unwrap().current();
    let compiled = AllowlistBuf::compile(&list);
    let compiled = compiled.as_allowlist();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..3000 {
        let origin = origin().new_tree(&mut runner).unwrap().current();
        seen.insert(match compiled.judge(origin.as_origin(), now()) {
            Judgement::Admitted { kind, .. } => format!("{kind:?}"),
            Judgement::Refused { reason, .. } => reason.as_str().to_owned(),
        });
    }
    let all = [
        "Exact",
        "Wildcard",
        "Glob",
        "expired_entry",
        "insecure_scheme",
        "port_mismatch",
        "not_listed",
        "unsupported_scheme",
    ];
    for wanted in all {
        assert!(seen.contains(wanted), "no origin is judged {wanted}: {seen:?}");
    }
}
