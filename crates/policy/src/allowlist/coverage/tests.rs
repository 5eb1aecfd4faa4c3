#![allow(clippy::unwrap_used)]

use jiff::SignedDuration;
use proptest::prelude::*;
use proptest::test_runner::Config;

use crate::allowlist::samples::{self, expiring, now, rule};
use crate::allowlist::{AllowlistBuf, Judgement};
use crate::entry::HostPattern;
use crate::entry::listed::ListedEntry;
use crate::origin::OriginBuf;

fn covers(after: &[ListedEntry], before: &[ListedEntry]) -> bool {
    let (after, before) = (AllowlistBuf::compile(after), AllowlistBuf::compile(before));
    after.as_allowlist().covers(before.as_allowlist(), now())
}

fn list(entries: &[&str]) -> Vec<ListedEntry> {
    entries.iter().map(|text| rule(text)).collect()
}

#[test]
fn coverage_is_exact_where_it_can_be() {
    for (before, after, expected) in [
        (&["a.example"][..], &["a.example"][..], true),
        (&["a.example"], &["https://a.example:443"], true),
        (&["a.example"], &["http://a.example"], false),
        (&["a.example"], &["b.example"], false),
        (&["a.example"], &[], false),
        (&[], &["a.example"], true),
        (&[], &[], true),
        (&["a.example", "b.example"], &["b.example", "c.example", "a.example"], true),
        (&["a.example", "b.example"], &["a.example"], false),
        (&["a.example"], &[".a.example"], true),
        (&["a.example"], &["*.a.example"], false),
        (&["www.a.example"], &["*.a.example"], true),
        (&["*.a.example"], &[".a.example"], true),
        (&[".a.example"], &["*.a.example"], false),
        (&[".a.example"], &["a.example", "*.a.example"], true),
        (&["a.example", "*.a.example"], &[".a.example"], true),
        (&[".b.a.example"], &["*.a.example"], true),
        (&["*.b.a.example"], &["*.a.example"], true),
        (&["*.a.example"], &["*.b.a.example"], false),
        (&["pr-*.a.example"], &["*.a.example"], true),
        (&["pr-1*.a.example"], &["pr-*.a.example"], true),
        (&["pr-*.a.example"], &["pr-1*.a.example"], false),
        (&["pr-1.a.example"], &["pr-*.a.example"], true),
        (&["pr-.a.example"], &["pr-*.a.example"], false),
        (&["pr-1.b.a.example"], &["pr-*.a.example"], false),
        (&["pr-*.b.a.example"], &["pr-*.a.example"], false),
        (&["a.example:8443"], &["a.example:*"], true),
        (&["a.example"], &["a.example:*"], true),
        (&["a.example:*"], &["a.example", "a.example:8443"], false),
        (&["localhost"], &["http://localhost", "https://localhost"], true),
        (&["localhost"], &["https://localhost:*", "http://localhost:*"], true),
        (&["localhost"], &["http://localhost"], false),
        (&["http://localhost:3000"], &["localhost"], true),
        (&["localhost"], &["localhost:3000"], false),
        (&["a.localhost"], &["*.localhost"], true),
        (&["127.0.0.1"], &["localhost"], false),
        (&["127.0.0.1"], &["127.0.0.1"], true),
        (&["[::1]"], &["[::1]:*"], true),
        (&["capacitor://localhost"], &["localhost"], false),
        (&["capacitor://localhost"], &["capacitor://localhost"], true),
    ] {
        assert_eq!(covers(&list(after), &list(before)), expected, "{before:?} by {after:?}");
        // The same by a list that is searched, not scanned.
        let others = (0..40).map(|number| rule(&format!("n{number}.other.example")));
        let long: Vec<ListedEntry> = list(after).into_iter().chain(others).collect();
        assert_eq!(covers(&long, &list(before)), expected, "{before:?} by a long {after:?}");
    }
}

#[test]
fn an_entry_covers_for_as_long_as_it_lives() {
    let site = || rule("a.example");
    for (before, after, expected) in [
        (vec![expiring("a.example", 9)], vec![site()], true),
        (vec![site()], vec![expiring("a.example", 9)], false),
        (vec![expiring("a.example", 9)], vec![expiring("a.example", 9)], true),
        (vec![expiring("a.example", 9)], vec![expiring("a.example", 10)], true),
        (vec![expiring("a.example", 9)], vec![expiring("a.example", 8)], false),
        // What has expired admits nothing, before and after.
        (vec![expiring("a.example", 0)], vec![], true),
        (vec![site()], vec![expiring("a.example", -1)], false),
        (vec![rule("b.example"), expiring("a.example", -1)], vec![rule("b.example")], true),
        (vec![site()], vec![expiring("a.example", 9), rule(".a.example")], true),
    ] {
        assert_eq!(covers(&after, &before), expected, "{before:?} by {after:?}");
    }
}

/// An entry that admits the same or more, or several that do together.
fn widened(rule: &ListedEntry, how: u8) -> Vec<ListedEntry> {
    let with = |host| ListedEntry { entry: rule.entry.with_host(host), ..rule.clone() };
    let parent = match rule.entry.host() {
        HostPattern::Name(name) => name.split_once('.').map(|(_, parent)| parent.into()),
        HostPattern::Glob { parent, .. } => Some(parent.clone()),
        _ => None,
    };
    match (how, rule.entry.host(), parent) {
        (1, _, Some(parent)) => vec![with(HostPattern::Below(parent))],
        (2, _, Some(parent)) => vec![with(HostPattern::AtOrBelow(parent))],
        (1 | 2, HostPattern::Below(name), _) => vec![with(HostPattern::AtOrBelow(name.clone()))],
        (1 | 2, HostPattern::AtOrBelow(name), _) => {
            vec![with(HostPattern::Name(name.clone())), with(HostPattern::Below(name.clone()))]
        }
        (3, ..) => vec![ListedEntry { expires_at: None, ..rule.clone() }],
        _ => vec![rule.clone()],
    }
}

fn admitted(list: &[ListedEntry], origin: &OriginBuf, later: i64) -> bool {
    let at = now() + SignedDuration::from_secs(later);
    let judged = AllowlistBuf::compile(list).as_allowlist().judge(origin.as_origin(), at);
    matches!(judged, Judgement::Admitted { .. })
}

proptest! {
    #![proptest_config(Config { cases: 600, failure_persistence: None, ..Config::default() })]

    /// Where coverage is said, whoever was admitted stays admitted, now and later.
    #[test]
    fn whoever_was_admitted_by_a_covered_list_is_by_the_covering_one(
        before in samples::rules(0..6),
        ways in prop::collection::vec(0_u8..5, 6),
        dropped in prop::option::of(0_usize..6),
        more in samples::rules(0..40),
        origins in prop::collection::vec(samples::origin(), 30),
    ) {
        let kept = before.iter().zip(&ways).enumerate().filter(|(index, _)| dropped != Some(*index));
        let mut after: Vec<ListedEntry> = kept.flat_map(|(_, (rule, how))| widened(rule, *how)).collect();
        if dropped.is_none() {
            prop_assert!(covers(&after, &before), "{before:?} by {after:?}");
        }
        after.extend(more);
        after.reverse();
        if covers(&after, &before) {
            // Origins that entries name, beside random ones.
            let named = before.iter().filter_map(|rule| {
                let text = rule.entry.to_string();
                let text = text.replace("*.", "x.").replace('*', "1").replace(":1", "");
                let text = text.strip_prefix('.').unwrap_or(&text).to_owned();
                let text = if text.contains("://") { text } else { format!("https://{text}") };
                OriginBuf::parse(&text).ok()
            });
            for origin in named.chain(origins.iter().cloned()) {
                for later in [0, 1, 2] {
                    prop_assert!(!admitted(&before, &origin, later) || admitted(&after, &origin, later),
                        "{origin:?} after {later} s: {before:?} by {after:?}");
                }
            }
        }
    }

    #[test]
    fn a_list_covers_itself_in_any_order(rules in samples::rules(0..40)) {
        let turned: Vec<ListedEntry> = rules.iter().rev().cloned().collect();
        prop_assert!(covers(&rules, &rules) && covers(&turned, &rules));
    }
}
