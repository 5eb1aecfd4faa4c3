//! What judging costs, part by part: reading an origin, reading an entry, finding the entry in a list, the verdict.

#![allow(missing_docs, clippy::unwrap_used, reason = "a program of its own")]

use std::collections::BTreeSet;
use std::hint::black_box;
use std::time::Duration;

use bench_support::rules::{in_memory, put, save};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use embedgate::rules::book::RuleBook;
use jiff::Timestamp;
use serde_json::json;

use embedgate_policy::decision::{EdgePolicy, Facts, TicketState, decide};
use embedgate_policy::entry::Entry;
use embedgate_policy::origin::{Embedder, Origin, OriginBuf, OriginSet};
use embedgate_policy::suffix::PublicSuffixes;
use embedgate_policy::verdict::Class;

/// Each form of an entry, and an origin that it admits.
const FORMS: [(&str, &str, &str); 9] = [
    ("exact", "example.com", "https://example.com"),
    ("http", "http://example.com", "http://example.com"),
    ("port", "example.com:8443", "https://example.com:8443"),
    ("any port", "example.com:*", "https://example.com:9000"),
    ("below", "*.example.com", "https://a.www.example.com"),
    ("at or below", ".example.com", "https://www.example.com"),
    ("glob", "pr-*.preview.example.com", "https://pr-12.preview.example.com"),
    ("loopback", "localhost", "http://localhost:3000"),
    ("custom scheme", "capacitor://localhost", "capacitor://localhost"),
];

const LIST_SIZES: [usize; 3] = [4, 100, 1000];

criterion_group! {
    name = judging;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(500))
        .sample_size(50);
    targets = parse_origin, parse_entry, find_entry, verdict
}
criterion_main!(judging);

fn parse_origin(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse an origin");
    for (name, text) in [
        ("short", "https://example.com"),
        ("port", "https://example.com:8443"),
        ("long", "https://a-rather-long-label.of-a-rather-long-name.shop.eu-central-1.example.co.uk"),
        ("IPv6", "https://[2001:db8::8:800:200c:417a]"),
        ("malformed", "https://Example.com/"),
    ] {
        group.bench_function(name, |bencher| bencher.iter(|| Origin::parse(black_box(text)).is_ok()));
    }
    group.finish();
}

fn parse_entry(criterion: &mut Criterion) {
    let suffixes = PublicSuffixes::shipped();
    let mut group = criterion.benchmark_group("parse an entry");
    let forms = FORMS.map(|(name, entry, _)| (name, entry));
    for (name, text) in forms.into_iter().chain([("international", "münchen.example"), ("refused", "*.com")])
    {
        group.bench_function(name, |bencher| bencher.iter(|| Entry::parse(black_box(text), suffixes)));
    }
    group.finish();
}

/// The list is asked through a verdict, of which it is nearly all.
fn find_entry(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("find the entry");
    let strangers = [
        ("none", "missing.example", "https://stranger.example"),
        ("near", "example.com", "http://example.com"),
    ];
    for (name, entry, origin) in FORMS.into_iter().chain(strangers) {
        for size in LIST_SIZES {
            let mut entries: Vec<String> = (1..size).map(other_entry).collect();
            entries.insert(size / 2, entry.to_owned());
            let book = book(&[json!({ "id": "listed", "allowed_domains": entries })]);
            let (facts, policy, now) =
                (facts(Class::Asset, &[origin]), EdgePolicy::default(), Timestamp::now());
            let widget = book.get("listed");
            let admitted = decide(&facts, widget, &policy, now).is_allowed();
            assert_eq!(admitted, origin != "https://stranger.example" && name != "near", "{name}");
            group.bench_function(BenchmarkId::new(name, size), |bencher| {
                bencher.iter(|| decide(black_box(&facts), widget, &policy, now));
            });
        }
    }
    group.finish();
}

fn other_entry(n: usize) -> String {
    match n % 3 {
        0 => format!("*.shop{n}.example.org"),
        1 => format!("site{n}.example.com"),
        _ => format!("https://pr-*.preview{n}.example.net"),
    }
}

/// Every class, and every outcome that it has for these; each is named by the reason that came out.
fn verdict(criterion: &mut Criterion) {
    let entries = ["example.com", "*.example.org", "pr-*.preview.example.com", "localhost"];
    let book = book(&[
        json!({ "id": "listed", "allowed_domains": entries }),
        json!({ "id": "monitored", "allowed_domains": entries, "access": "monitor" }),
        json!({ "id": "open", "access": "open" }),
        json!({ "id": "locked", "access": "enforce" }),
        json!({ "id": "disabled", "enabled": false, "public_trust_center": false }),
    ]);
    let policy = EdgePolicy {
        own_origins: OriginBuf::parse("https://chat.example.net").into_iter().collect(),
        system_origins: origins("https://dashboard.example.net"),
        open_allowed: true,
        stale_at: None,
    };
    let now = Timestamp::now();
    let mut group = criterion.benchmark_group("verdict");
    let mut named = BTreeSet::new();
    for class in Class::ALL {
        for widget in ["listed", "monitored", "open", "locked", "disabled", "unknown"] {
            for lines in [
                &["https://example.com"][..],
                &["https://www.example.org"],
                &["https://pr-12.preview.example.com"],
                &["https://stranger.example"],
                &["http://example.com"],
                &["https://example.com:8443"],
                &["https://chat.example.net"],
                &["https://dashboard.example.net"],
                &["https://Example.com"],
                &["null"],
                &[],
            ] {
                let (facts, widget) = (facts(class, lines), book.get(widget));
                let decision = decide(&facts, widget, &policy, now);
                let would = decision.would_deny.map_or("", |reason| reason.as_str());
                let name = format!("{} {} {would}", decision.verdict.as_str(), decision.reason.as_str());
                if named.insert((class, name.clone())) {
                    group.bench_function(BenchmarkId::new(class.as_str(), name.trim_end()), |bencher| {
                        bencher.iter(|| decide(black_box(&facts), widget, &policy, now));
                    });
                }
            }
        }
    }
    group.finish();
}

fn facts<'o>(class: Class, lines: &[&'o str]) -> Facts<'o> {
    let lines = lines.iter().map(|line| line.as_bytes());
    let embedder = Embedder::identify(lines, std::iter::empty());
    Facts { widget: "listed", class, embedder, missing_denied: false, ticket: TicketState::Absent }
}

fn origins(text: &str) -> OriginSet {
    OriginSet::new([OriginBuf::parse(text).unwrap()])
}

fn book(documents: &[serde_json::Value]) -> std::sync::Arc<RuleBook> {
    let publisher = in_memory();
    save(&publisher, documents.iter().map(|document| put(&document.to_string())).collect());
    publisher.live().load_full()
}
