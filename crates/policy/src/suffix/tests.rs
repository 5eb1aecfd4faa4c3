#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

const LIST: &str = include_str!("../../../../conf/public_suffix_list.dat");
const VECTORS: &str = include_str!("../../../../tests/data/public_suffix_vectors.txt");

/// Header lines and entries arrive here as lower-case A-labels.
fn a_labels(name: &str) -> String {
    idna::domain_to_ascii(name).expect("a name")
}

#[test]
fn the_lists_own_vectors() {
    let mut checked = 0;
    for line in VECTORS.lines().filter(|line| !line.starts_with("//") && !line.trim().is_empty()) {
        let arguments =
            line.strip_prefix("checkPublicSuffix(").and_then(|line| line.strip_suffix(");")).expect(line);
        let (name, expected) = arguments.split_once(", ").expect(line);
        let unquote = |text: &str| match text {
            "null" => None,
            text => Some(a_labels(text.trim_matches('\''))),
        };
        let name = unquote(name).unwrap_or_default();
        assert_eq!(PublicSuffixes::shipped().registrable(&name), unquote(expected).as_deref(), "{line}");
        checked += 1;
    }
    assert_eq!(checked, 78);
}

#[test]
fn every_rule_of_the_shipped_list_is_obeyed() {
    let shipped = PublicSuffixes::shipped();
    let (mut section, mut rules) = (None, 0);
    for line in LIST.lines().map(str::trim) {
        match line {
            "// ===BEGIN ICANN DOMAINS===" => section = Some(SuffixSection::Icann),
            "// ===BEGIN PRIVATE DOMAINS===" => section = Some(SuffixSection::Private),
            _ if line.is_empty() || line.starts_with("//") => {}
            rule => {
                rules += 1;
                if let Some(exception) = rule.strip_prefix('!') {
                    let name = a_labels(exception);
                    assert_eq!(shipped.section(&name), None, "{rule}");
                    assert_eq!(shipped.registrable(&name), Some(name.as_str()), "{rule}");
                } else if let Some(parent) = rule.strip_prefix("*.") {
                    let parent = a_labels(parent);
                    assert_eq!(shipped.section(&format!("no-such-label.{parent}")), section, "{rule}");
                    assert_eq!(shipped.section_below(&parent), section, "{rule}");
                } else {
                    let name = a_labels(rule);
                    assert_eq!(shipped.section(&name), section, "{rule}");
                    let below = format!("no-such-label.{name}");
                    if shipped.section_below(&name).is_none() {
                        assert_eq!(shipped.section(&below), None, "{rule}");
                        assert_eq!(
                            shipped.registrable(&format!("www.{below}")),
                            Some(below.as_str()),
                            "{rule}"
                        );
                    }
                }
            }
        }
    }
    assert!(rules > 9_000, "{rules}");
}

/// A rule such as `x.a.parent` must not hide that `*.parent` makes `a.parent` a suffix.
#[test]
fn longer_rules_hide_no_wildcard() {
    let rules: Vec<&str> = LIST.lines().map(str::trim).filter(|line| !line.starts_with("//")).collect();
    let mut wildcards = 0;
    for parent in rules.iter().filter_map(|rule| rule.strip_prefix("*.")) {
        wildcards += 1;
        for rule in rules.iter().filter(|rule| !rule.starts_with('!')) {
            let Some(front) = rule.strip_suffix(parent).and_then(|front| front.strip_suffix('.')) else {
                continue;
            };
            let child = format!("{}.{parent}", front.rsplit('.').next().unwrap());
            if child != format!("*.{parent}") {
                assert!(PublicSuffixes::shipped().section(&a_labels(&child)).is_some(), "{child} for {rule}");
            }
        }
    }
    assert!(wildcards > 100, "{wildcards}");
}

#[test]
fn sections() {
    let shipped = PublicSuffixes::shipped();
    for (name, expected) in [
        ("com", Some(SuffixSection::Icann)),
        ("co.uk", Some(SuffixSection::Icann)),
        ("xn--55qx5d.cn", Some(SuffixSection::Icann)),
        ("unlisted-top-level", Some(SuffixSection::Icann)),
        ("vercel.app", Some(SuffixSection::Private)),
        ("github.io", Some(SuffixSection::Private)),
        ("anything.ck", Some(SuffixSection::Icann)),
        ("localhost", None),
        ("example.com", None),
        ("example.unlisted-top-level", None),
        ("www.ck", None),
        ("my-app.vercel.app", None),
    ] {
        assert_eq!(shipped.section(name), expected, "{name}");
    }
    assert_eq!(shipped.section_below("ck"), Some(SuffixSection::Icann));
    assert_eq!(shipped.section_below("com"), None);
    assert_eq!(shipped.section_below("example.com"), None);
}

/// Nobody can register a name there, but the list's own rules stay: they say what is one domain.
#[test]
fn names_that_nobody_can_register_are_open_to_nobody() {
    let shipped = PublicSuffixes::shipped();
    for name in ["test", "local", "internal", "home.arpa", "invalid", "example", "localhost"] {
        assert_eq!(shipped.open_below(name), None, "{name}");
        assert_eq!(shipped.open_below(&format!("a.{name}")), None, "{name}");
    }
    for name in
        ["com", "co.uk", "ck", "kawasaki.jp", "arpa", "in-addr.arpa", "onion", "vercel.app", "a.test.com"]
    {
        let expected = shipped.section(name).or_else(|| shipped.section_below(name));
        assert_eq!(shipped.open_below(name), expected, "{name}");
        assert_eq!(expected.is_some(), name != "a.test.com", "{name}");
    }
    assert_eq!(shipped.registrable("b.example.example"), Some("example.example"));
}

#[test]
fn what_is_no_list() {
    let list = |icann: &str, private: &str| {
        format!(
            "// ===BEGIN ICANN DOMAINS===\n{icann}\n// ===END ICANN DOMAINS===\n\
             // ===BEGIN PRIVATE DOMAINS===\n{private}\n// ===END PRIVATE DOMAINS===\n"
        )
    };
    let own = PublicSuffixes::parse(&list("test", "shared.test")).expect("a small list");
    assert_eq!(own.section("shared.test"), Some(SuffixSection::Private));
    assert_eq!(own.registrable("a.b.shared.test"), Some("b.shared.test"));

    let refused = |text: &str| PublicSuffixes::parse(text).expect_err(text);
    assert_eq!(refused(""), SuffixError::MissingSection("ICANN"));
    assert_eq!(refused("<!doctype html><title>404</title>"), SuffixError::MissingSection("ICANN"));
    let torn = LIST.get(..LIST.len() / 2).unwrap();
    assert_eq!(refused(torn), SuffixError::Truncated("ICANN"));
    let half = LIST.get(..LIST.find("// ===END PRIVATE").unwrap()).unwrap();
    assert_eq!(refused(half), SuffixError::Truncated("PRIVATE"));
    assert_eq!(refused(&list("com", "")), SuffixError::EmptySection("PRIVATE"));
    for (rule, line) in [("a..b", 2), ("!com", 2), ("com\n<html>", 3), ("com\nhttps://example.com", 3)] {
        match refused(&list(rule, "b.test")) {
            SuffixError::ListedEntry { line: found, .. } => assert_eq!(found, line, "{rule}"),
            other => panic!("{rule}: {other}"),
        }
    }
    assert!(refused("").to_string().contains("publicsuffix.org"));
}
