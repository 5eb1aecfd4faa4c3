//! Coverage: entries that another entry already covers.

use std::collections::HashMap;
use std::iter;

use jiff::Timestamp;

use crate::entry::listed::ListedEntry;
use crate::entry::{Entry, EntryScheme, HostPattern, PortPattern};

/// For each entry, one that shadows it, with its index. An entry shadows another only if it does not expire
/// earlier. Expired entries shadow nothing and are not reported.
pub(super) fn shadows(rules: &[ListedEntry], now: Timestamp) -> Vec<Option<(usize, &ListedEntry)>> {
    let live = |rule: &ListedEntry| !rule.is_expired(now);
    // An entry that covers another has the same host or a parent name.
    let mut by_host: HashMap<String, Vec<(usize, &ListedEntry)>> = HashMap::new();
    for (index, rule) in rules.iter().enumerate().filter(|(_, rule)| live(rule)) {
        by_host.entry(host_of(&rule.entry)).or_default().push((index, rule));
    }
    let shadowing = |index: usize, rule: &ListedEntry| {
        let host = host_of(&rule.entry);
        let above =
            iter::successors(Some(host.as_str()), |name| name.split_once('.').map(|(_, parent)| parent));
        let candidates = above.filter_map(|name| by_host.get(name)).flatten().copied();
        candidates
            .filter(|(other, _)| *other != index)
            .find(|(at, wider)| shadows_one(wider, *at, rule, index))
    };
    let told = |(index, rule)| if live(rule) { shadowing(index, rule) } else { None };
    rules.iter().enumerate().map(told).collect()
}

fn shadows_one(wider: &ListedEntry, wider_at: usize, rule: &ListedEntry, at: usize) -> bool {
    let lives_as_long = match (wider.expires_at, rule.expires_at) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(wider), Some(narrower)) => wider >= narrower,
    };
    // Of two equal entries, the later one is redundant.
    lives_as_long
        && covers(&wider.entry, &rule.entry)
        && (wider_at < at || !covers(&rule.entry, &wider.entry))
}

/// Whether `wider` admits every origin that `narrower` admits.
fn covers(wider: &Entry, narrower: &Entry) -> bool {
    covers_host(wider.host(), narrower.host())
        && schemes(narrower).all(|scheme| {
            schemes(wider).any(|other| other == scheme)
                && match (port(wider, &scheme), port(narrower, &scheme)) {
                    (None, _) => true,
                    (wider, narrower) => wider == narrower,
                }
        })
}

/// The schemes that an entry admits.
fn schemes(entry: &Entry) -> impl Iterator<Item = EntryScheme> {
    let (first, second) = match entry.scheme() {
        Some(stated) => (stated, None),
        None => (EntryScheme::Https, entry.is_loopback().then_some(EntryScheme::Http)),
    };
    iter::once(first).chain(second)
}

/// The port that an entry admits for one of its schemes: `None` for any port, `Some(None)` for no port
/// (custom schemes).
fn port(entry: &Entry, scheme: &EntryScheme) -> Option<Option<u16>> {
    match (entry.port(), scheme) {
        (PortPattern::Any, _) => None,
        (PortPattern::Exact(port), _) => Some(Some(port)),
        (PortPattern::Unstated, EntryScheme::Custom(_)) => Some(None),
        (PortPattern::Unstated, _) if entry.is_loopback() => None,
        (PortPattern::Unstated, EntryScheme::Http) => Some(Some(80)),
        (PortPattern::Unstated, EntryScheme::Https) => Some(Some(443)),
    }
}

fn covers_host(wider: &HostPattern, narrower: &HostPattern) -> bool {
    use HostPattern::{AtOrBelow, Below, Glob, Ipv4, Ipv6, Name};
    match (wider, narrower) {
        (Name(a), Name(b)) => a == b,
        (Ipv4(a), Ipv4(b)) => a == b,
        (Ipv6(a), Ipv6(b)) => a == b,
        (Below(a), Name(b) | AtOrBelow(b)) => is_below(b, a),
        (Below(a) | AtOrBelow(a), Below(b)) | (AtOrBelow(a), Name(b) | AtOrBelow(b)) => {
            a == b || is_below(b, a)
        }
        (Below(a) | AtOrBelow(a), Glob { parent, .. }) => a == parent || is_below(parent, a),
        (Glob { prefix, suffix, parent }, Name(name)) => name.split_once('.').is_some_and(|(label, rest)| {
            rest == &**parent
                && label.len() > prefix.len() + suffix.len()
                && label.starts_with(&**prefix)
                && label.ends_with(&**suffix)
        }),
        (
            Glob { prefix, suffix, parent },
            Glob { prefix: inner_prefix, suffix: inner_suffix, parent: inner },
        ) => parent == inner && inner_prefix.starts_with(&**prefix) && inner_suffix.ends_with(&**suffix),
        _ => false,
    }
}

fn is_below(name: &str, parent: &str) -> bool {
    name.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'))
}

/// The host of an entry, or the name below which it admits.
fn host_of(entry: &Entry) -> String {
    match entry.host() {
        HostPattern::Name(name) | HostPattern::Below(name) | HostPattern::AtOrBelow(name) => name.to_string(),
        HostPattern::Glob { parent, .. } => parent.to_string(),
        address @ (HostPattern::Ipv4(_) | HostPattern::Ipv6(_)) => address.to_string(),
    }
}
