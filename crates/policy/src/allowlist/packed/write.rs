//! Writer of packed lists.

use std::borrow::Cow;

use super::{AT_OR_BELOW, BELOW, EXACT, EXPIRES, GLOB, LOOPBACK, NARROW, SHORT, SORTED, WIDE};
use crate::entry::listed::ListedEntry;
use crate::entry::{Entry, EntryKind, EntryScheme, HostPattern, PortPattern};
use crate::varint;

/// Packs the entries of a document.
pub(in super::super) fn pack(rules: &[ListedEntry]) -> Box<[u8]> {
    let mut bytes = Vec::with_capacity(32 * rules.len());
    match u8::try_from(rules.len()) {
        Ok(0) => {}
        Ok(count) if rules.len() <= SHORT => {
            bytes.push(count);
            rules.iter().for_each(|rule| write_record(&mut bytes, rule));
        }
        _ => write_sorted(&mut bytes, rules),
    }
    bytes.into_boxed_slice()
}

fn write_sorted(bytes: &mut Vec<u8>, rules: &[ListedEntry]) {
    let mut sorted: Vec<(Cow<'_, str>, &ListedEntry, u32)> =
        (0..).zip(rules).map(|(ordinal, rule)| (host_key(&rule.entry), rule, ordinal)).collect();
    sorted.sort_by(|(a, ..), (b, ..)| a.as_bytes().cmp(b.as_bytes()));
    let mut offsets = Vec::with_capacity(sorted.len());
    let mut records = Vec::new();
    let mut longest_parent = 0;
    for (host, rule, ordinal) in &sorted {
        if rule.entry.kind() != EntryKind::Exact {
            longest_parent = longest_parent.max(host.len());
        }
        offsets.push(records.len());
        varint::write(&mut records, u64::from(*ordinal));
        write_record(&mut records, rule);
    }
    let width = if records.len() <= usize::from(u16::MAX) { NARROW } else { WIDE };
    bytes.extend([SORTED, u8::try_from(longest_parent).unwrap_or(u8::MAX), width]);
    bytes.extend(little_endian(sorted.len(), WIDE));
    bytes.extend(offsets.into_iter().flat_map(|offset| little_endian(offset, width)));
    bytes.extend(records);
}

fn little_endian(number: usize, width: u8) -> impl Iterator<Item = u8> {
    number.to_le_bytes().into_iter().take(usize::from(width))
}

/// Lookup key of an entry: the host as an origin has it, or the name below which it admits.
fn host_key(entry: &Entry) -> Cow<'_, str> {
    match entry.host() {
        HostPattern::Name(name) | HostPattern::Below(name) | HostPattern::AtOrBelow(name) => {
            name.as_ref().into()
        }
        HostPattern::Glob { parent, .. } => parent.as_ref().into(),
        address @ (HostPattern::Ipv4(_) | HostPattern::Ipv6(_)) => address.to_string().into(),
    }
}

fn write_record(out: &mut Vec<u8>, rule: &ListedEntry) {
    let (form, glob) = match rule.entry.host() {
        HostPattern::Name(_) | HostPattern::Ipv4(_) | HostPattern::Ipv6(_) => (EXACT, None),
        HostPattern::Below(_) => (BELOW, None),
        HostPattern::AtOrBelow(_) => (AT_OR_BELOW, None),
        HostPattern::Glob { prefix, suffix, .. } => (GLOB, Some((prefix, suffix))),
    };
    let (scheme, custom) = match rule.entry.scheme() {
        None => (0, None),
        Some(EntryScheme::Http) => (1, None),
        Some(EntryScheme::Https) => (2, None),
        Some(EntryScheme::Custom(name)) => (3, Some(name)),
    };
    let (port, number) = match rule.entry.port() {
        PortPattern::Unstated => (0, None),
        PortPattern::Any => (1, None),
        PortPattern::Exact(number) => (2, Some(number)),
    };
    let expires = if rule.expires_at.is_some() { EXPIRES } else { 0 };
    let loopback = if rule.entry.is_loopback() { LOOPBACK } else { 0 };
    out.push(form | scheme << 2 | port << 4 | expires | loopback);
    write_text(out, &host_key(&rule.entry));
    out.extend(number.into_iter().flat_map(u16::to_le_bytes));
    if let Some(at) = rule.expires_at {
        out.extend(at.as_second().to_le_bytes());
        out.extend(at.subsec_nanosecond().to_le_bytes());
    }
    if let Some(name) = custom {
        write_text(out, &name);
    }
    if let Some((prefix, suffix)) = glob {
        write_text(out, prefix);
        write_text(out, suffix);
    }
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    varint::write(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}
