//! Samples for property tests: entries and origins from the same few names, schemes and ports, so that nearly
//! every origin is close to some entry.

#![allow(clippy::unwrap_used)]

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::sample::select;

use crate::entry::Entry;
use crate::entry::listed::ListedEntry;
use crate::origin::{Origin, OriginBuf};
use crate::suffix::PublicSuffixes;

/// The time of the tests.
pub(crate) fn now() -> Timestamp {
    "2026-11-05T12:00:00Z".parse().unwrap()
}

pub(crate) fn entry(text: &str) -> Entry {
    Entry::parse(text, PublicSuffixes::shipped()).unwrap()
}

pub(crate) fn rule(text: &str) -> ListedEntry {
    ListedEntry { entry: entry(text), expires_at: None, note: None }
}

/// An entry that expires so many seconds from [`now`].
pub(crate) fn expiring(text: &str, seconds: i64) -> ListedEntry {
    ListedEntry { expires_at: Some(now() + SignedDuration::from_secs(seconds)), ..rule(text) }
}

fn label() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => select(vec!["a", "b", "www", "pr-1", "pr-12", "pr-", "x_y", "xn--mnchen-3ya"]).prop_map(str::to_owned),
        1 => (0_u16..400).prop_map(|number| format!("pr-{number}")),
        1 => (0_u16..400).prop_map(|number| format!("h{number}")),
    ]
}

fn apex() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => select(vec!["example.com", "evilexample.com", "example.org", "preview.example.com", "vercel.app"])
            .prop_map(str::to_owned),
        1 => Just("localhost".to_owned()),
        1 => (0_u16..400).prop_map(|number| format!("site{number}.example")),
    ]
}

/// A name with up to three labels before one of the apexes.
fn name() -> impl Strategy<Value = String> {
    (prop::collection::vec(label(), 0..3), apex()).prop_map(|(mut labels, apex)| {
        labels.push(apex);
        labels.join(".")
    })
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        12 => name(),
        1 => select(vec!["127.0.0.1", "192.0.2.7", "[::1]", "[2001:db8::1]", "[::ffff:c000:207]"])
            .prop_map(str::to_owned),
    ]
}

fn port() -> impl Strategy<Value = Option<u16>> {
    prop_oneof![4 => Just(None), 2 => Just(Some(8443)), 1 => select(vec![80, 443, 3000]).prop_map(Some)]
}

/// A canonical origin.
pub(crate) fn origin() -> impl Strategy<Value = OriginBuf> {
    let scheme = select(vec!["https", "https", "https", "http", "capacitor", "chrome-extension"]);
    (scheme, host(), port()).prop_map(|(scheme, host, port)| {
        let port = port.filter(|port| !matches!((scheme, port), ("https", 443) | ("http", 80)));
        let port = port.map_or(String::new(), |port| format!(":{port}"));
        OriginBuf::from(Origin::parse(&format!("{scheme}://{host}{port}")).unwrap())
    })
}

/// An entry of any form. Where the parts don't go together, of the pattern alone; never drawn again, for a run of many
/// cases would be given up after so many.
fn any_entry() -> impl Strategy<Value = Entry> {
    let pattern = prop_oneof![
        6 => host(),
        2 => name().prop_map(|name| format!("*.{name}")),
        2 => name().prop_map(|name| format!(".{name}")),
        2 => (select(vec!["pr-*", "*-1", "h*", "p*1"]), name()).prop_map(|(glob, name)| format!("{glob}.{name}")),
    ];
    let scheme = select(vec!["", "", "", "https://", "http://", "capacitor://"]);
    let port = select(vec!["", "", "", ":8443", ":*", ":3000", ":443"]);
    (scheme, pattern, port).prop_map(|(scheme, pattern, port)| {
        let parse = |text: &str| Entry::parse(text, PublicSuffixes::shipped());
        let whole = parse(&format!("{scheme}{pattern}{port}"));
        whole.or_else(|_| parse(&pattern)).or_else(|_| parse("example.com")).unwrap()
    })
}

/// An entry, some of them expired, some about to.
fn any_rule() -> impl Strategy<Value = ListedEntry> {
    let seconds = prop_oneof![6 => Just(None), 1 => Just(Some(-1)), 1 => Just(Some(0)), 1 => Just(Some(1))];
    (any_entry(), seconds).prop_map(|(entry, seconds)| ListedEntry {
        entry,
        expires_at: seconds.map(|seconds| now() + SignedDuration::from_secs(seconds)),
        note: None,
    })
}

pub(crate) fn rules(size: impl Into<prop::collection::SizeRange>) -> impl Strategy<Value = Vec<ListedEntry>> {
    prop::collection::vec(any_rule(), size)
}
